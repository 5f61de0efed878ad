//go:build !linux

package systemd

import (
	"errors"
	"net"
	"time"
)

// Listen says that there is no systemd here.
func Listen(string) (net.Listener, error) {
	return nil, errors.New("there is no systemd on this system")
}

// Notify does nothing.
func Notify(...string) error { return nil }

// Reloading is the state of one that begins to reload.
func Reloading() []string { return nil }

// Watchdog is zero: nobody watches.
func Watchdog() time.Duration { return 0 }
