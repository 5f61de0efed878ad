package main

import (
	"context"
	"io"
	stdlog "log"
	"log/slog"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"pollbridge/config"
)

// logs are what the program says while it runs, written in their own time.
type logs struct {
	*slog.Logger
	access *slog.Logger // takes a line for each request; not enabled: none is wanted
	queue  *logQueue

	main, requests changeable
}

// set has lines to come be written as the configuration says.
func (l *logs) set(c config.Log) {
	l.main.set(newHandler(l.queue, c.Format, c.Level))
	level := slog.LevelInfo // whatever the level of the other lines
	if !c.Access {
		level = slog.Level(math.MaxInt)
	}
	l.requests.set(newHandler(l.queue, c.Format, level))
}

// A changeable handler is another one from one line to the next. What is made of
// it, by WithAttrs and WithGroup, stays what it was.
type changeable struct{ handler atomic.Pointer[slog.Handler] }

func (c *changeable) set(h slog.Handler) { c.handler.Store(&h) }
func (c *changeable) now() slog.Handler  { return *c.handler.Load() }

// Enabled implements slog.Handler.
func (c *changeable) Enabled(ctx context.Context, l slog.Level) bool { return c.now().Enabled(ctx, l) }

// Handle implements slog.Handler.
func (c *changeable) Handle(ctx context.Context, r slog.Record) error { return c.now().Handle(ctx, r) }

// WithAttrs implements slog.Handler.
func (c *changeable) WithAttrs(a []slog.Attr) slog.Handler { return c.now().WithAttrs(a) }

// WithGroup implements slog.Handler.
func (c *changeable) WithGroup(name string) slog.Handler { return c.now().WithGroup(name) }

// openLogs returns logs that are written to w as the configuration says.
// Flush their queue at the end.
// What package log is given joins them.
func openLogs(w io.Writer, l config.Log) *logs {
	q := &logQueue{to: w}
	log := &logs{queue: q}
	log.Logger, log.access = slog.New(&log.main), slog.New(&log.requests)
	log.set(l)
	q.lost = func(lines int) {
		log.Warn("lines of the log are lost: what reads it is too slow, or has stopped for a while", "lines", lines)
	}
	stdlog.SetFlags(0)
	stdlog.SetOutput(&foreign{log: log.Logger})
	return log
}

// foreign takes what net/http has package log write about connections to the
// upstream. Where more has come than an answer it repeats that, and what an
// upstream has said to somebody is not for the log: no quotation gets there, and no
// more than a line a minute.
type foreign struct {
	log  *slog.Logger
	last atomic.Int64 // when there was a line, in s
}

// Write implements io.Writer.
func (f *foreign) Write(p []byte) (int, error) {
	now, last := time.Now().Unix(), f.last.Load()
	if now-last >= 60 && f.last.CompareAndSwap(last, now) {
		reason, _, _ := strings.Cut(string(p), `"`)
		f.log.Warn("connection to the upstream", "reason", strings.TrimSpace(reason)+" …")
	}
	return len(p), nil
}

func newHandler(w io.Writer, format string, level slog.Level) slog.Handler {
	o := &slog.HandlerOptions{Level: level}
	if format == "json" {
		o.ReplaceAttr = durationText
		return slog.NewJSONHandler(w, o)
	}
	return slog.NewTextHandler(w, o)
}

// durationText has a duration say its unit, as it does in a text.
func durationText(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

// A logQueue writes lines to another writer in its own time: one who reads the
// log, and reads no more, does not hold up the proxy. Lines wait in memory; where
// there are too many the newest are lost, counted, and told of when there is room
// again.
type logQueue struct {
	to   io.Writer
	lost func(lines int) // says in the log how many; nil: nobody does

	// mu guards the fields below.
	mu      sync.Mutex
	lines   []byte        // that wait
	missing int           // lines lost that are not told of yet
	total   uint64        // lines lost so far
	written chan struct{} // closed when nothing waits any more; nil: nothing ever did
	writing bool
}

const (
	maxQueued = 2 << 20     // bytes that wait: some ten thousand requests
	flushTime = time.Second // that the end of the program waits for
)

// Write takes one line. It never waits and never fails.
func (q *logQueue) Write(line []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.lines)+len(line) > maxQueued {
		q.missing++
		q.total++
		return len(line), nil
	}
	q.lines = append(q.lines, line...)
	if !q.writing {
		q.writing, q.written = true, make(chan struct{})
		go q.run()
	}
	return len(line), nil
}

// run writes what waits, until nothing does.
func (q *logQueue) run() {
	var spare []byte
	for {
		q.mu.Lock()
		lines, missing := q.lines, q.missing
		q.lines, q.missing = spare[:0], 0
		if len(lines) == 0 {
			q.writing, q.lines = false, nil
			close(q.written)
			q.mu.Unlock()
			return
		}
		q.mu.Unlock()
		q.to.Write(lines) // there is nobody to tell of an error
		if spare = lines; missing > 0 && q.lost != nil {
			q.lost(missing)
		}
	}
}

// Lost returns how many lines have been lost.
func (q *logQueue) Lost() uint64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.total
}

// Flush waits until everything is written, but not for long.
func (q *logQueue) Flush() {
	q.mu.Lock()
	written := q.written
	q.mu.Unlock()
	if written == nil {
		return
	}
	select {
	case <-written:
	case <-time.After(flushTime):
	}
}
