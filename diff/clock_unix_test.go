//go:build unix

package diff

import (
	"syscall"
	"time"
)

// processTime is the processor time of this process so far. Unlike the wall clock
// it does not mind what else the machine does.
func processTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
