package main

import (
	"os"
	"testing"
	"time"
)

// TestPollers has a few pollers poll through the real program, fast, in each
// manner: what they get is what the upstream said, for at most one request in
// an interval.
func TestPollers(t *testing.T) {
	r := run{
		ctx: t.Context(), dir: t.TempDir(), pollbridge: os.Getenv("POLLBRIDGE"),
		pollers: 40, interval: 250 * time.Millisecond, work: 10 * time.Millisecond, rows: 600,
		warmUp: 600 * time.Millisecond, measurement: 2 * time.Second,
	}
	if r.pollbridge == "" {
		var err error
		if r.pollbridge, err = build(r.ctx, "../..", r.dir); err != nil {
			t.Fatal(err)
		}
	}
	for name, test := range map[string]struct {
		manner manner
		every  time.Duration
		met    func(*measurement) bool
	}{
		"plain":       {plain, 100 * time.Millisecond, func(m *measurement) bool { return m.notModified+m.patches == 0 }},
		"conditional": {conditional, time.Second, func(m *measurement) bool { return m.share(m.notModified) > 50 && m.patches == 0 }},
		"deltas":      {deltas, 100 * time.Millisecond, func(m *measurement) bool { return m.share(m.patches) > 50 }},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := r.measure(pollbridge, test.manner, test.every)
			if err != nil {
				t.Fatal(err)
			}
			if err := m.check(); err != nil {
				t.Error(err)
			}
			if m.requests == 0 || !test.met(m) {
				t.Errorf("%d requests to the upstream, %d answers, of these %d 304 and %d 226", m.requests, m.answers, m.notModified, m.patches)
			}
		})
	}
	t.Run("the bar is one", func(t *testing.T) { // that check would find it
		m, err := r.measure(direct, plain, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if m.contender = pollbridge.name; m.check() == nil {
			t.Errorf("%d requests in %v were not found to be too many", m.requests, m.took)
		}
	})
}
