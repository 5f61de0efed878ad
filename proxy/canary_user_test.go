package proxy

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

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
