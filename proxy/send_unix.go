//go:build unix && !linux

package proxy

import "syscall"

// sendNow writes without waiting, as net's descriptors do.
func sendNow(fd int, b []byte) (int, error) { return syscall.Write(fd, b) }
