package proxy

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
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

	"github.com/coder/websocket"

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

// ServeHTTP is the upstream.
func (a *aviary) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.Split(r.URL.Path, "/")[1]
	passed := r.Header.Get("X-Forwarded-For") != ""
	operator := r.Header.Get("X-Key") != ""
	a.checkSent(name, r, passed, operator)
	if r.Method == http.MethodPost {
		a.tried.add("POST", 1)
		return
	}

	a.mu.Lock()
	mood, n, revoked, tag, late := a.mood, a.n, maps.Clone(a.revoked), a.r.IntN(3) > 0, time.Duration(a.r.IntN(200))*time.Millisecond
	a.mu.Unlock()
	time.Sleep(late)
	who := secretWord.FindAllString(fmt.Sprint(r.Header), -1)
	letter := ""
	if len(who) > 0 {
		letter = who[0][len("canary"):][:1]
	}
	guarded := name == "asked" || name == "same"
	switch {
	case passed:
		a.tried.add("passed through", 1)
	case operator:
		a.tried.add("poll for all", 1)
	case guarded:
		a.tried.add("probe", 1)
	case name == "touched" && letter != "":
		a.tried.add("touch", 1)
	case letter != "":
		a.tried.add("poll for a user", 1)
	default:
		a.tried.add("poll for all", 1)
	}
	if guarded && !operator && (letter == "" || letter == "E" || !revoked[letter].IsZero()) {
		a.tried.add("answer 401", 1)
		http.Error(w, strings.Join(who, " "), http.StatusUnauthorized)
		return
	}
	words, _ := json.Marshal(who)
	body := fmt.Sprintf(`{"for":%s,"n":%d,"list":[1,2,3,%d],"pad":"%0200d"}`, words, n, n%3, 0)
	switch {
	case guarded && name == "asked" && operator:
		body = a.shared("$", n)
	case guarded && name == "same" && (operator || letter == "A" || letter == "B"):
		body = a.shared("=", n)
		tag = false
	}
	shared := operator || letter == "" && !passed // seen by many
	if a.answerBadly(w, r, mood, who, shared) {
		return
	}
	if mood == "private" && shared && name != "same" {
		body = fmt.Sprintf(`{"for":"canary!x","n":%d}`, n)
	}
	w.Header().Set("Content-Type", "application/json")
	if tag { // the same for everybody, which is allowed: a validator belongs to a resource and its Vary
		etag := fmt.Sprintf(`"%d"`, n)
		w.Header().Set("Etag", etag)
		if got := r.Header.Get("If-None-Match"); got != "" && !passed {
			a.tried.add("conditional poll", 1)
			if got == etag && mood != "private" {
				w.WriteHeader(http.StatusNotModified)
				return
			}
		}
	}
	io.WriteString(w, body)
}

// shared is the document that some may see, with the time of it.
func (a *aviary) shared(sign string, n int) string {
	return fmt.Sprintf(`{"word":"canary%sshared","made":"at%d.","n":%d,"pad":"%0200d"}`, sign, int(time.Since(a.began)/time.Second)/3*3, n, 0)
}

// answerBadly answers as the mood is, where that is a whole answer.
func (a *aviary) answerBadly(w http.ResponseWriter, r *http.Request, mood string, who []string, shared bool) bool {
	text := strings.Join(who, " ")
	switch mood {
	case "":
		return false
	case "private":
		a.tried.add("answer marked as private", 1)
		cookie := "canary!cookie"
		if !shared {
			cookie = text
		}
		for name, value := range []map[string]string{{"Cache-Control": "private"}, {"Cache-Control": "no-store, max-age=1"}, {"Vary": "X-Other"}, {"Set-Cookie": "sid=" + cookie}}[len(r.URL.Path)%4] {
			w.Header().Set(name, value)
		}
		return false
	case "Set-Cookie":
		a.tried.add("answer Set-Cookie", 1)
		if !shared {
			w.Header().Set("Set-Cookie", "session="+text)
		}
		return false
	case "slow":
		select {
		case <-time.After(3 * time.Second):
		case <-r.Context().Done():
		}
	case "redirected":
		if r.URL.Path == "/default/who" || r.URL.Query().Get("again") != "" {
			return false
		}
		a.tried.add("answer redirected", 1)
		http.Redirect(w, r, r.URL.Path+"?again=1&"+r.URL.RawQuery, http.StatusFound)
		return true
	case "elsewhere":
		a.tried.add("answer elsewhere", 1)
		http.Redirect(w, r, "http://elsewhere.test/?"+strings.ReplaceAll(text, " ", "&"), http.StatusFound)
		return true
	case "malformed":
		a.tried.add("answer malformed", 1)
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			io.WriteString(conn, "HTTP/1.1 200 OK\r\n"+text+"\r\n\r\n"+text)
			conn.Close()
		}
		return true
	case "cut":
		w.Header().Set("Content-Length", "1000")
		io.WriteString(w, text)
		panic(http.ErrAbortHandler)
	case "image":
		w.Header().Set("Content-Type", `image/png; name="`+text+`"`)
		io.WriteString(w, text)
		return true
	default:
		a.tried.add("answer "+mood, 1)
		status, _ := strconv.Atoi(mood)
		http.Error(w, text, status)
		return true
	}
	return false
}

// checkSent looks at a request that has reached the upstream.
func (a *aviary) checkSent(name string, r *http.Request, passed, operator bool) {
	if r.Host != "upstream.test" && !passed {
		a.t.Errorf("a poll for %s at %s", r.Host, r.URL)
	}
	if operator && passed {
		a.t.Errorf("the operator's key was sent with a user's request: %v", r.Header)
	}
	if passed {
		return
	}
	found := secretWord.FindAllStringSubmatch(fmt.Sprint(r.Header), -1)
	owners := make(map[string]bool)
	for _, f := range found {
		if f[1] == "#" {
			continue
		}
		owners[f[1]] = true
		if kind := f[2]; operator || !slices.Contains(kinds[name], kind) {
			a.t.Errorf("%s %s was polled with %s: %v", name, r.URL, f[0], r.Header)
		}
	}
	if u := secretWord.FindStringSubmatch(r.URL.RawQuery); u != nil && len(owners) > 0 {
		owners[u[1]] = true
	}
	if len(owners) > 1 {
		a.t.Errorf("one request for several: %v", r.Header)
	}
}

// A user has secrets and uses them.
type user struct {
	a      *aviary
	letter string

	mu         sync.Mutex // guards the fields below
	r          *rand.Rand
	transports []*http.Transport
	heard      []string          // versions
	held       map[string]string // the version by url
}

func (u *user) chance(n int) bool { return u.intn(n) == 0 }

func (u *user) intn(n int) int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.r.IntN(n)
}

func (u *user) pick(of ...string) string { return of[u.intn(len(of))] }

func (u *user) word(kind string) string { return "canary" + u.letter + kind }

// header is what a request of the user's carries.
func (u *user) header() http.Header {
	h := http.Header{"User-Agent": {u.word("agent")}, "Referer": {"http://" + u.word("page")}, "X-Other": {u.word("noise")}}
	if u.chance(5) {
		return h // not logged in
	}
	if !u.chance(3) {
		h.Set("Authorization", "Bearer "+u.word("auth"))
	}
	if !u.chance(3) {
		h.Set("Cookie", u.pick(
			"sid="+u.word("sid"), "x="+u.word("other")+"; sid="+u.word("sid"), "x="+u.word("other"), `sid="`+u.word("sid")+`"; y="`+u.word("other")))
	}
	if u.chance(2) {
		h.Set("X-Name", u.word("name"))
	}
	if u.chance(3) {
		h.Set("Accept-Language", u.pick("de", "en", u.word("lang")))
	}
	return h
}

func (u *user) target() string {
	url := "/" + u.pick("default", "sid", "header", "all", "asked", "asked", "same", "same", "touched", "kind", "swap", "swap") + "/" + u.pick("1", "1", "2")
	if u.chance(6) {
		url += "?q=" + u.pick("1", "", u.word("query"))
	}
	return url
}

// version is one that the user has heard of lately, or anybody.
func (u *user) version() string {
	u.mu.Lock()
	if n := len(u.heard); n > 0 && u.r.IntN(2) == 0 {
		defer u.mu.Unlock()
		return u.heard[u.r.IntN(n)]
	}
	u.mu.Unlock()
	u.a.mu.Lock()
	defer u.a.mu.Unlock()
	if len(u.a.versions) == 0 {
		return ""
	}
	u.a.tried.add("another's version", 1)
	return u.a.versions[u.a.r.IntN(len(u.a.versions))]
}

// client is an HTTP client whose connections are listened in on.
func (u *user) client() *http.Client {
	u.mu.Lock()
	defer u.mu.Unlock()
	transport := u.a.front.Transport()
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		return &wiretap{Conn: conn, user: u}, err
	}
	u.transports = append(u.transports, transport)
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (u *user) leave() {
	for _, t := range u.transports {
		t.CloseIdleConnections()
	}
}

// A wiretap sees every byte that comes to a user.
type wiretap struct {
	net.Conn
	user *user
	tail []byte
}

func (w *wiretap) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	w.tail = append(w.tail, p[:n]...)
	w.user.see(w.tail)
	w.user.a.tried.add("bytes seen", n)
	w.tail = append(w.tail[:0], w.tail[max(0, len(w.tail)-40):]...)
	return n, err
}

// see looks at what has come to a user.
func (u *user) see(b []byte) {
	a := u.a
	for rest := b; ; {
		i := bytes.Index(rest, []byte("canary"))
		if i < 0 || i+7 > len(rest) {
			return
		}
		rest = rest[i+6:]
		sign := string(rest[:1])
		a.mu.Lock()
		revoked := a.revoked[u.letter]
		a.mu.Unlock()
		switch {
		case sign == u.letter:
			a.tried.add("saw own", 1)
		case sign == "$" && u.letter != "E", sign == "=" && (u.letter == "A" || u.letter == "B"):
			a.tried.add("saw "+sign, 1)
			if m := madeAt.FindSubmatch(rest); m != nil && !revoked.IsZero() {
				seconds, _ := strconv.Atoi(string(m[1]))
				if late := a.began.Add(time.Duration(seconds) * time.Second).Sub(revoked); late > 2*reauthorize+10*time.Second {
					a.t.Errorf("%s saw what was made %v after the upstream had revoked it: %.200q", u.letter, late, b)
				}
			}
		default:
			a.t.Errorf("%s saw %q", u.letter, b)
		}
	}
}

var madeAt = regexp.MustCompile(`^.shared.{0,20}at([0-9]+)\.`)

// run does one thing after another.
func (u *user) run(ctx context.Context) {
	for ctx.Err() == nil {
		client := u.client()
		stay, cancel := context.WithTimeout(ctx, time.Duration(u.intn(15_000))*time.Millisecond)
		switch u.intn(6) {
		case 0:
			u.socket(stay, client)
		case 1, 2:
			for stay.Err() == nil && !u.chance(10) {
				u.ask(stay, client)
				time.Sleep(time.Duration(u.intn(800)) * time.Millisecond)
			}
		case 3:
			u.follow(stay, client)
		default:
			u.socket(stay, client)
		}
		cancel()
		client.CloseIdleConnections()
		time.Sleep(time.Duration(u.intn(1000)) * time.Millisecond)
	}
}

// ask sends one request and reads the answer.
func (u *user) ask(ctx context.Context, client *http.Client) {
	method, kind := http.MethodGet, u.pick("GET", "GET", "HEAD", "long-poll", "POST", "conditional", "conditional", "conditional")
	url := u.target()
	h := u.header()
	switch kind {
	case "HEAD":
		method = kind
	case "POST":
		method, url = kind, u.pick("/write/1", url)
	case "long-poll":
		h.Set("Prefer", "wait="+strconv.Itoa(1+u.intn(20)))
		h.Set("If-None-Match", `"`+u.version()+`"`)
	case "conditional":
		h.Set("If-None-Match", `"`+u.version()+`", "`+u.holds(url, "")+`"`)
		h.Set("A-IM", "json-patch")
		h.Set("Cache-Control", u.pick("no-cache", "max-age=0", "max-age=100"))
	}
	if u.chance(4) {
		h.Set("Accept-Encoding", "gzip")
	}
	u.a.tried.add(kind, 1)
	r, _ := http.NewRequestWithContext(ctx, method, "http://proxy.test"+url, nil)
	r.Header = h
	res, err := client.Do(r)
	if err != nil {
		return
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	if res.Header.Get("Content-Encoding") == "gzip" {
		zr, err := gzip.NewReader(bytes.NewReader(body))
		if err == nil {
			text, _ := io.ReadAll(zr)
			u.see(text)
		}
	}
	switch {
	case res.Header.Get("Cache-Status") == "":
	case res.StatusCode == http.StatusIMUsed:
		u.a.tried.add("delta", 1)
	case res.StatusCode == http.StatusNotModified:
		u.a.tried.add("304", 1)
	default:
		u.a.tried.add("from the snapshot", 1)
	}
	u.hear(strings.Trim(res.Header.Get("Etag"), `W/"`))
	u.holds(url, strings.Trim(res.Header.Get("Etag"), `W/"`))
}

// holds takes note of the version that the user was last given under a url, if
// there is one, and returns it.
func (u *user) holds(url, version string) string {
	u.mu.Lock()
	defer u.mu.Unlock()
	if version != "" {
		u.held[url] = version
	}
	return u.held[url]
}

// hear remembers a version.
func (u *user) hear(version string) {
	if version == "" {
		return
	}
	u.mu.Lock()
	if u.heard = append(u.heard, version); len(u.heard) > 3 {
		u.heard = u.heard[1:]
	}
	u.mu.Unlock()
	u.a.mu.Lock()
	defer u.a.mu.Unlock()
	if u.a.versions = append(u.a.versions, version); len(u.a.versions) > 40 {
		u.a.versions = slices.Delete(u.a.versions, 0, 1)
	}
}

// follow reads an event stream.
func (u *user) follow(ctx context.Context, client *http.Client) {
	u.a.tried.add("stream", 1)
	r, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://proxy.test"+u.target(), nil)
	r.Header = u.header()
	r.Header.Set("Accept", "text/event-stream")
	if u.chance(2) {
		r.Header.Set("Last-Event-ID", u.version())
	}
	res, err := client.Do(r)
	if err != nil {
		return
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body) // until ctx ends
	for _, m := range named.FindAllSubmatch(text, -1) {
		u.hear(string(m[1]))
	}
}

var (
	named = regexp.MustCompile(`"version":"([^"]+)"`)
	typed = regexp.MustCompile(`^\{"type":"(\w+)"`)
	coded = regexp.MustCompile(`"code":"(\w+)"`)
)

// socket subscribes and reads.
func (u *user) socket(ctx context.Context, client *http.Client) {
	path, kind := "/", "socket on /"
	if u.chance(3) {
		path, kind = u.target(), "socket on a url"
	}
	ws, _, err := websocket.Dial(ctx, "ws://proxy.test"+path, &websocket.DialOptions{HTTPClient: client, HTTPHeader: u.header()})
	if err != nil {
		return
	}
	u.a.tried.add(kind, 1)
	ws.SetReadLimit(-1)
	read := make(chan struct{})
	go func() {
		defer close(read)
		for {
			_, text, err := ws.Read(context.Background())
			if err != nil {
				return
			}
			kind := string(typed.FindSubmatch(text)[1])
			u.a.tried.add("got "+kind, 1)
			if m := coded.FindSubmatch(text); m != nil && kind == "end" {
				u.a.tried.add("end "+string(m[1]), 1)
			}
			if m := named.FindSubmatch(text); m != nil {
				u.hear(string(m[1]))
			}
		}
	}()
	for ctx.Err() == nil {
		if ws.Write(ctx, websocket.MessageText, []byte(u.message())) != nil {
			break
		}
		select {
		case <-time.After(time.Duration(u.intn(4000)) * time.Millisecond):
		case <-read:
		}
	}
	ws.CloseNow()
	<-read
}

func (u *user) message() string {
	url := u.target()
	if u.chance(6) {
		u.a.tried.add("unsubscribe", 1)
		return fmt.Sprintf(`{"type":"unsubscribe","url":%q}`, url)
	}
	version := ""
	if u.chance(2) {
		version = u.version()
	}
	headers := "{}"
	if u.chance(2) {
		u.a.tried.add("subscribe with headers", 1)
		name := u.pick("Authorization", "Cookie", "X-Name", "X-Other")
		headers = fmt.Sprintf(`{%q:%q}`, name, map[string]string{
			"Authorization": "Bearer " + u.word("auth"), "Cookie": "sid=" + u.word("sid"), "X-Name": u.word("name"), "X-Other": u.word("noise"),
		}[name])
	}
	return fmt.Sprintf(`{"type":"subscribe","url":%q,"version":%q,"headers":%s,"throttle":%s}`, url, version, headers, u.pick("0", "0", "500"))
}

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
