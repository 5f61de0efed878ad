package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	peerside "pollbridge/client"
)

// A lockedSource gives numbers to the upstream's goroutines and the test's.
type lockedSource struct {
	mu     sync.Mutex // guards source
	source rand.Source
}

func (l *lockedSource) Uint64() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.source.Uint64()
}

// TestOrderAndTruth plays random upstreams and random clients, and holds the
// section "Order and truth" of the protocol for every subscription there is:
//
//   - the first message, an alias aside, is a snapshot, current, stale or the end;
//   - every patch is from the version before it;
//   - the documents that a client builds are in order a subsequence of what the
//     upstream answered, also over reconnects: nothing invented, never backwards;
//   - a version names one document, for everybody and always;
//   - when the upstream rests, everybody has its last answer within one interval.
func TestOrderAndTruth(t *testing.T) {
	seeds := 15
	if testing.Short() || raceDetector {
		seeds = 6
	}
	var total tally
	t.Run("seeds", func(t *testing.T) {
		for seed := range seeds {
			t.Run(strconv.Itoa(seed), func(t *testing.T) {
				t.Parallel()
				within(t, truthRules, func(w *world) { newTruth(w, uint64(seed), &total).play() })
			})
		}
	})
	total.check(t, int64(seeds))
}

// check prints what was tried, and fails where that is too little of anything.
func (t *tally) check(test *testing.T, least int64) {
	test.Log(t.String())
	if name, n := t.rarest(); n < least {
		test.Errorf("only %d times %s: the test has tried too little", n, name)
	}
}

// rarest is what was tried the fewest times.
func (t *tally) rarest() (name string, n int64) {
	n = math.MaxInt64
	for what, count := range t.counts() {
		if what != "answer" && count < n { // these are counted at the end
			name, n = what, count
		}
	}
	return name, n
}

const (
	truthRules = `
endpoints:
  - {path: "/json/{x}", interval: 1s, timeout: 2s, linger: 3s, vary: []}
  - {path: "/merge/{x}", interval: 1s, timeout: 2s, linger: 1s, vary: [], format: merge-patch}
  - {path: "/whole/{x}", interval: 500ms, timeout: 2s, linger: 0s, vary: [], format: snapshot}
  - {path: "/lines/{x}", interval: 1s, max_interval: 3s, timeout: 2s, linger: 3s, vary: []}
  - {path: "/ignore/{x}", interval: 1s, timeout: 2s, linger: 3s, vary: [], ignore: ["/tick"]}
limits: {subscriptions_per_connection: 100}
`
	truthInterval = 3 * time.Second // the longest of them in force
)

// A tally counts what was tried.
type tally struct {
	snapshots, patches, merges, currents, stales, ends, resumes, failures, answers atomic.Int64
}

func (t *tally) counts() map[string]int64 {
	return map[string]int64{
		"snapshot": t.snapshots.Load(), "patch": t.patches.Load(), "merge patch": t.merges.Load(), "current": t.currents.Load(),
		"stale": t.stales.Load(), "end": t.ends.Load(), "resume": t.resumes.Load(), "failed answer": t.failures.Load(), "answer": t.answers.Load(),
	}
}

func (t *tally) String() string {
	return fmt.Sprint("checked: ", strings.TrimPrefix(fmt.Sprint(t.counts()), "map"))
}

// A truth is one world that knows what its upstream has said.
type truth struct {
	w     *world
	r     *rand.Rand
	total *tally
	rests atomic.Bool   // the upstream answers at once and clients stay
	speed time.Duration // all times are divided by it
	blob  string        // is in every document, so that it does not fit a buffer

	mu       sync.Mutex // guards the fields below; never held while time passes
	feeds    map[string]*feed
	versions map[string]string // the document that a version names
}

func newTruth(w *world, seed uint64, total *tally) *truth {
	return &truth{w: w, speed: 1, r: rand.New(&lockedSource{source: rand.NewPCG(seed, 1)}), total: total, feeds: map[string]*feed{}, versions: map[string]string{}}
}

func (u *truth) play() {
	urls := []string{"/json/1", "/json/2", "/merge/1", "/whole/1", "/lines/1", "/ignore/1"}
	u.r.Shuffle(len(urls), func(i, j int) { urls[i], urls[j] = urls[j], urls[i] })
	urls = urls[:1+u.r.IntN(4)]
	for _, url := range urls {
		f := &feed{lines: strings.HasPrefix(url, "/lines"), ticks: strings.HasPrefix(url, "/ignore"), blob: u.blob}
		u.feeds[url] = f
		for range 2 + u.r.IntN(4) {
			f.pool = append(f.pool, f.document(u.r))
		}
		f.body = f.pool[0]
	}
	w := u.w
	w.answer(u.serve)

	end := make(chan struct{})
	var clients []*watcher
	var running sync.WaitGroup
	for i := range 3 + u.r.IntN(5) {
		c := &watcher{truth: u, name: i, url: urls[i%len(urls)], r: rand.New(rand.NewPCG(u.r.Uint64(), 2)), end: end}
		clients = append(clients, c)
		running.Go(c.run)
	}
	for start := time.Now(); time.Since(start) < time.Minute/u.speed || u.isSlow(start); time.Sleep(time.Duration(u.r.IntN(1500)) * time.Millisecond / u.speed) {
		u.change(urls[u.r.IntN(len(urls))])
	}
	u.settle("before the end")
	time.Sleep(75 * time.Second / u.speed) // a backoff and the slowest reader, at most
	u.settle("the end")
	time.Sleep(truthInterval + 100*time.Millisecond)
	for _, c := range clients {
		for start := time.Now(); u.speed > 1 && !c.isLatest() && time.Since(start) < time.Minute; {
			time.Sleep(10 * time.Millisecond) // real time has hitches
		}
		if !c.isLatest() {
			c.errorf("it does not hold what is the latest since an interval")
		}
	}
	close(end)
	running.Wait()
	u.mu.Lock()
	defer u.mu.Unlock() // a poll may be under way still
	for _, f := range u.feeds {
		u.total.answers.Add(int64(len(f.answers)))
	}
}

// isSlow reports whether real time has not been enough yet for everything to
// happen, and there is some left.
func (u *truth) isSlow(start time.Time) bool {
	_, n := u.total.rarest()
	return u.speed > 1 && n == 0 && time.Since(start) < time.Minute
}

// A watcher is a client that comes, reads as fast as it likes, and goes.
type watcher struct {
	*truth
	name int
	url  string
	r    *rand.Rand
	end  chan struct{}

	version string // what it holds
	doc     []byte
	seen    int  // the index of it in what the upstream answered, at the earliest
	first   bool // the next message is the first
	stale   string
	heard   []string // the last few messages

	mu sync.Mutex // guards the document, which isLatest looks at
}

func (c *watcher) errorf(format string, args ...any) {
	if c.w.t.Failed() {
		return // the first one tells the most
	}
	heard := strings.ReplaceAll(strings.Join(c.heard, "\n      "), padding, "…")
	c.w.t.Errorf("client %d of %s at %s: %s\nholding %s %s\nafter %s", c.name, c.url, time.Now().Format("04:05.000"),
		strings.ReplaceAll(fmt.Sprintf(format, args...), padding, "…"), c.version, bytes.ReplaceAll(c.doc, []byte(padding), []byte("…")), heard)
}

func (c *watcher) run() {
	for !c.over() && !c.w.t.Failed() {
		c.connect()
		c.pause(3000)
	}
}

func (c *watcher) over() bool {
	select {
	case <-c.end:
		return true
	default:
		return false
	}
}

// pause waits for up to so many ms, unless all rests.
func (c *watcher) pause(ms int) {
	if !c.rests.Load() {
		time.Sleep(time.Duration(c.r.IntN(ms)) * time.Millisecond / c.speed)
	}
}

// connect holds one connection for a while.
func (c *watcher) connect() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	path, fresh := "/", c.r.IntN(4) == 0
	if fresh && c.r.IntN(2) == 0 {
		path = c.url
	}
	ws, _, err := websocket.Dial(ctx, "ws://proxy.test"+path, &websocket.DialOptions{HTTPClient: c.w.http})
	if err != nil {
		c.errorf("%v", err)
		return
	}
	ws.SetReadLimit(-1)
	messages := make(chan frameRead) // no buffer: who is slow does not read
	go func() {
		defer close(messages)
		for {
			_, text, err := ws.Read(context.Background())
			messages <- frameRead{text, err}
			if err != nil {
				return
			}
		}
	}()
	defer func() {
		ws.CloseNow()
		for range messages {
		}
	}()
	if path == "/" {
		c.subscribe(ws, fresh)
	} else {
		c.begin(true)
	}
	c.follow(ws, messages)
}

func (c *watcher) begin(fresh bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.first, c.stale = true, ""
	if fresh {
		c.version, c.doc = "", nil
	} else if c.version != "" {
		c.total.resumes.Add(1)
	}
}

func (c *watcher) subscribe(ws *websocket.Conn, fresh bool) {
	c.begin(fresh)
	m := map[string]any{"type": "subscribe", "url": c.url, "version": c.version}
	if c.r.IntN(4) == 0 && !c.rests.Load() {
		m["throttle"] = c.r.IntN(3000) / int(c.speed)
	}
	text, _ := json.Marshal(m)
	ws.Write(context.Background(), websocket.MessageText, text)
}

// follow reads until it has enough of it.
func (c *watcher) follow(ws *websocket.Conn, messages <-chan frameRead) {
	slow := []int{1, 1, 300, 5000, 12_000}[c.r.IntN(5)]
	start := time.Now()
	for {
		stay := time.Duration(c.r.IntN(8000)) * time.Millisecond / c.speed
		if c.rests.Load() {
			stay = time.Hour
		}
		select {
		case m := <-messages:
			if m.err != nil {
				return // given up, being slow
			}
			c.check(m.text, false)
			// Before the first ping comes: it would wait for the reader with a mutex
			// held, which simulated time does not get by.
			if c.speed == 1 && !c.rests.Load() && time.Since(start)+time.Duration(slow)*time.Millisecond > 14*time.Second {
				return
			}
			c.pause(slow)
		case <-c.end:
			return
		case <-time.After(stay):
			if c.r.IntN(3) == 0 || !c.leave(ws, messages) {
				return
			}
			c.subscribe(ws, c.r.IntN(5) == 0) // again, most times with what it holds
		}
		if c.w.t.Failed() {
			return
		}
	}
}

// leave unsubscribes and reads until it is told.
func (c *watcher) leave(ws *websocket.Conn, messages <-chan frameRead) bool {
	ws.Write(context.Background(), websocket.MessageText, []byte(`{"type":"unsubscribe","url":"`+c.url+`"}`))
	for m := range messages {
		if m.err != nil {
			return false
		}
		if c.check(m.text, true) {
			return true
		}
	}
	return false
}

// check holds a message to the protocol, and takes it in. It reports the end
// of the subscription.
func (c *watcher) check(text []byte, leaving bool) (ended bool) {
	var m peerside.Message
	if err := json.Unmarshal(text, &m); err != nil || m.URL != c.url {
		c.errorf("got %s: %v", text, err)
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard = append(c.heard[max(0, len(c.heard)-9):], time.Now().Format("04:05.000 ")+string(text))
	if m.At.After(time.Now()) || m.Since.After(time.Now()) {
		c.errorf("it is not that late yet")
	}
	switch m.Type {
	case peerside.TypeSnapshot:
		c.total.snapshots.Add(1)
		c.hold(m, m.Data)
	case peerside.TypePatch:
		c.total.patches.Add(1)
		c.patch(m)
	case peerside.TypeCurrent:
		c.total.currents.Add(1)
		if m.Version != c.version || !c.first && c.stale == "" {
			c.errorf("confirmed what it does not hold, or what was not in doubt")
		}
		c.stale = ""
	case peerside.TypeStale:
		c.total.stales.Add(1)
		if m.Error == nil || m.Error.Error() == c.stale {
			c.errorf("stale again")
		} else {
			c.stale = m.Error.Error()
		}
	case peerside.TypeEnd:
		c.total.ends.Add(1)
		if !leaving || m.Error != nil {
			c.errorf("an end that it did not ask for")
		}
		return true
	default:
		c.errorf("what is that?")
	}
	c.first = false
	return false
}

func (c *watcher) patch(m peerside.Message) {
	if m.From != c.version {
		c.errorf("a patch from another version")
		return
	}
	apply := peerside.Apply
	if m.Format == peerside.FormatMergePatch {
		apply = peerside.ApplyMerge
		c.total.merges.Add(1)
	}
	doc, err := apply(c.doc, m.Patch)
	if err != nil {
		c.errorf("%v", err)
		return
	}
	c.hold(m, doc)
}

// hold takes in a document, which the upstream has to have given, later than
// the one before.
func (c *watcher) hold(m peerside.Message, doc []byte) {
	c.stale = ""
	if m.Version == c.version {
		c.errorf("the version that it holds already")
	}
	canonical := canonicalJSON(c.w.t, doc)
	c.truth.mu.Lock()
	defer c.truth.mu.Unlock()
	if known, ok := c.versions[m.Version]; ok && known != canonical {
		c.errorf("version %s was\n%s", m.Version, known)
	}
	c.versions[m.Version] = canonical
	answers := c.feeds[c.url].answers
	at := c.seen
	for at < len(answers) && answers[at] != canonical {
		at++
	}
	if at == len(answers) {
		c.errorf("the upstream has not said this since: %s", canonical)
	}
	c.seen, c.version, c.doc = at, m.Version, bytes.Clone(doc)
}

// isLatest reports whether it holds what the upstream said last, ignored members
// aside.
func (c *watcher) isLatest() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.truth.mu.Lock()
	defer c.truth.mu.Unlock()
	f := c.feeds[c.url]
	want, _ := decoded(f.asJSON(f.body))
	got, _ := decoded(c.doc)
	for _, v := range []any{want, got} {
		if o, ok := v.(map[string]any); ok {
			delete(o, "tick")
		}
	}
	a, _ := json.Marshal(got)
	b, _ := json.Marshal(want)
	return bytes.Equal(a, b) && c.stale == ""
}
