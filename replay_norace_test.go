//go:build !race

package main_test

import "time"

// How much of each recorded feed is replayed: versions at most, bytes at most,
// but so many versions at least; and how long nothing may happen.
const (
	replaySteps = 120
	replayBytes = 4 << 20
	replayLeast = 3
	replayLimit = 3 * time.Minute
)
