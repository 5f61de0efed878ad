package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"
)

// A manner is how pollers poll.
type manner int

const (
	plain       manner = iota // as on the day they were written
	conditional               // with If-None-Match, as every browser's cache does
	deltas                    // and with A-IM: json-patch (RFC 3229)
)

// A poller asks for the document at a fixed rate, on one connection of its own.
type poller struct {
	client *http.Client
	url    string
	manner manner
	from   *upstream // for what is true

	body bytes.Buffer
	etag string // of the document it holds
	held int64  // the change that this has
	seen tally
}

// A tally is what was seen of some polls.
type tally struct {
	answers, notModified, patches int
	bytes                         int64
	latencies, behind             []time.Duration // one for each answer
	errors                        int
	firstError                    error
}

// pollAll has n pollers poll a URL once in every period, each at a moment of
// its own, from now until the end, and tallies those polls that are due after
// the warm-up.
func pollAll(ctx context.Context, n int, every time.Duration, url string, m manner, u *upstream, from, until time.Time) tally {
	var all sync.WaitGroup
	start := time.Now()
	pollers := make([]*poller, n)
	for i := range pollers {
		transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 1}
		defer transport.CloseIdleConnections()
		p := &poller{client: &http.Client{Transport: transport, Timeout: 10 * time.Second}, url: url, manner: m, from: u}
		pollers[i] = p
		phase := every * time.Duration(i) / time.Duration(n)
		all.Go(func() {
			for due := start.Add(phase); due.Before(until) && ctx.Err() == nil; due = due.Add(every) {
				time.Sleep(time.Until(due))
				p.poll(ctx, due, due.After(from))
			}
		})
	}
	all.Wait()
	var sum tally
	for _, p := range pollers {
		sum.add(&p.seen)
	}
	slices.Sort(sum.latencies)
	slices.Sort(sum.behind)
	return sum
}

// poll makes one poll. Its latency counts from the moment that it was due, so
// that a poller held up by its last poll does not make the server look better.
func (p *poller) poll(ctx context.Context, due time.Time, counts bool) {
	n, status, err := p.ask(ctx)
	if !counts {
		return
	}
	if err != nil {
		if p.seen.errors++; p.seen.firstError == nil {
			p.seen.firstError = err
		}
		return
	}
	now := time.Now()
	p.seen.answers++
	p.seen.bytes += n
	p.seen.latencies = append(p.seen.latencies, now.Sub(due))
	p.seen.behind = append(p.seen.behind, p.from.behind(p.held, now))
	switch status {
	case http.StatusNotModified:
		p.seen.notModified++
	case http.StatusIMUsed:
		p.seen.patches++
	}
}

// ask makes the request and checks that the answer is one that the upstream
// gave. It returns the size of the answer's body.
func (p *poller) ask(ctx context.Context) (n int64, status int, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
	if err != nil {
		return 0, 0, err
	}
	if p.manner != plain && p.etag != "" {
		r.Header.Set("If-None-Match", p.etag)
		if p.manner == deltas {
			r.Header.Set("A-IM", "json-patch")
		}
	}
	res, err := p.client.Do(r)
	if err != nil {
		return 0, 0, err
	}
	defer res.Body.Close()
	p.body.Reset()
	if n, err = io.Copy(&p.body, res.Body); err != nil {
		return n, 0, err
	}
	return n, res.StatusCode, p.take(res)
}

func (p *poller) take(res *http.Response) error {
	switch {
	case res.StatusCode == http.StatusOK:
		change, ok := p.from.said(p.body.Bytes())
		if !ok {
			return fmt.Errorf("a body of %d bytes that the upstream never gave: %.80q", p.body.Len(), p.body.Bytes())
		}
		p.etag, p.held = res.Header.Get("Etag"), change
	case res.StatusCode == http.StatusNotModified && res.Header.Get("Etag") == p.etag:
	case res.StatusCode == http.StatusIMUsed && res.Header.Get("Delta-Base") == p.etag:
		change, ok := numberAfter(p.body.Bytes(), `"path":"/change","value":`)
		if !ok {
			return fmt.Errorf("a patch without the change: %.200q", p.body.Bytes())
		}
		p.etag, p.held = res.Header.Get("Etag"), change
	default:
		return fmt.Errorf("status %s with %v: %.200q", res.Status, res.Header, p.body.Bytes())
	}
	return nil
}

func (t *tally) add(o *tally) {
	t.answers += o.answers
	t.notModified += o.notModified
	t.patches += o.patches
	t.bytes += o.bytes
	t.latencies = append(t.latencies, o.latencies...)
	t.behind = append(t.behind, o.behind...)
	t.errors += o.errors
	if t.firstError == nil {
		t.firstError = o.firstError
	}
}

// quantile of sorted durations, in milliseconds.
func quantile(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[int(q*float64(len(sorted)-1))]) / 1e6
}
