package proxy

import (
	"syscall"
	"unsafe"
)

// sendNow is send(2): write(2) without what only files need, such as their
// position and who watches them, which is a fifteenth of what a small message costs.
func sendNow(fd int, b []byte) (int, error) {
	n, _, errno := syscall.Syscall6(syscall.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)),
		syscall.MSG_DONTWAIT|syscall.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
