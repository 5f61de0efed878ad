package proxy

import (
	"bufio"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// TestSlowWatchersAreNotWaitedFor: watchers that never read hold up nobody, and
// however much changes, nothing grows on their account.
func TestSlowWatchersAreNotWaitedFor(t *testing.T) {
	const silent, changes, size = 40, 60, 200_000
	st := newStreet(t, size, false)
	reader := bufio.NewReader(st.dial())
	if _, err := http.ReadResponse(reader, nil); err != nil {
		t.Fatal(err)
	}
	readFrame(t, reader)
	for range silent {
		st.dial()
	}
	follow := func(n int) {
		for range n {
			st.change()
			want := `"n":` + strconv.FormatInt(st.n.Load(), 10) + `,`
			for {
				if _, text := readFrame(t, reader); strings.Contains(string(text[:200]), want) {
					break
				}
			}
		}
	}
	follow(changes / 4) // by now their buffers are full
	before, goroutines := heapInUse(), runtime.NumGoroutine()
	follow(changes)
	// A queue would hold silent*changes*size, 480 MB.
	if more := heapInUse() - before; more > 40<<20 {
		t.Errorf("%d MiB more are held after %d changes", more>>20, changes)
	}
	if more := runtime.NumGoroutine() - goroutines; more > silent {
		t.Errorf("%d more goroutines", more)
	}
}

func heapInUse() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
