package main

import (
	"math"
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

// cost is the processor time of one call of f, that of its garbage included:
// the lesser of two means over enough calls.
func cost(f func()) time.Duration {
	best := time.Duration(math.MaxInt64)
	for range 2 {
		runtime.GC()
		start, calls := processTime(), 0
		for spent := time.Duration(0); spent < 4*time.Millisecond; spent = processTime() - start {
			f()
			calls++
		}
		best = min(best, (processTime()-start)/time.Duration(calls))
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
