package main

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// A result is what was measured of one contender.
type result struct {
	name     string
	watchers int
	idle     float64 // bytes of resident memory for each watcher
	one      figures // one change in flight
	four     figures // four
}

// figures are those of one load.
type figures struct {
	deliveries int
	elapsed    time.Duration
	server     time.Duration // CPU
	client     time.Duration // CPU
	p50, p99   float64       // ms from publishing to receipt
	first      float64       // ms until the first watcher has a change, median
	last       float64       // and until the last has it
	grown      int64         // bytes of memory
}

func (f figures) perSecond() float64 { return float64(f.deliveries) / f.elapsed.Seconds() }

// perMillion is the server's CPU seconds for a million deliveries.
func (f figures) perMillion() float64 {
	return f.server.Seconds() * 1e6 / float64(max(1, f.deliveries))
}

func (f figures) clientPerMillion() float64 {
	return f.client.Seconds() * 1e6 / float64(max(1, f.deliveries))
}

// members is how many processes so many watchers are: as many as there are
// processors, else one idles at the end of each change while the watchers, and
// not the server, are what is waited for; and more where one may not open files enough.
func members(watchers int) int { return max((watchers+14_999)/15_000, runtime.NumCPU()) }

// fanout measures a contender: memory, and changes to all, one and four at a
// time.
func (b *bench) fanout(c contender, watchers int) (*result, error) {
	res := &result{name: c.name, watchers: watchers}
	for _, inFlight := range []int{1, 4} {
		s, f, err := b.joined(c, watchers, inFlight)
		if err != nil {
			return nil, err
		}
		if inFlight == 1 {
			res.idle = float64(s.memory()-s.rss) / float64(watchers)
			res.one, err = b.load(s, f, 1)
		} else {
			res.four, err = b.load(s, f, 4)
		}
		b.over(s, f)
		if err != nil {
			return nil, fmt.Errorf("%d in flight: %w", inFlight, err)
		}
	}
	return res, nil
}

// joined starts a contender and has watchers join it; each has received one
// change of every channel.
func (b *bench) joined(c contender, watchers, channels int) (*server, *fleet, error) {
	s, err := c.start(&b.run)
	if err != nil {
		return nil, nil, err
	}
	f, err := newFleet(b.ctx, members(watchers))
	if err == nil {
		j := s.join(channels)
		j.Expect, j.InFlight = watchers, 200
		err = f.join(j, watchers)
	}
	if err == nil {
		_, err = b.changes(s, f, channels, 0)
	}
	if err != nil {
		b.over(s, f)
		return nil, nil, err
	}
	b.rest()
	return s, f, nil
}

func (b *bench) over(s *server, f *fleet) {
	if f != nil {
		f.stop()
	}
	s.stop()
}

// changes publishes on so many channels, again whenever all have received one,
// for some time, but once at least; and returns how many changes there were.
func (b *bench) changes(s *server, f *fleet, channels int, d time.Duration) (int, error) {
	end := time.Now().Add(d)
	for c := range channels {
		b.number++
		if err := s.publish(c, b.number); err != nil {
			return 0, err
		}
	}
	counts := make(map[string]int)
	n := 0
	for open := channels; open > 0; {
		change, err := f.completed(counts)
		if err != nil {
			return n, fmt.Errorf("after %d changes: %w", n, err)
		}
		n++
		if time.Now().After(end) {
			open--
			continue
		}
		channel, _, _ := strings.Cut(change, ":")
		c, err := strconv.Atoi(channel)
		if err != nil {
			return n, err
		}
		b.number++
		if err := s.publish(c, b.number); err != nil {
			return n, err
		}
	}
	return n, nil
}

// load measures changes to all.
func (b *bench) load(s *server, f *fleet, inFlight int) (figures, error) {
	if _, err := b.changes(s, f, inFlight, b.duration/8); err != nil { // to warm up
		return figures{}, err
	}
	if _, err := f.report(); err != nil {
		return figures{}, err
	}
	began, cpu, memory := time.Now(), s.cpu(), s.memory()
	_, err := b.changes(s, f, inFlight, b.duration)
	elapsed, used := time.Since(began), s.cpu()-cpu
	if err != nil {
		return figures{}, err
	}
	r, err := f.report()
	if err != nil {
		return figures{}, err
	}
	if r.Gone > 0 {
		return figures{}, fmt.Errorf("%d watchers were sent away", r.Gone)
	}
	return figures{
		deliveries: len(r.Latencies), elapsed: elapsed, server: used, client: r.CPU,
		p50: r.quantile(0.5), p99: r.quantile(0.99), first: median(r.First), last: median(r.Last),
		grown: s.memory() - memory,
	}, nil
}
