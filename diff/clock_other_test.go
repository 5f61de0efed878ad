//go:build !unix

package diff

import "time"

var started = time.Now()

// processTime is the wall clock where there is none of the process.
func processTime() time.Duration { return time.Since(started) }
