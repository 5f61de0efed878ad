//go:build unix

package listen

import (
	"net"
	"sync"
	"syscall"
)

// reserveFrom is the number of the first descriptor that is kept for what the
// process opens itself: an eighth of all that it may have, from 16 to 1024. The Go
// runtime has raised the limit to the highest allowed by the time it is asked.
var reserveFrom = sync.OnceValue(func() uint64 {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 1 << 62
	}
	most := uint64(limit.Cur)
	return most - min(max(most/8, 16), 1024, most)
})

// takesReserve reports whether a connection that was just accepted has one of the
// descriptors in reserve. A new one is always the lowest that is free (POSIX, open),
// so then all below are in use.
func takesReserve(conn net.Conn) bool {
	own, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := own.SyscallConn()
	if err != nil {
		return false
	}
	takes := false
	raw.Control(func(fd uintptr) { takes = uint64(fd) >= reserveFrom() })
	return takes
}
