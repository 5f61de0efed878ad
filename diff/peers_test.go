package diff_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// BenchmarkPeers prints the table of docs/performance.md: this package beside
// others, pair by pair on the feeds. The peers are a module of their own,
// which is built here; without the network there is nothing to compare with.
func BenchmarkPeers(b *testing.B) {
	corpus := "../../shared/corpus"
	if _, err := os.Stat(corpus); err != nil {
		corpus = "testdata/feeds"
	}
	get := exec.Command("go", "mod", "download")
	get.Dir = "peers"
	if out, err := get.CombinedOutput(); err != nil {
		b.Skipf("the peers cannot be fetched: %v\n%s", err, out)
	}
	run := exec.Command("go", "run", ".", "-corpus", "../"+corpus)
	run.Dir = "peers"
	run.Env = append(os.Environ(), "GOFLAGS="+strings.TrimSpace(os.Getenv("GOFLAGS")))
	run.Stdout, run.Stderr = os.Stdout, os.Stderr
	if err := run.Run(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(0, "ns/op") // what counts is printed
}
