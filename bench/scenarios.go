package main

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strconv"
	"time"
)

// A scenario is one kind of work.
type scenario struct {
	name, title string
	run         func(b *bench, among string) error
}

var scenarios = []scenario{
	{"fanout", "One 1 KiB change to all watchers", (*bench).runFanout},
	{"deflate", "The same with permessage-deflate", (*bench).runDeflate},
	{"growth", "How cost grows with the number of watchers", (*bench).runGrowth},
	{"slow", "1,000 watchers that never read beside the others", (*bench).runSlow},
	{"join", "All join one resource at once, and resume", (*bench).runJoin},
	{"ten", "Ten subscriptions on each connection", (*bench).runTen},
	{"endtoend", "100 resources of 50 KB, 20 % of each changing every 500 ms, 3,000 watchers", (*bench).runEndToEnd},
	{"many", "Each watcher a resource of its own, each changing every second", (*bench).runMany},
	{"streams", "Event streams, and documents that are watched", (*bench).runStreams},
	{"idle", "100,000 idle connections", (*bench).runIdle},
}

func scenarioNames() []string {
	var names []string
	for _, s := range scenarios {
		names = append(names, s.name)
	}
	return names
}

func (b *bench) runFanout(among string) error {
	var contenders []contender
	for _, c := range b.contenders() {
		if listed(among, c.name) {
			contenders = append(contenders, c)
		}
	}
	b.header()
	results := make([]*result, len(contenders))
	for range b.repeat {
		for i, c := range contenders { // in turn, because others use the machine too
			res, err := b.fanout(c, b.watchers)
			switch {
			case err == nil:
				b.row(res)
				results[i] = better(results[i], res)
			case c.name == pollbridge.name:
				return fmt.Errorf("%s: %w", c.name, err)
			default: // a peer that fails under this load does not end the run
				fmt.Fprintf(b.out, "%-22s %v\n", c.name, err)
			}
		}
	}
	fmt.Fprintln(b.out, "best runs:")
	for _, r := range results {
		if r != nil {
			b.row(r)
		}
	}
	b.ratios(results)
	return nil
}

// better is, for each load, the run that took less CPU.
func better(a, b *result) *result {
	if a == nil {
		return b
	}
	a.idle = min(a.idle, b.idle)
	if b.one.perMillion() < a.one.perMillion() {
		a.one = b.one
	}
	if b.four.perMillion() < a.four.perMillion() {
		a.four = b.four
	}
	return a
}

func (b *bench) header() {
	fmt.Fprintf(b.out, "%-22s %8s | %8s %6s %6s %7s %7s %7s %7s | %8s %6s %7s %7s\n", "", "RSS/conn",
		"w1 msg/s", "cpu", "client", "p50", "p99", "first", "last", "w4 msg/s", "cpu", "p50", "p99")
}

func (b *bench) row(r *result) {
	fmt.Fprintf(b.out, "%-22s %8.0f | %8.0f %6.2f %6.2f %7.1f %7.1f %7.2f %7.1f | %8.0f %6.2f %7.1f %7.1f\n", fmt.Sprintf("%s %d", r.name, r.watchers), r.idle,
		r.one.perSecond(), r.one.perMillion(), r.one.clientPerMillion(), r.one.p50, r.one.p99, r.one.first, r.one.last,
		r.four.perSecond(), r.four.perMillion(), r.four.p50, r.four.p99)
}

// ratios compares pollbridge with the others.
func (b *bench) ratios(results []*result) {
	if len(results) == 0 || results[0].name != pollbridge.name {
		return
	}
	us := results[0]
	for _, r := range results[1:] {
		if r == nil {
			continue
		}
		fmt.Fprintf(b.out, "pollbridge / %-10s RSS %.2f  w1: cpu %.2f msg/s %.2f p99 %.2f  w4: cpu %.2f msg/s %.2f p99 %.2f\n", r.name, us.idle/r.idle,
			us.one.perMillion()/r.one.perMillion(), us.one.perSecond()/r.one.perSecond(), us.one.p99/r.one.p99,
			us.four.perMillion()/r.four.perMillion(), us.four.perSecond()/r.four.perSecond(), us.four.p99/r.four.p99)
	}
}

func (b *bench) runDeflate(string) error {
	b.header()
	plain, err := b.fanout(pollbridge, b.watchers)
	if err != nil {
		return err
	}
	b.row(plain)
	b.deflate = true
	defer func() { b.deflate = false }()
	deflated, err := b.fanout(contender{"pollbridge, deflated", pollbridge.start}, b.watchers)
	if err != nil {
		return err
	}
	b.row(deflated)
	fmt.Fprintf(b.out, "deflated / plain: RSS %.2f  w1: cpu %.2f\n", deflated.idle/plain.idle, deflated.one.perMillion()/plain.one.perMillion())
	return nil
}

func (b *bench) runGrowth(string) error {
	b.header()
	// the last of the 20,000 files that many systems allow are kept for polls
	for _, n := range []int{b.watchers / 10, b.watchers, min(b.watchers*37/20, 18_500)} {
		res, err := b.fanout(pollbridge, n)
		if err != nil {
			return err
		}
		b.row(res)
	}
	return nil
}

// runSlow compares the others' wait without and with watchers that never read:
// these watch a channel too whose first message is more than a connection
// holds.
func (b *bench) runSlow(string) error {
	const fat = 9
	up, err := serveUpstream(0, func(channel, number int, now time.Time) []byte {
		if channel == fat {
			return []byte(body(4<<20, stamp(channel, number, now.UnixNano())))
		}
		return fmt.Appendf(nil, `{"change":%s,"still":%q}`, body(b.size, stamp(channel, number, now.UnixNano())), pad(4*b.size))
	})
	if err != nil {
		return err
	}
	s, f, err := b.joined(contender{"pollbridge", func(r *run) (*server, error) { return startPollbridge(r, up, 10*time.Millisecond) }}, b.watchers, 1)
	if err != nil {
		return err
	}
	defer b.over(s, f)
	before, err := b.load(s, f, 1)
	if err != nil {
		return err
	}
	silent, err := newFleet(b.ctx, 1)
	if err != nil {
		return err
	}
	defer silent.stop()
	j := s.join(1)
	j.Messages = append(j.Messages, fmt.Sprintf(`{"type":"subscribe","url":"/api/%d"}`, fat))
	j.Silent, j.InFlight = true, 200
	rss := s.memory()
	count := min(1000, b.watchers/10)
	if err := silent.join(j, count); err != nil {
		return err
	}
	b.rest() // the fat document is read, and the first of it sent
	stalled := s.memory()
	after, err := b.load(s, f, 1)
	if err != nil {
		return err
	}
	fmt.Fprintf(b.out, "without: p50 %.1f p99 %.1f cpu %.2f; with %d that never read: p50 %.1f p99 %.1f cpu %.2f; p99 ratio %.2f\n",
		before.p50, before.p99, before.perMillion(), count, after.p50, after.p99, after.perMillion(), after.p99/before.p99)
	fmt.Fprintf(b.out, "memory: %d KiB more when they had stalled; during %d changes it grew by %d KiB, without them during %d by %d KiB\n",
		(stalled-rss)>>10, after.deliveries/b.watchers, after.grown>>10, before.deliveries/b.watchers, before.grown>>10)
	return nil
}

// runJoin has all join one resource at once, leave, and come back with the
// version they hold.
func (b *bench) runJoin(string) error {
	up, err := newUpstream(b.size)
	if err != nil {
		return err
	}
	s, err := startPollbridge(&b.run, up, time.Hour)
	if err != nil {
		return err
	}
	f, err := newFleet(b.ctx, members(b.watchers))
	if err != nil {
		s.stop()
		return err
	}
	defer b.over(s, f)
	j := s.join(1)
	if err := b.joinOnce(s, f, "join", j); err != nil {
		return err
	}
	if err := f.leave(); err != nil {
		return err
	}
	b.rest()
	text, _ := up.current(0)
	sum := sha256.Sum256(text)
	j.Messages = []string{fmt.Sprintf(`{"type":"subscribe","url":"/api/0","version":%q}`, base64.RawURLEncoding.EncodeToString(sum[:16]))}
	j.Ready = []byte(`"type":"current"`)
	return b.joinOnce(s, f, "resume", j)
}

func (b *bench) joinOnce(s *server, f *fleet, what string, j join) error {
	if _, err := f.report(); err != nil {
		return err
	}
	began, cpu, requests := time.Now(), s.cpu(), s.upstream.requests.Load()
	if err := f.join(j, b.watchers); err != nil {
		return err
	}
	elapsed, used := time.Since(began), s.cpu()-cpu
	r, err := f.report()
	if err != nil {
		return err
	}
	fmt.Fprintf(b.out, "%s: %d watchers in %v (%.0f/s), %d upstream requests, %d bytes each, CPU %v\n", what, b.watchers, elapsed.Round(time.Millisecond),
		float64(b.watchers)/elapsed.Seconds(), s.upstream.requests.Load()-requests, r.Bytes/int64(b.watchers), used)
	return nil
}

func (b *bench) runTen(string) error {
	var rss [2]float64
	for i, channels := range []int{1, 10} {
		s, f, err := b.joined(pollbridge, b.watchers, channels)
		if err != nil {
			return err
		}
		rss[i] = float64(s.memory()-s.rss) / float64(b.watchers)
		b.over(s, f)
	}
	fmt.Fprintf(b.out, "RSS per connection: %.0f with one, %.0f with ten: %.0f for each further subscription\n", rss[0], rss[1], (rss[1]-rss[0])/9)
	return nil
}

// stream measures what comes by itself.
func (b *bench) stream(every time.Duration, resources, watchers int, interval time.Duration, make func(channel, number int, now time.Time) []byte) error {
	up, err := serveUpstream(every, make)
	if err != nil {
		return err
	}
	s, err := startPollbridge(&b.run, up, interval)
	if err != nil {
		return err
	}
	f, err := newFleet(b.ctx, members(watchers))
	if err != nil {
		s.stop()
		return err
	}
	defer b.over(s, f)
	j := s.join(1)
	j.Target, j.Messages, j.Modulo, j.InFlight = "/api/%d", nil, resources, 200
	if err := f.join(j, watchers); err != nil {
		return err
	}
	time.Sleep(max(b.settle, 2*interval))
	if _, err := f.report(); err != nil {
		return err
	}
	began, cpu, requests, own := time.Now(), s.cpu(), up.requests.Load(), ownCPU()
	time.Sleep(2 * b.duration)
	elapsed := time.Since(began).Seconds()
	used, ownUsed, polls := s.cpu()-cpu, ownCPU()-own, up.requests.Load()-requests
	r, err := f.report()
	if err != nil {
		return err
	}
	fmt.Fprintf(b.out, "%.0f events/s (%d watchers), %.0f polls/s; served to received: p50 %.2f p99 %.2f max %.1f ms; %d bytes each; RSS %d MiB; CPU: server %.2f, watchers %.2f, upstream %.2f cores\n",
		float64(len(r.Latencies))/elapsed, r.Open, float64(polls)/elapsed, r.quantile(0.5), r.quantile(0.99), r.quantile(1), r.Bytes/int64(max(1, r.Frames)),
		s.memory()>>20, used.Seconds()/elapsed, r.CPU.Seconds()/elapsed, ownUsed.Seconds()/elapsed)
	return nil
}

func (b *bench) runEndToEnd(string) error {
	const resources, items, itemSize, share = 100, 100, 500, 5
	stock := pad(1 << 20) // to take texts from, quickly
	texts := make(map[int]*[items]string)
	return b.stream(500*time.Millisecond, resources, min(3000, b.watchers), 100*time.Millisecond, func(channel, number int, now time.Time) []byte {
		t := texts[channel]
		fresh := t == nil
		if fresh {
			t = new([items]string)
			texts[channel] = t
		}
		for i := range t {
			if fresh || i%share == number%share {
				at := rand.IntN(len(stock) - itemSize)
				t[i] = stock[at : at+itemSize-30]
			}
		}
		out := make([]byte, 0, (items+1)*itemSize)
		out = fmt.Appendf(out, `{"stamp":%q,"items":[`, stamp(channel, number, now.UnixNano()))
		for i, text := range t {
			if i > 0 {
				out = append(out, ',')
			}
			out = strconv.AppendInt(append(out, `{"id":`...), int64(i), 10)
			out = append(append(append(out, `,"text":"`...), text...), `"}`...)
		}
		return append(out, "]}"...)
	})
}

func (b *bench) runMany(string) error {
	still := pad(b.size)
	return b.stream(time.Second, b.watchers, b.watchers, time.Second, func(channel, number int, now time.Time) []byte {
		return fmt.Appendf(nil, `{"stamp":%q,"value":%d,"still":%q}`, stamp(channel, number, now.UnixNano()), number, still)
	})
}

// runIdle needs several processes, because one can open 20,000 files.
func (b *bench) runIdle(string) error {
	const each = 16_000
	total := b.watchers * 10
	var rss, peak int64
	for left := total; left > 0; left -= each {
		s, f, err := b.joined(pollbridge, min(each, left), 1)
		if err != nil {
			return err
		}
		defer b.over(s, f)
		rss += s.memory()
		peak += s.status("VmHWM:")
	}
	fmt.Fprintf(b.out, "%d connections in %d processes: RSS %d MiB together, %d each; at most %d MiB\n", total, (total+each-1)/each, rss>>20, rss/int64(total), peak>>20)
	return nil
}
