package main

import (
	"io/fs"
	"log/slog"
	"math"
	"os"
	"path"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync/atomic"
)

// A memory keeps the process below the memory that it may have: where what is in
// use comes near to it, what nobody watches is forgotten, and if that is not
// enough those who come are turned away until there is room again. Who is
// connected goes on.
type memory struct {
	limit   int64        // bytes; math.MaxInt64: none
	live    atomic.Int64 // bytes in use when it was last looked
	read    func() int64
	forget  func()         // what nobody watches
	crowded func(now bool) // takes note of whether nobody is to come in
	log     *slog.Logger

	near int // for how many looks in a row it has been near the limit
	full bool
}

// newMemory takes the limit that Go goes by. Where that was not set, and the
// operating system has one, Go is to go by that, less a tenth for what it does not
// count.
func newMemory(log *slog.Logger, forget func(), crowded func(bool)) *memory {
	_, set := os.LookupEnv("GOMEMLIMIT")
	from := "GOMEMLIMIT"
	if system := systemLimit(os.DirFS("/")); !set && system > 0 {
		debug.SetMemoryLimit(system / 10 * 9)
		from = "the system's, less a tenth"
	}
	m := &memory{limit: debug.SetMemoryLimit(-1), read: liveMemory, forget: forget, crowded: crowded, log: log}
	m.live.Store(m.read())
	if m.limit < math.MaxInt64 {
		log.Info("memory is limited", "bytes", m.limit, "by", from)
	}
	return m
}

// fullFrom and freeFrom are the parts of the limit, in sixteenths, from which on
// nobody is let in and below which everybody is again.
const (
	fullFrom = 14
	freeFrom = 13
)

// collectEvery is in how many looks garbage is collected while there is no room:
// how much is in use is known only after that.
const collectEvery = 10

// look is called every second.
func (m *memory) look() {
	live := m.read()
	m.live.Store(live)
	from := int64(fullFrom)
	if m.full {
		from = freeFrom
	}
	if live < m.limit/16*from {
		if m.full {
			m.full = false
			m.crowded(false) // before it is said
			m.log.Info("there is memory again", "live", live, "limit", m.limit)
		}
		m.near = 0
		return
	}
	if m.near++; m.near%collectEvery == 1 {
		m.forget()
		go runtime.GC()
	}
	if m.near > 1 && !m.full {
		m.full = true
		m.crowded(true)
		m.log.Warn("memory is nearly used up: clients that come are turned away", "live", live, "limit", m.limit)
	}
}

// liveMemory is how much memory is in use that no collection would free, as far
// as the last one knows.
func liveMemory() int64 {
	samples := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/total:bytes"}, // and of all that, less:
		{Name: "/memory/classes/heap/released:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"},
	}
	metrics.Read(samples)
	sum := int64(0)
	for i, s := range samples {
		if s.Value.Kind() != metrics.KindUint64 {
			continue // not there: other versions of Go may have others
		}
		n := int64(s.Value.Uint64())
		if i > 1 {
			n = -n
		}
		sum += n
	}
	return sum
}

// systemLimit is the memory that Linux lets the process have by its control
// groups, of version 1 or 2; 0: any.
func systemLimit(root fs.FS) (limit int64) {
	groups, _ := fs.ReadFile(root, "proc/self/cgroup")
	for line := range strings.Lines(string(groups)) {
		_, group, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, group, _ := strings.Cut(group, ":")
		base, name := "sys/fs/cgroup", "memory.max"
		switch controllers {
		case "": // version 2
		case "memory":
			base, name = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		default:
			continue
		}
		// Those above limit it, too. In a container its own group is where the root would be.
		for dir := path.Clean("/" + group); ; dir = path.Dir(dir) {
			text, _ := fs.ReadFile(root, path.Join(base, dir, name))
			n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
			if err == nil && n > 0 && n < 1<<60 && (limit == 0 || n < limit) { // version 1 says none by a huge number
				limit = n
			}
			if dir == "/" {
				break
			}
		}
	}
	return limit
}
