package diff

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// feeds returns the successive responses of real feeds: those of the corpus
// beside the project where it is there, else a few of testdata.
func feeds(t testing.TB, kind string) map[string][][]byte {
	t.Helper()
	feeds := map[string][][]byte{}
	for _, root := range []string{"../../shared/corpus", "testdata/feeds"} {
		files, _ := filepath.Glob(filepath.Join(root, "*", "[0-9]*."+kind))
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			name := filepath.Base(filepath.Dir(file))
			feeds[name] = append(feeds[name], b)
		}
		if len(feeds) > 0 {
			break
		}
	}
	return feeds
}

func BenchmarkNext(b *testing.B) {
	for name, polls := range feeds(b, "json") {
		b.Run(name, func(b *testing.B) {
			var d *Differ
			var docs []*Document
			for _, p := range polls {
				if doc, err := d.Parse(p); err == nil {
					docs = append(docs, doc)
				}
			}
			size := 0
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if i++; i == len(docs) {
					i = 1
				}
				d.Next(docs[i-1], docs[i].raw)
				size += len(docs[i].raw)
			}
			b.SetBytes(int64(size / b.N))
		})
	}
}

// BenchmarkDiff is the same from the texts alone.
func BenchmarkDiff(b *testing.B) {
	for name, polls := range feeds(b, "json") {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if i++; i == len(polls) {
					i = 1
				}
				(*Differ)(nil).Diff(polls[i-1], polls[i])
			}
		})
	}
}

// BenchmarkValid is what BenchmarkNext is measured against.
func BenchmarkValid(b *testing.B) {
	for name, polls := range feeds(b, "json") {
		b.Run(name, func(b *testing.B) {
			i := 0
			for b.Loop() {
				if i++; i == len(polls) {
					i = 1
				}
				json.Valid(polls[i])
			}
		})
	}
}
