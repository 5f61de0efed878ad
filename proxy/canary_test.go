package proxy

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pollbridge/admin"
	"pollbridge/config"
	"pollbridge/internal/pipe"
)

// TestCanaries has random users look at random things in all the ways there
// are, by random rules, against an upstream that answers everybody with a word
// that only that user may see, and misbehaves. Every byte that leaves to a user
// is searched for the words of others; every request that reaches the upstream
// for what its rule does not name; and the log, the errors and the operator's
// pages for any secret at all.
//
// A secret is canary, a letter that says whose it is, and more. Upper case
// letters are users. What has another sign is nobody's, or that of some:
//
//	$  the document that is shared by rules with authorize: true
//	=  the document that is shared by rules with authorize: same
//	!  an answer that is marked as one that may not be shared
//	#  the operator's key
func TestCanaries(t *testing.T) {
	seeds := 12
	if testing.Short() || raceDetector {
		seeds = 3
	}
	tried := &trials{count: make(map[string]int)}
	t.Run("seeds", func(t *testing.T) {
		for seed := range seeds {
			t.Run(strconv.Itoa(seed), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { newAviary(t, uint64(seed), tried).play() })
			})
		}
	})
	var list []string
	for _, name := range slices.Sorted(maps.Keys(tried.count)) {
		list = append(list, fmt.Sprintf("%s %d", name, tried.count[name]))
	}
	t.Logf("tried in %d worlds: %s", seeds, strings.Join(list, ", "))
	if testing.Short() || raceDetector {
		return // too few to have tried everything
	}
	for _, name := range []string{
		"GET", "HEAD", "POST", "stream", "long-poll", "socket on /", "socket on a url", "subscribe with headers", "another's version", "unsubscribe", "refresh", "reload", "end not_found",
		"got snapshot", "got patch", "got current", "got stale", "got end", "end not_shareable", "end unauthorized", "end limit", "from the snapshot", "delta", "304",
		"poll for a user", "poll for all", "probe", "passed through", "touch", "conditional poll", "answer marked as private", "answer 401", "answer redirected",
		"answer elsewhere", "answer 500", "answer malformed", "answer Set-Cookie", "saw $", "saw =", "saw own",
	} {
		if tried.count[name] == 0 {
			t.Errorf("never: %s", name)
		}
	}
}

// trials counts what was tried.
type trials struct {
	mu    sync.Mutex // guards count
	count map[string]int
}

func (t *trials) add(name string, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count[name] += n
}

// An aviary is one world of a test with canaries.
type aviary struct {
	t        *testing.T
	tried    *trials
	proxy    *Proxy
	front    *pipe.Listener
	users    []*user
	log      lockedBuffer
	began    time.Time
	operator http.Handler // what is there for this one

	mu       sync.Mutex // guards the fields below
	r        *rand.Rand
	versions []string             // that anybody has heard of
	revoked  map[string]time.Time // whom the upstream lets see what authorize guards no more
	mood     string               // how the upstream answers at present
	n        int                  // in the documents
}

const reauthorize = 10 * time.Second

// kinds says for every rule which of a user's secrets may reach the upstream
// with a poll.
var kinds = map[string][]string{
	"default": {"auth", "sid", "other"},
	"sid":     {"sid"},
	"header":  {"name", "auth"},
	"all":     {},
	"asked":   {"auth", "sid", "other"},
	"same":    {"auth", "sid", "other"},
	"touched": {"auth", "sid", "other"}, // by touch alone
	"kind":    {"lang"},
	"swap":    {"auth", "sid"}, // one or the other, or none
}

func (a *aviary) config(r *rand.Rand) string {
	var b strings.Builder
	rule := func(name, more string) {
		fmt.Fprintf(&b, "  - {path: \"/%s/{x}\", interval: %s, linger: %s, timeout: 2s, serve: %t, format: %s, refresh_on: [\"POST /write/{x}\"], %s}\n",
			name, pick(r, "500ms", "1s", "2s"), pick(r, "0s", "1s", "5s"), r.IntN(4) > 0, pick(r, "json-patch", "merge-patch", "snapshot"), more)
	}
	b.WriteString("endpoints:\n")
	rule("default", pick(r, "ignore: []", "max_interval: 4s"))
	rule("sid", `vary: ["Cookie:sid"]`)
	rule("header", `vary: [X-Name, Authorization]`)
	rule("all", `vary: []`)
	rule("kind", `vary: [Accept-Language]`)
	rule("asked", `authorize: true, reauthorize: 10s, headers: {Authorization: "operator", X-Key: "canary#key"}`)
	rule("same", `authorize: same, reauthorize: 10s, headers: {Authorization: "operator", X-Key: "canary#key"}`)
	rule("touched", `vary: [], touch: 5s`)
	rule("swap", pick(r, `vary: []`, `vary: [Authorization]`, `vary: ["Cookie:sid"]`, `vary: [], headers: {X-Version: "1"}`))
	if r.IntN(3) == 0 {
		rule("other", "vary: []") // in place of one that is swapped out
		return strings.Replace(b.String(), `"/swap/{x}"`, `"/swapped/{x}"`, 1)
	}
	fmt.Fprintf(&b, "limits: {resources: %s, upstream_concurrency: %s}\n", pick(r, "4", "12", "200"), pick(r, "2", "64"))
	return b.String()
}

func pick(r *rand.Rand, of ...string) string { return of[r.IntN(len(of))] }

func newAviary(t *testing.T, seed uint64, tried *trials) *aviary {
	a := &aviary{t: t, tried: tried, front: pipe.Listen(), r: rand.New(rand.NewPCG(seed, 7)), revoked: make(map[string]time.Time), began: time.Now()}
	for i := range 5 {
		a.users = append(a.users, &user{a: a, letter: string(rune('A' + i)), held: make(map[string]string), r: rand.New(rand.NewPCG(seed, uint64(100+i)))})
	}
	return a
}

func (a *aviary) play() {
	cfg := a.parse()
	back := pipe.Listen()
	quiet := slog.NewLogLogger(slog.DiscardHandler, 0)
	upstream := &http.Server{Handler: a, ErrorLog: quiet}
	go upstream.Serve(back)
	transport := back.Transport()
	log := slog.New(slog.NewTextHandler(&a.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	if a.proxy, err = New(cfg, Options{Transport: transport, Log: log}); err != nil {
		a.t.Fatal(err)
	}
	server := &http.Server{Handler: a.proxy, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}
	go server.Serve(a.front)
	a.operator = admin.New(admin.Options{Refresh: a.proxy.Refresh, Status: a.proxy})

	ctx, end := context.WithTimeout(context.Background(), 90*time.Second)
	var running sync.WaitGroup
	for _, u := range a.users {
		for range 3 {
			running.Go(func() { u.run(ctx) })
		}
	}
	running.Go(func() { a.events(ctx) })
	running.Wait()
	end()
	a.proxy.Drain(context.Background())
	a.proxy.Close()
	for _, u := range a.users {
		u.leave()
	}
	server.Close()
	transport.CloseIdleConnections()
	upstream.Close()
	time.Sleep(2 * time.Minute)
	if text := a.log.String(); strings.Contains(text, "canary") {
		at := strings.Index(text, "canary")
		a.t.Errorf("the log tells a secret: …%s…", text[max(0, at-300):min(len(text), at+50)])
	} else {
		a.tried.add("bytes of log", len(text))
	}
}

// parse returns a random configuration. a.mu is held, if anything runs.
func (a *aviary) parse() *config.Config {
	cfg, err := config.Parse("canary.yaml", []byte("upstream: http://upstream.test\n"+a.config(a.r)), func(string) (string, bool) { return "", false })
	if err != nil {
		a.t.Fatal(err)
	}
	return cfg
}

// events is what happens without the users.
func (a *aviary) events(ctx context.Context) {
	for ctx.Err() == nil {
		a.mu.Lock()
		d := time.Duration(a.r.IntN(1500)) * time.Millisecond
		a.mood = ""
		if a.r.IntN(2) == 0 {
			a.mood = pick(a.r, "private", "private", "401", "redirected", "elsewhere", "500", "malformed", "Set-Cookie", "slow", "cut", "image")
		}
		a.n++
		if u := a.users[a.r.IntN(len(a.users))].letter; a.r.IntN(10) == 0 && len(a.revoked) < 2 && a.revoked[u].IsZero() {
			a.revoked[u] = time.Now()
		}
		refresh := a.r.IntN(5) == 0
		var next *config.Config
		if a.r.IntN(5) == 0 {
			next = a.parse()
		}
		a.mu.Unlock()
		if next != nil {
			a.tried.add("reload", 1)
			if err := a.proxy.Reload(next); err != nil {
				a.t.Error(err)
			}
		}
		if refresh {
			a.tried.add("refresh", 1)
			a.operate("POST", "/refresh")
			a.operate("POST", "/refresh?url=/default/1&url=//")
			for _, path := range []string{"/", "/livez", "/readyz", "/metrics", "/status"} {
				a.operate("GET", path)
			}
			for _, id := range resourceID.FindAllStringSubmatch(a.operate("GET", "/status/resources"), 5) {
				a.operate("GET", "/status/resources/"+id[1])
			}
		}
		time.Sleep(d)
	}
}

var resourceID = regexp.MustCompile(`"id":"([0-9a-f]+)"`)

// operate has the operator do or look at something, which may tell no secret.
func (a *aviary) operate(method, target string) string {
	rec := httptest.NewRecorder()
	a.operator.ServeHTTP(rec, httptest.NewRequest(method, "http://localhost"+target, nil))
	text := rec.Body.String()
	if strings.Contains(text+fmt.Sprint(rec.Header()), "canary") {
		a.t.Errorf("%s tells the operator a secret: %s", target, text)
	}
	if rec.Code == http.StatusForbidden {
		a.t.Errorf("%s: %s", target, text)
	}
	return text
}

var secretWord = regexp.MustCompile(`canary([^a-z ])([a-z]+)`)

// A lockedBuffer is a log that many write to.
type lockedBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
