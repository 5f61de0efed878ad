package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// deeds counts what was done.
type deeds struct {
	mu    sync.Mutex // guards count
	count map[string]int
}

func (d *deeds) add(name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.count[name]++
}

func (d *deeds) set(name string, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.count[name] = n
}

// missing is something that has to be done and has not been; "": there is nothing.
func (d *deeds) missing() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, name := range []string{"connection", "killed", "delayed", "dropped", "reset", "half-open", "refused", "500", "429", "garbage", "truncated", "hang", "drip", "abort",
		"304", "document", "seen by Watch", "seen by events", "seen by GET", "seen by long-poll", "patch by events", "reconnect by events", "resume by Watch", "stale"} {
		if d.count[name] == 0 {
			return name
		}
	}
	return ""
}

func (d *deeds) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var list []string
	for _, name := range slices.Sorted(maps.Keys(d.count)) {
		list = append(list, fmt.Sprint(name, " ", d.count[name]))
	}
	return "tried: " + strings.Join(list, ", ")
}
