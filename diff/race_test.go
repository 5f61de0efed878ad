//go:build race

package diff

// slow divides how much the property tests do: the race detector takes its time.
const slow = 6
