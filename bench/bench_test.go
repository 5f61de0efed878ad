package main

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if part := os.Getenv(partVariable); part != "" {
		if err := play(part, os.Args[1:]); err != nil {
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// TestScenarios runs everything with few watchers, for its correctness: every
// watcher has to receive every change, joining has to cost one request, and so
// on. The figures mean nothing.
func TestScenarios(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Minute)
	defer cancel()
	var out strings.Builder
	b := &bench{out: &out, watchers: 200, duration: 200 * time.Millisecond, settle: 50 * time.Millisecond, repeat: 1}
	b.ctx, b.dir, b.size = ctx, t.TempDir(), 1024
	var err error
	if b.pollbridge, err = build(ctx, b.dir); err != nil {
		t.Fatal(err)
	}
	for _, s := range scenarios {
		out.Reset()
		if err := s.run(b, "pollbridge,floor"); err != nil {
			t.Errorf("%s: %v", s.name, err)
		}
		t.Log(s.title + "\n" + out.String())
		for _, want := range map[string][]string{
			"fanout": {"pollbridge 200", "floor 200"},
			"join":   {"join: 200 watchers", " 1 upstream requests", "resume: 200 watchers", " 0 upstream requests"},
		}[s.name] {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: the output does not say %q", s.name, want)
			}
		}
	}
}

func TestStamp(t *testing.T) {
	for _, c := range []struct {
		text, change string
		ok           bool
	}{
		{`{"stamp":"` + stamp(3, 17, 1234) + `"}`, "3:17", true},
		{`{"stamp":"` + stamp(3, 10, 1234) + `"}`, "3:10", true},
		{`{"stamp":"` + stamp(3, 0, 1234) + `"}`, "", false}, // the state before
		{`{"stamp":"@3:17:"}`, "", false},
		{`{}`, "", false},
		{strings.Repeat(" ", maxStamp) + stamp(3, 17, 1234), "", false},
	} {
		change, at, ok := findStamp([]byte(c.text))
		if string(change) != c.change || ok != c.ok || ok && at != 1234 {
			t.Errorf("%.40q: %q, %d, %t", c.text, change, at, ok)
		}
	}
}
