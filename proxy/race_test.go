//go:build race

package proxy

// raceDetector makes everything some ten times slower.
const raceDetector = true
