package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// logged is a log that tests can look at.
type logged struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// TestNobodySeesAnother throws random users at an upstream that puts into all
// it says, documents, headers and failures, a word for whom it takes the
// request to be from. Users come on sockets and with plain GETs, event streams
// and long-polls, join polls that are under way, resume with their own and with
// other people's versions, change their credentials, go and come back. Whatever
// leaves the proxy is searched: no user ever gets a word that is not for the
// headers it has sent itself; nothing of a client's but what vary names is
// polled with; and no credential stands in a message or in the log.
func TestNobodySeesAnother(t *testing.T) {
	seeds := 15
	if testing.Short() || raceDetector {
		seeds = 3
	}
	var seen, polls atomic.Int64
	t.Run("seeds", func(t *testing.T) {
		for seed := range seeds {
			t.Run(strconv.Itoa(seed), func(t *testing.T) {
				t.Parallel()
				within(t, identityRules, func(w *world) {
					c := &crowd{w: w, r: rand.New(rand.NewPCG(uint64(seed), 3)), seen: &seen, polls: &polls, versions: []string{"none"}}
					c.play()
				})
			})
		}
	})
	t.Logf("%d messages and answers searched, of %d polls", seen.Load(), polls.Load())
	if seen.Load() < int64(100*seeds) || polls.Load() < int64(100*seeds) {
		t.Error("that is too few to say anything")
	}
}

const identityRules = `
endpoints:
  - {path: "/mine/{x}", interval: 1s, timeout: 3s, linger: 2s}
  - {path: "/cookie/{x}", interval: 1s, timeout: 3s, linger: 2s, vary: ["Cookie:sid"]}
  - {path: "/token/{x}", interval: 1s, timeout: 3s, linger: 2s, vary: [Authorization]}
  - {path: "/shared/{x}", interval: 1s, timeout: 3s, linger: 2s, vary: []}
`

// secret is what a credential looks like here, canary what a document has.
var (
	secret = regexp.MustCompile(`secret-[a-z0-9-]+`)
	canary = regexp.MustCompile(`canary-[a-z0-9-]+`)
)

// whose is the word for whom a request is from, as a rule tells users apart.
func whose(path string, h http.Header) string {
	rule, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	id := ""
	switch rule {
	case "mine":
		id = strings.Join(h["Cookie"], "; ") + "|" + strings.Join(h["Authorization"], "|")
	case "cookie":
		for _, c := range (&http.Request{Header: h}).CookiesNamed("sid") {
			id += c.Value
		}
	case "token":
		id = strings.Join(h["Authorization"], "|")
	}
	return fmt.Sprintf("canary-%s-%x", rule, hashOf(id))
}

// A crowd is the users of one proxy and their upstream.
type crowd struct {
	w           *world
	r           *rand.Rand
	seen, polls *atomic.Int64

	mu       sync.Mutex // guards the fields below and r; never held while time passes
	versions []string   // all that anybody has seen
	count    int
}

func (c *crowd) n(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.r.IntN(n)
}

func (c *crowd) play() {
	c.w.answer(c.serve)
	var users sync.WaitGroup
	end := time.Now().Add(time.Minute)
	for i := range 8 {
		users.Go(func() {
			for time.Now().Before(end) && !c.w.t.Failed() {
				h := c.headers(i)
				switch c.n(4) {
				case 0:
					c.get(h)
				default:
					c.socket(h, c.n(2) == 0)
				}
				time.Sleep(time.Duration(c.n(3000)) * time.Millisecond)
			}
		})
	}
	users.Wait()
	if s := secret.FindString(c.w.log.String()); s != "" {
		c.w.t.Errorf("%s is in the log", s)
	}
}

// headers are those of user i, who has or has not signed in, in one way or the
// other; two users have the same token.
func (c *crowd) headers(i int) http.Header {
	h := http.Header{"User-Agent": {fmt.Sprintf("secret-agent-%d", i)}, "X-Other": {fmt.Sprintf("secret-other-%d", i)}, "Referer": {fmt.Sprintf("http://r.test/secret-r-%d", i)}}
	if c.n(3) > 0 {
		h.Set("Cookie", []string{
			fmt.Sprintf("theme=secret-theme-%d; sid=secret-sid-%d; lang=de", i, i),
			fmt.Sprintf("sid=secret-sid-%d", i/2),
			"consent=yes",
			fmt.Sprintf("xsid=secret-sid-%d; sid2=secret-sid-%d", i, i),
			"",
		}[c.n(5)])
	}
	if c.n(3) == 0 {
		h.Set("Authorization", fmt.Sprintf("Bearer secret-token-%d", i/2))
	}
	return h
}

func (c *crowd) url() string {
	return []string{"/mine/", "/cookie/", "/token/", "/shared/"}[c.n(4)] + strconv.Itoa(c.n(2))
}

// serve is the upstream.
func (c *crowd) serve(w http.ResponseWriter, r *http.Request) {
	who := whose(r.URL.Path, r.Header)
	if r.UserAgent() == "pollbridge" {
		c.polls.Add(1)
		c.checkPoll(r, who)
	} else if r.Header.Get("X-Forwarded-For") == "" {
		c.w.t.Errorf("neither a poll nor passed through: %v", r.Header)
	}
	time.Sleep([]time.Duration{0, 0, 0, time.Second, 5 * time.Second}[c.n(5)])
	if c.n(40) == 0 { // what a shared poll must not take
		w.Header().Set("Set-Cookie", "sid=secret-set-cookie")
		who = strings.Replace(who, "canary-shared", "canary-set-cookie", 1)
	}
	if c.n(20) == 0 && !strings.HasPrefix(who, "canary-shared") && r.Header.Get("Cookie")+r.Header.Get("Authorization") != "" {
		w.Header().Set("Cache-Control", "private")
	}
	c.mu.Lock()
	c.count += c.r.IntN(2)
	body := fmt.Sprintf(`{"who":%q,"n":%d,"pad":%q}`, who, c.count, padding+padding)
	c.mu.Unlock()
	tag := fmt.Sprintf("%q", who)
	switch c.n(12) {
	case 0:
		w.WriteHeader([]int{500, 401, 403, 410, 404, 302}[c.n(6)])
	case 1:
		body = body[:len(body)-3]
	case 2:
		w.Header().Set("Etag", tag)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	w.Header()["Content-Type"] = []string{"application/json"}
	io.WriteString(w, body)
}

// checkPoll looks at what a poll was made with.
func (c *crowd) checkPoll(r *http.Request, who string) {
	for name, values := range r.Header {
		allowed := false
		switch name {
		case "Accept", "Accept-Encoding", "User-Agent", "If-Modified-Since":
			allowed = !secret.MatchString(strings.Join(values, " "))
		case "If-None-Match":
			allowed = values[0] == fmt.Sprintf("%q", who) // its own, not another's
		case "Cookie":
			switch {
			case strings.HasPrefix(r.URL.Path, "/mine"):
				allowed = len(values) == 1
			case strings.HasPrefix(r.URL.Path, "/cookie"):
				allowed = len(values) == 1 && regexp.MustCompile(`^sid=[a-z0-9-]*$`).MatchString(values[0])
			}
		case "Authorization":
			allowed = strings.HasPrefix(r.URL.Path, "/mine") || strings.HasPrefix(r.URL.Path, "/token")
		}
		if !allowed {
			c.w.t.Errorf("%s was polled with %s: %q", r.URL.Path, name, values)
		}
	}
}

// search looks for what is not for one who has sent these headers.
func (c *crowd) search(what string, text []byte, headers []http.Header) {
	c.seen.Add(1)
	if s := secret.Find(text); s != nil {
		c.w.t.Errorf("%s: %s in %s", what, s, text)
	}
	for _, word := range canary.FindAllString(string(text), -1) {
		mine := false
		for _, h := range headers {
			for _, rule := range []string{"/mine/", "/cookie/", "/token/", "/shared/"} {
				mine = mine || word == whose(rule, h)
			}
		}
		if !mine {
			c.w.t.Errorf("%s: got %s, which is another's or nobody's, having sent %v", what, word, headers)
		}
	}
}

// get asks without a socket, in one of the ways there are.
func (c *crowd) get(h http.Header) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(1+c.n(8000))*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://proxy.test"+c.url(), nil)
	if err != nil {
		c.w.t.Error(err)
		return
	}
	req.Header = h.Clone()
	how := c.n(4)
	switch how {
	case 1:
		req.Header.Set("Accept", "text/event-stream")
		req.Header.Set("Last-Event-ID", c.version())
	case 2:
		req.Header.Set("If-None-Match", `"`+c.version()+`"`)
		req.Header.Set("Prefer", "wait=5")
	case 3:
		req.Header.Set("If-None-Match", `"`+c.version()+`"`)
	}
	res, err := c.w.http.Transport.RoundTrip(req) // no redirects
	if err != nil {
		return
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	if res.Header.Get("Set-Cookie") != "" && res.Header.Get("Cache-Status") == "" {
		return // passed through: it is this client's own
	}
	c.search(fmt.Sprintf("%d %s", how, req.URL.Path), fmt.Appendf(body, "%v", res.Header), []http.Header{h})
}

func (c *crowd) version() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.versions[c.r.IntN(len(c.versions))]
}

// socket opens a socket and subscribes to this and that.
func (c *crowd) socket(h http.Header, onURL bool) {
	path := "/"
	if onURL {
		path = c.url()
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, "ws://proxy.test"+path, &websocket.DialOptions{HTTPClient: c.w.http, HTTPHeader: h})
	if err != nil {
		c.w.t.Error(err)
		return
	}
	cl := listen(ws)
	sent := []http.Header{h}
	for range c.n(12) {
		switch c.n(8) {
		case 0:
			ws.Write(ctx, websocket.MessageText, []byte(`{"type":"unsubscribe","url":"`+c.url()+`"}`))
		case 1, 2:
			sent = append(sent, c.subscribe(ctx, ws, h, true))
		case 3, 4:
			c.subscribe(ctx, ws, h, false)
		}
		stop := time.After(time.Duration(c.n(2000)) * time.Millisecond)
		for waiting := true; waiting; {
			select {
			case m, ok := <-cl.messages:
				if !ok || m.err != nil {
					return
				}
				c.search("on a socket", m.text, sent)
				c.remember(m.text)
			case <-stop:
				waiting = false
			}
		}
	}
	ws.CloseNow()
}

func (c *crowd) subscribe(ctx context.Context, ws *websocket.Conn, h http.Header, others bool) http.Header {
	m := map[string]any{"type": "subscribe", "url": c.url()}
	if c.n(2) == 0 {
		m["version"] = c.version()
	}
	if others { // another's or none; what the rule does not vary by is refused
		h = h.Clone()
		name := []string{"Authorization", "Cookie", "X-Other"}[c.n(3)]
		value := c.headers(c.n(8)).Get(name)
		m["headers"] = map[string]string{name: value}
		h[name] = []string{value}
	}
	text, _ := json.Marshal(m)
	ws.Write(ctx, websocket.MessageText, text)
	return h
}

// remember keeps a version for others to try.
func (c *crowd) remember(text []byte) {
	var m struct{ Version string }
	if json.Unmarshal(text, &m); m.Version == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.versions = append(c.versions[max(0, len(c.versions)-20):], m.Version)
}
