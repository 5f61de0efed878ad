package main

import (
	"math"
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

// cost is the processor time of one call of f, that of its garbage included:
// the least of four means over enough calls. They are made in batches, as to
// read the clock takes as long as a small comparison.
func cost(f func()) time.Duration {
	best := time.Duration(math.MaxInt64)
	for range 4 {
		runtime.GC()
		for calls := 1; ; calls *= 2 {
			start := processTime()
			for range calls {
				f()
			}
			if spent := processTime() - start; spent >= 4*time.Millisecond {
				best = min(best, spent/time.Duration(calls))
				break
			}
		}
	}
	return best
}

// processTime is the processor time of this process (Linux). Unlike the wall
// clock it does not mind what else the machine does.
func processTime() time.Duration {
	const clockProcessCPU = 2
	var t syscall.Timespec
	syscall.Syscall(syscall.SYS_CLOCK_GETTIME, clockProcessCPU, uintptr(unsafe.Pointer(&t)), 0)
	return time.Duration(t.Nano())
}
