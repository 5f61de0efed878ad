//go:build !race

package main_test

import "time"

// How much of each recorded feed is replayed: versions at most, bytes at most,
// but so many versions at least. All is over in seconds; the limit is for
// machines that have much else to do.
const (
	replaySteps = 120
	replayBytes = 4 << 20
	replayLeast = 3
	replayLimit = 2 * time.Minute
)
