package main

import (
	"math"
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

// fastest is the processor time of f, the least of several tries, so that
// whatever else the machine does counts as little as can be.
func fastest(times int, f func()) time.Duration {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	best, batch := time.Duration(math.MaxInt64), 1
	for range times {
		start := threadTime()
		for range batch {
			f()
		}
		spent := threadTime() - start
		best = min(best, spent/time.Duration(batch))
		if spent < 30*time.Microsecond {
			batch *= 2
		}
	}
	return best
}

// threadTime is the processor time of this thread (Linux).
func threadTime() time.Duration {
	const clockThreadCPU = 3
	var t syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockThreadCPU, uintptr(unsafe.Pointer(&t)), 0)
	return time.Duration(t.Nano())
}
