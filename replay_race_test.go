//go:build race

package main_test

import "time"

// The race detector makes this some ten times slower.
const (
	replaySteps = 25
	replayBytes = 256 << 10
	replayLeast = 2
	replayLimit = 3 * time.Minute
)
