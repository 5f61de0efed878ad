// Package systemd speaks with the service manager that has started this
// process, if one has: it takes over the sockets that were opened for it
// (sd_listen_fds(3)) and says how it is (sd_notify(3)). Without systemd it does
// nothing. It is a few lines, and so no library.
package systemd

import (
	"fmt"
	"time"
)

// The states that are told, as sd_notify(3) has them.
const (
	Ready    = "READY=1"
	Stopping = "STOPPING=1"
	Alive    = "WATCHDOG=1"
)

// Status is the state that is described by a text of one line, for people.
func Status(text string) string { return "STATUS=" + text }

// Extend asks that what has begun may take so long, where the unit (TimeoutStopSec, to end) allows less.
func Extend(d time.Duration) string { return fmt.Sprintf("EXTEND_TIMEOUT_USEC=%d", d.Microseconds()) }
