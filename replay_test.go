package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"pollbridge/client"
	"pollbridge/config"
	"pollbridge/proxy"
)

// TestReplay has a real upstream give real feeds, response by response, through
// the proxy to clients on real sockets, and holds every document that a client
// builds against what the upstream has said. The recorded feeds are not part of
// the project; those under testdata are always replayed.
func TestReplay(t *testing.T) {
	t.Run("testdata", func(t *testing.T) { replay(t, loadFeeds(t, "testdata/feeds", 100, 1<<20)) })
	t.Run("corpus", func(t *testing.T) {
		const corpus = "../shared/corpus"
		if found, _ := filepath.Glob(corpus + "/profiles.json"); found == nil {
			t.Skip(corpus + " is not there")
		}
		replay(t, loadFeeds(t, corpus, replaySteps, replayBytes))
	})
}

// A stage is all that takes part in one replay.
type stage struct {
	t       *testing.T
	ctx     context.Context
	url     string // of the proxy
	feeds   []*feed
	viewers []*viewer
	news    chan struct{} // one slot: some viewer has seen something

	cameBack, cheaply atomic.Int64 // see resumed
}

func replay(t *testing.T, feeds []*feed) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	upstream := http.NewServeMux()
	for _, f := range feeds {
		upstream.Handle("/feeds/"+f.name, f)
	}
	behind := httptest.NewServer(upstream)
	defer behind.Close()
	p, err := proxy.New(configure(t, behind.URL, feeds), proxy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	front := httptest.NewServer(p)
	defer front.Close()

	s := &stage{t: t, ctx: ctx, url: front.URL, feeds: feeds, news: make(chan struct{}, 1)}
	var running sync.WaitGroup
	for _, f := range feeds {
		for name, view := range map[string]func(*stage, *viewer){
			"leading": (*stage).lead, "resuming": (*stage).comeAndGo, "slow": (*stage).dawdle, "throttled": (*stage).throttle,
		} {
			v := s.viewer(f, name)
			running.Go(func() { view(s, v) })
		}
	}
	together := make(map[string]*viewer)
	for _, f := range feeds {
		together["/feeds/"+f.name] = s.viewer(f, "together")
	}
	running.Go(func() { s.together(together) })

	s.waitForRest()
	cancel()
	running.Wait()
	p.Drain(t.Context())
	if !t.Failed() {
		s.checkLeaders()
		s.table()
	}
}

// configure writes the rules as an operator would.
func configure(t *testing.T, upstream string, feeds []*feed) *config.Config {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "upstream: %q\nendpoints:\n", upstream)
	for _, f := range feeds {
		ignore, _ := json.Marshal(f.ignore) // JSON is YAML
		fmt.Fprintf(&b, "  - {path: %q, interval: 10ms, timeout: 60s, linger: 5s, vary: [], keys: %s, ignore: %s}\n", "/feeds/"+f.name, f.keys, ignore)
	}
	cfg, err := config.Parse("replay.yaml", []byte(b.String()), nil)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// A viewer is one client's view of one feed.
type viewer struct {
	s    *stage
	f    *feed
	name string

	mu                        sync.Mutex // guards the fields below
	at                        int        // the step that the client's document is, -1 before the first
	seen                      map[int]bool
	patches, snapshots, bytes int
}

func (s *stage) viewer(f *feed, name string) *viewer {
	v := &viewer{s: s, f: f, name: name, at: -1, seen: map[int]bool{}}
	s.viewers = append(s.viewers, v)
	return v
}

// took takes in what a client has been told: its document is one that the
// upstream gave, whole, and none from before the one it had.
func (v *viewer) took(u client.Update) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.bytes += u.Bytes
	if u.Patch != nil {
		v.patches++
	} else if u.Stale == nil {
		v.snapshots++
	}
	if len(u.Patch) > len(u.Data) {
		v.failf("a patch of %d bytes to a document of %d", len(u.Patch), len(u.Data))
	}
	if u.Data == nil {
		return
	}
	got := u.Data
	if v.f.text {
		got = []byte(u.Text())
	}
	at := v.find(got)
	if at < 0 {
		v.failf("after step %d it holds what the upstream did not say then:\n%s", v.at, v.nearest(got))
		return
	}
	v.at = at
	v.seen[at] = true
	select {
	case v.s.news <- struct{}{}:
	default:
	}
}

// find returns the first step from where the viewer is to where the upstream
// is that has given exactly this document, -1 if none has.
func (v *viewer) find(got []byte) int {
	now, _ := v.f.now()
	from := max(v.at, 0)
	for i := from; i <= now; i++ {
		if s := v.f.steps[i]; s.good && bytes.Equal(s.want, got) {
			return i
		}
	}
	if v.f.text || !json.Valid(got) {
		return -1
	}
	text := canonical(got) // the order of members may have changed, and escapes
	for i := from; i <= now; i++ {
		if s := v.f.steps[i]; s.good && s.canonical() == text {
			return i
		}
	}
	return -1
}

// nearest shows where a document parts from the one it could be.
func (v *viewer) nearest(got []byte) string {
	now, _ := v.f.now()
	nearest, want := -1, ""
	text := string(got)
	if !v.f.text {
		text = canonical(got)
	}
	for i := max(v.at, 0); i <= now; i++ {
		step := v.f.steps[i]
		if !step.good {
			continue
		}
		said := string(step.want)
		if !v.f.text {
			said = step.canonical()
		}
		if common := commonPrefix(text, said); common > nearest {
			nearest, want = common, said
		}
	}
	show := func(s string) string { return s[min(max(0, nearest-60), len(s)):min(len(s), max(nearest, 0)+100)] }
	return fmt.Sprintf("at byte %d\ngot  ...%s\nwant ...%s", nearest, show(text), show(want))
}

func commonPrefix(a, b string) (n int) {
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

func (v *viewer) failf(format string, args ...any) {
	v.s.t.Errorf("%s, %s: %s", v.f.name, v.name, fmt.Sprintf(format, args...))
}

// watch follows the feed until see says no.
func (v *viewer) watch(o *client.Options, see func(client.Update) bool) {
	for u, err := range client.Watch(v.s.ctx, v.s.url+"/feeds/"+v.f.name, o) {
		if err != nil {
			if v.s.ctx.Err() == nil {
				v.failf("%v", err)
			}
			return
		}
		v.took(u)
		if !see(u) {
			return
		}
	}
}

// lead sees every step there is to see: the upstream waits for it. While the
// upstream fails it keeps the last good document.
func (s *stage) lead(v *viewer) {
	v.watch(nil, func(u client.Update) bool {
		at, _ := v.f.now()
		switch {
		case u.Stale == nil:
			v.f.observed(v.at)
		case u.Stale.Code == client.CodeDisconnected:
			v.failf("lost its connection: %s", u.Stale.Message)
		case v.f.steps[at].good || v.f.steps[at].code != u.Stale.Code:
			v.failf("is told %v at step %d, where it should be %q", u.Stale, at, v.f.steps[at].code)
		default:
			v.seen[at] = true
			v.f.observed(at)
		}
		return true
	})
}

// comeAndGo leaves after some updates, and resumes from the last.
func (s *stage) comeAndGo(v *viewer) {
	r := rand.New(rand.NewPCG(1, uint64(v.f.index)))
	o := &client.Options{}
	for s.ctx.Err() == nil {
		left, first := 2+r.IntN(8), o.Resume.Data != nil
		v.watch(o, func(u client.Update) bool {
			if first {
				s.resumed(u.Patch != nil || u.Version == o.Resume.Version)
			}
			o.Resume, first = u, false
			left--
			return left > 0
		})
	}
}

// dawdle reads nothing for five steps after each update.
func (s *stage) dawdle(v *viewer) {
	v.watch(nil, func(client.Update) bool {
		begin, _ := v.f.now()
		for {
			at, moved := v.f.now()
			if at >= begin+5 || at == len(v.f.steps)-1 {
				return true
			}
			select {
			case <-moved:
			case <-s.ctx.Done():
				return true
			}
		}
	})
}

// resumed counts those who came back, and those who did not need the whole.
func (s *stage) resumed(cheaply bool) {
	s.cameBack.Add(1)
	if cheaply {
		s.cheaply.Add(1)
	}
}

func (s *stage) throttle(v *viewer) {
	v.watch(&client.Options{Throttle: 100 * time.Millisecond, Compression: true}, func(client.Update) bool { return true })
}

// together watches all feeds on one socket, message by message, and takes
// the protocol at its word.
func (s *stage) together(viewers map[string]*viewer) {
	conn, err := client.Dial(s.ctx, s.url, nil)
	if err != nil {
		s.t.Error(err)
		return
	}
	defer conn.CloseNow()
	for url := range viewers {
		if err := conn.Subscribe(s.ctx, url, client.SubscribeOptions{}); err != nil {
			s.t.Error(err)
			return
		}
	}
	held := map[string]client.Update{}
	for {
		m, err := conn.Next(s.ctx)
		if err != nil {
			if s.ctx.Err() == nil {
				s.t.Error(err)
			}
			return
		}
		v := viewers[m.URL]
		if v == nil {
			s.t.Errorf("a message about %q: %s", m.URL, m.Type)
			return
		}
		u, err := follow(held[m.URL], m)
		if err != nil {
			v.failf("%v", err)
			return
		}
		held[m.URL] = u
		v.took(u)
	}
}

// follow is the protocol without any forgiveness.
func follow(u client.Update, m client.Message) (client.Update, error) {
	u.Bytes, u.Patch = m.Size, nil
	switch m.Type {
	case client.TypeSnapshot:
		u.Data, u.Version, u.Lines, u.Stale = m.Data, m.Version, m.Format == client.FormatLines, nil
	case client.TypePatch:
		if m.From != u.Version {
			return u, fmt.Errorf("a patch from %q, and the document is %q", m.From, u.Version)
		}
		data, err := client.Apply(u.Data, m.Patch)
		if err != nil {
			return u, fmt.Errorf("%w: %s", err, m.Patch)
		}
		u.Data, u.Version, u.Patch, u.Stale = data, m.Version, m.Patch, nil
	case client.TypeCurrent:
		if m.Version != u.Version || u.Stale == nil {
			return u, fmt.Errorf("%q is confirmed, and the document is %q, stale: %v", m.Version, u.Version, u.Stale)
		}
		u.Stale = nil
	case client.TypeStale:
		u.Stale = m.Error
	default:
		return u, fmt.Errorf("an unexpected message of type %s: %v", m.Type, m.Error)
	}
	return u, nil
}

// waitForRest returns when every viewer holds what the upstream says last.
func (s *stage) waitForRest() {
	for {
		busy := s.busy()
		if len(busy) == 0 || s.t.Failed() {
			return
		}
		select {
		case <-s.news:
		case <-time.After(replayLimit):
			s.t.Errorf("nothing happens; these have not arrived:\n%s", strings.Join(busy, "\n"))
			return
		}
	}
}

func (s *stage) busy() (busy []string) {
	for _, v := range s.viewers {
		now, _ := v.f.now()
		v.mu.Lock()
		at := v.at
		v.mu.Unlock()
		if at < 0 || now < len(v.f.steps)-1 || v.f.steps[at].state != v.f.last().state {
			busy = append(busy, fmt.Sprintf("%s, %s: at step %d, the upstream at %d of %d", v.f.name, v.name, at, now, len(v.f.steps)-1))
		}
	}
	return busy
}

// checkLeaders holds that every change and every failure was pushed.
func (s *stage) checkLeaders() {
	for _, v := range s.viewers {
		for i, step := range v.f.steps {
			if v.name == "leading" && step.visible && !v.seen[i] && !(step.good && i > 0 && !v.f.steps[i-1].good) {
				v.failf("step %d of %d was never told", i, len(v.f.steps))
			}
		}
	}
}

// table prints what a client that polls each version once has to fetch, and
// what the leading viewer was sent instead.
func (s *stage) table() {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "feed\tversions\tof\tbytes polled\tbytes pushed\tpushed/polled\tpatches\tsnapshots\t")
	polled, pushed := 0, 0
	for _, v := range s.viewers {
		if v.name != "leading" {
			continue
		}
		versions := len(v.f.steps) - 1 // without the fault that was added
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%.2f %%\t%d\t%d\t\n", v.f.name, versions, v.f.all,
			v.f.polled, v.bytes, 100*float64(v.bytes)/float64(v.f.polled), v.patches, v.snapshots)
		polled += v.f.polled
		pushed += v.bytes
	}
	fmt.Fprintf(w, "total\t\t\t%d\t%d\t%.2f %%\t\t\t\n", polled, pushed, 100*float64(pushed)/float64(polled))
	w.Flush()
	s.t.Logf("uncompressed, by one client:\n%s", b.String())
	s.t.Logf("%d times a client came back, %d times without being sent the whole", s.cameBack.Load(), s.cheaply.Load())
	if s.cheaply.Load() == 0 {
		s.t.Error("nobody was ever resumed by a patch or a confirmation")
	}
	if pushed > polled {
		s.t.Errorf("%d bytes pushed where %d would have been polled", pushed, polled)
	}
}
