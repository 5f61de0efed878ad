package systemd

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// firstFD is the descriptor of the first socket that is passed.
const firstFD = 3

// A socket is one that was passed.
type socket struct {
	name string // FileDescriptorName of the socket unit; its own name otherwise
	file *os.File
}

// passed are the sockets that were passed to this process, and to no child of it.
var passed = sync.OnceValue(func() (sockets []socket) {
	pid, n := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS")
	names := strings.Split(os.Getenv("LISTEN_FDNAMES"), ":")
	for _, name := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		os.Unsetenv(name)
	}
	count, err := strconv.Atoi(n)
	if err != nil || pid != strconv.Itoa(os.Getpid()) {
		return nil
	}
	for i := range count {
		fd := firstFD + i
		syscall.CloseOnExec(fd)
		s := socket{file: os.NewFile(uintptr(fd), "socket "+strconv.Itoa(fd))}
		if i < len(names) {
			s.name = names[i]
		}
		sockets = append(sockets, s)
	}
	return sockets
})

// Listen returns a listener on the socket that was passed under a name, or on the
// only one that was. Closing it does not close the socket: what connects to
// it then waits for the next process.
func Listen(name string) (net.Listener, error) {
	sockets := passed()
	for _, s := range sockets {
		if s.name == name || len(sockets) == 1 {
			return net.FileListener(s.file)
		}
	}
	if len(sockets) == 0 {
		return nil, fmt.Errorf("systemd has passed no socket: is there a socket unit, and is it started?")
	}
	var names []string
	for _, s := range sockets {
		names = append(names, strconv.Quote(s.name))
	}
	return nil, fmt.Errorf("systemd has passed sockets named %s, and none named %q: set FileDescriptorName in the socket unit", strings.Join(names, ", "), name)
}

// Notify tells the service manager of a state, in the lines of sd_notify(3). It
// does nothing where nobody wants to know, and waits for nothing.
func Notify(lines ...string) error {
	address := os.Getenv("NOTIFY_SOCKET")
	if address == "" {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: address, Net: "unixgram"}) // "@" means an abstract one here, too
	if err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	defer conn.Close()
	conn.SetWriteDeadline(time.Now().Add(time.Second))
	if _, err = conn.Write([]byte(strings.Join(lines, "\n"))); err != nil {
		return fmt.Errorf("notify systemd: %w", err)
	}
	return nil
}

// Reloading is the state of one that begins to reload. READY=1 ends it.
func Reloading() []string {
	var now unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // cannot fail: the clock exists
	return []string{"RELOADING=1", fmt.Sprintf("MONOTONIC_USEC=%d", now.Nano()/1000)}
}

// Watchdog is how often WATCHDOG=1 is to be said: twice in the time after which
// the service manager takes this process for dead. Zero: it does not.
func Watchdog() time.Duration {
	if pid := os.Getenv("WATCHDOG_PID"); pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0
	}
	limit, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || limit <= 0 {
		return 0
	}
	return time.Duration(limit) * time.Microsecond / 2
}
