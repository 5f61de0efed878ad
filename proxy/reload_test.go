package proxy

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"pollbridge/config"
	"pollbridge/internal/pipe"
)

// reload puts another configuration in force.
func (w *world) reload(yaml string) {
	w.t.Helper()
	cfg, err := config.Parse("test.yaml", []byte("upstream: http://upstream.test\n"+yaml), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.proxy.Reload(cfg); err != nil {
		w.t.Fatal(err)
	}
}

// mirror has the upstream answer with who asks.
func (w *world) mirror() {
	w.answer(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(rw, `{"for":%q,"key":%q,"pad":%q}`, r.Header.Get("Authorization"), r.Header.Get("X-Key"), big)
	})
}

// is is the snapshot of what mirror answers.
func is(url, who, key string) string {
	return fmt.Sprintf(`{"type":"snapshot","url":%q,"version":"*","at":"*","data":{"for":%q,"key":%q,"pad":%q}}`, url, who, key, big)
}

// TestReloadGoesOn: a thousand reloads of what asks for the same cost the
// watchers nothing, in every way of watching, and the new settings count.
func TestReloadGoesOn(t *testing.T) {
	within(t, served, func(w *world) {
		w.json(`{"n":1,"pad":"` + big + `"}`)
		p := w.dial("/api/x", nil)
		first := p.want(`{"type":"snapshot","url":"/api/x","version":"*","at":"*","data":{"n":1,"pad":"` + big + `"}}`)["version"].(string)
		s := w.events("/api/x")
		s.next()
		s.next()
		polled := make(chan string, 1)
		go func() {
			_, body := w.do("GET", "/api/x", "Prefer: wait=30", `If-None-Match: "`+first+`"`)
			polled <- body
		}()
		synctest.Wait()
		polls := w.polls()
		for i := range 1000 {
			w.reload(fmt.Sprintf("endpoints:\n  - {path: \"/api/{thing}\", interval: %s, max_body: %dKiB, drop_query: [], refresh_on: [\"POST /w\"], serve: %t}\n", []string{"1h", "2s"}[i%2], 1+i, i%2 == 0))
		}
		synctest.Wait()
		if n := w.polls() - polls; n != 0 {
			t.Errorf("a thousand reloads cost %d polls", n)
		}
		w.reload("endpoints:\n  - {path: \"/api/{thing}\", interval: 1s, format: merge-patch}\n")
		w.json(`{"n":2,"pad":"` + big + `"}`)
		second := p.want(`{"type":"patch","url":"/api/x","from":"` + first + `","version":"*","at":"*","format":"merge-patch","patch":{"n":2}}`)["version"].(string)
		if e := s.next(); e.name != "patch" || !strings.Contains(e.data, `"from":"`+first) {
			t.Errorf("the stream got %+v", e)
		}
		if body := <-polled; body != `{"n":2,"pad":"`+big+`"}` {
			t.Errorf("the long-poll got %s", body)
		}
		w.reload("endpoints:\n  - {path: \"/api/{thing}\", interval: 1s}\n")
		w.json(`{"n":3,"pad":"` + big + `"}`)
		p.want(`{"type":"patch","url":"/api/x","from":"` + second + `","version":"*","at":"*","patch":[{"op":"replace","path":"/n","value":3}]}`)
		s.cancel()
	})
}

// TestReloadChanges: a rule that asks for something else, or for others, drops
// what was seen under it; who watches is told by the new rule.
func TestReloadChanges(t *testing.T) {
	const (
		open    = "endpoints: [{path: /api/x, interval: 1s, vary: []}]\n"
		own     = "endpoints: [{path: /api/x, interval: 1s, vary: [Authorization]}, {path: /keep, interval: 1s}]\n"
		keyed   = "endpoints: [{path: /api/x, interval: 1s, vary: [], headers: {X-Key: secret}}, {path: /keep, interval: 1s}]\n"
		guarded = "endpoints: [{path: /api/x, interval: 1s, vary: [Authorization], authorize: true, headers: {X-Key: secret, Authorization: operator}}, {path: /keep, interval: 1s}]\n"
	)
	within(t, own, func(w *world) {
		w.mirror()
		ann, bob := w.dial("/api/x", as("ann")), w.dial("/api/x", as("bob"))
		ann.want(is("/api/x", "ann", ""))
		bob.want(is("/api/x", "bob", ""))
		stream := w.events("/api/x", "Authorization: cid")
		defer stream.cancel()
		stream.next()
		if e := stream.next(); !strings.Contains(e.data, `"cid"`) {
			t.Fatalf("%+v", e)
		}
		saw := func(what string) {
			t.Helper()
			if e := stream.next(); !strings.Contains(e.data, what) || e.comment != "" {
				t.Errorf("the stream got %+v, want %s", e, what)
			}
		}
		w.reload(keyed)
		ann.want(is("/api/x", "", "secret"))
		bob.want(is("/api/x", "", "secret"))
		saw(`"for":"","key":"secret"`)

		w.reload(own)
		ann.want(is("/api/x", "ann", ""))
		bob.want(is("/api/x", "bob", ""))
		saw(`"for":"cid"`)

		w.answer(func(rw http.ResponseWriter, r *http.Request) { // bob is not let in
			if r.Header.Get("Authorization") == "bob" {
				rw.WriteHeader(http.StatusForbidden)
				return
			}
			rw.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(rw, `{"for":%q,"key":%q,"pad":%q}`, r.Header.Get("Authorization"), r.Header.Get("X-Key"), big)
		})
		w.reload(guarded)
		ann.want(is("/api/x", "operator", "secret"))
		bob.want(`{"type":"end","url":"/api/x","error":{"code":"forbidden","message":"*","status":403}}`)
		saw(`"for":"operator"`)

		// The same document by another rule is confirmed and not sent again.
		w.reload(strings.Replace(guarded, "authorize: true", "authorize: true, reauthorize: 1m", 1))
		w.reload(strings.Replace(guarded, "X-Key: secret", "X-Key: secret, X-More: more", 1))
		ann.want(`{"type":"current","url":"/api/x","version":"*","at":"*"}`)
		saw(`"type":"current"`)

		// It may not be watched at all any more.
		w.answer(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Cache-Control", "private")
			io.WriteString(rw, "{}")
		})
		w.reload(open)
		ann.want(`{"type":"end","url":"/api/x","error":{"code":"not_shareable","message":"*"}}`)
		saw("not_shareable")
		if res, _ := w.do("GET", "/api/x", "Authorization: ann"); res.Header.Get("Cache-Status") != "" {
			t.Errorf("a GET is answered from what is not shareable: %v", res.Header)
		}
	})
}

// TestReloadRules: rules come and go under open sockets.
func TestReloadRules(t *testing.T) {
	within(t, "endpoints: [{path: /a, interval: 1s}, {path: /b, interval: 1s}]\n", func(w *world) {
		p := w.dial("/a", nil)
		p.want(`{"type":"snapshot","url":"/a","version":"*","at":"*","data":{"n":1}}`)
		p.send(`{"type":"subscribe","url":"/b"}`)
		p.want(`{"type":"snapshot","url":"/b","version":"*","at":"*","data":{"n":1}}`)
		p.send(`{"type":"subscribe","url":"/c"}`)
		p.want(`{"type":"end","url":"/c","error":{"code":"not_found","message":"*"}}`)
		s := w.events("/a")
		defer s.cancel()
		s.next()
		s.next()
		polled := make(chan *http.Response, 1)
		go func() {
			res, _ := w.do("GET", "/a", "Prefer: wait=30", "If-None-Match: "+w.tag("/a"))
			polled <- res
		}()
		time.Sleep(3 * time.Second)

		w.reload("endpoints: [{path: /b, interval: 1s}, {path: /c, interval: 1s}]\n")
		p.want(`{"type":"end","url":"/a","error":{"code":"not_found","message":"no rule matches this url any more"}}`)
		p.send(`{"type":"subscribe","url":"/c"}`)
		p.want(`{"type":"snapshot","url":"/c","version":"*","at":"*","data":{"n":1}}`)
		if e := s.next(); e.name != "end" || !strings.Contains(e.data, `"not_found"`) {
			t.Errorf("the stream got %+v", e)
		}
		if rest, err := io.ReadAll(s.lines); len(rest) > 0 || err != nil {
			t.Errorf("and then %q, %v", rest, err)
		}
		if res := <-polled; res.StatusCode != 200 || res.Header.Get("Cache-Status") != "" {
			t.Errorf("the long-poll was answered %d %v, want the upstream's answer", res.StatusCode, res.Header)
		}
		w.json(`{"n":2}`)
		p.want(`{"type":"snapshot","url":"*","version":"*","at":"*","data":{"n":2}}`)
		p.want(`{"type":"snapshot","url":"*","version":"*","at":"*","data":{"n":2}}`)

		// Another rule for the same URL; and what was asked for is what is unsubscribed.
		w.reload("endpoints: [{path: /b, interval: 1s}, {path: \"/{any}\", interval: 1s, drop_query: [q]}]\n")
		p.want(`{"type":"current","url":"/c","version":"*","at":"*"}`)
		w.reload("endpoints: [{path: \"/{any}\", interval: 1s, drop_query: []}]\n")
		p.want(`{"type":"current","url":"/b","version":"*","at":"*"}`)
		p.send(`{"type":"subscribe","url":"/d?q=1"}`)
		p.want(`{"type":"snapshot","url":"/d?q=1","version":"*","at":"*","data":{"n":2}}`)
		w.reload("endpoints: [{path: \"/{any}\", interval: 1s, drop_query: [q]}]\n")
		w.json(`{"n":3}`)
		for range 3 {
			p.want(`{"type":"snapshot","url":"*","version":"*","at":"*","data":{"n":3}}`)
		}
		p.send(`{"type":"unsubscribe","url":"/d?q=1"}`)
		p.want(`{"type":"end","url":"/d?q=1"}`)
		p.ws.CloseNow()
		time.Sleep(time.Minute)
		if n := w.proxy.poller.Watched(); n != 0 {
			t.Errorf("%d resources are polled still", n)
		}
	})
}

// tag is the entity tag of a document, as it stands in If-None-Match.
func (w *world) tag(target string) string {
	res, _ := w.do("GET", target)
	return res.Header.Get("Etag")
}

// TestReloadNeedsHeaders: where a rule has come to need a header that the
// socket has not kept, the client is not taken for one without it: it connects
// anew.
func TestReloadNeedsHeaders(t *testing.T) {
	const public = "drain: 5s\nendpoints: [{path: /a, interval: 1s, vary: []}, {path: /b, interval: 1s, vary: []}]\n"
	const tenants = "drain: 5s\nendpoints: [{path: /a, interval: 1s, vary: [Authorization]}, {path: /b, interval: 1s, vary: []}]\n"
	within(t, public, func(w *world) {
		w.mirror()
		watching, other, later, given := w.dial("/a", as("ann")), w.dial("/b", as("bob")), w.dial("/", as("cid")), w.dial("/", nil)
		watching.want(is("/a", "", ""))
		other.want(is("/b", "", ""))
		w.reload(tenants)
		closed := func(p *peer) {
			t.Helper()
			ctx, cancel := context.WithTimeout(context.Background(), 6*time.Second)
			defer cancel()
			if _, text, err := p.ws.Read(ctx); websocket.CloseStatus(err) != websocket.StatusGoingAway {
				t.Errorf("got %s, %v; want to be closed with 1001", text, err)
			}
		}
		closed(watching)
		w.dial("/a", as("ann")).want(is("/a", "ann", ""))
		later.send(`{"type":"subscribe","url":"/a"}`)
		closed(later)
		given.send(`{"type":"subscribe","url":"/a","headers":{"Authorization":"dan"}}`)
		given.want(is("/a", "dan", ""))
		other.send(`{"type":"unsubscribe","url":"/b"}`)
		other.want(`{"type":"end","url":"/b"}`)
	})
}

// TestReloadUpstream: another upstream is another one to ask, for everybody.
func TestReloadUpstream(t *testing.T) {
	within(t, basic, func(w *world) {
		w.answer(func(rw http.ResponseWriter, r *http.Request) { fmt.Fprintf(rw, `{"path":%q}`, r.URL.Path) })
		p := w.dial("/api/x", nil)
		p.want(`{"type":"snapshot","url":"/api/x","version":"*","at":"*","data":{"path":"/api/x"}}`)
		cfg, err := config.Parse("test.yaml", []byte("upstream: http://elsewhere.test/v2\n"+basic), nil)
		if err != nil {
			t.Fatal(err)
		}
		w.proxy.Reload(cfg)
		p.want(`{"type":"snapshot","url":"/api/x","version":"*","at":"*","data":{"path":"/v2/api/x"}}`)
		if _, body := w.do("GET", "/other"); body != `{"path":"/v2/other"}` {
			t.Errorf("what passes through got %s", body)
		}
	})
}

// TestReloadTouch: who is kept logged in goes on to be, at the new pace, and
// not by a rule that is gone.
func TestReloadTouch(t *testing.T) {
	const rule = "endpoints: [{path: /a, interval: 1s, vary: [], touch: %s%s}]\n"
	within(t, fmt.Sprintf(rule, "1h", ""), func(w *world) {
		p := w.dial("/a", http.Header{"Cookie": {"sid=1"}})
		listen(p.ws) // answers pings, too
		time.Sleep(time.Second)
		w.reload(fmt.Sprintf(rule, "10s", ""))
		time.Sleep(time.Minute + time.Second)
		if n := w.touchesOf("sid=1"); n < 5 || n > 7 {
			t.Errorf("%d touches in a minute, one in 10 s", n)
		}
		w.reload(fmt.Sprintf(rule, "0s", ""))
		before := w.touchesOf("sid=1")
		time.Sleep(time.Minute)
		if n := w.touchesOf("sid=1") - before; n > 0 {
			t.Errorf("%d touches though there are to be none", n)
		}
		w.reload(fmt.Sprintf(rule, "10s", ""))
		w.reload(fmt.Sprintf(rule, "10s", ", headers: {X-Key: k}"))
		time.Sleep(time.Minute)
		if n := w.touchesOf("sid=1") - before; n < 4 || n > 8 {
			t.Errorf("%d touches in a minute, one in 10 s", n)
		}
		p.ws.CloseNow()
		time.Sleep(time.Minute)
		w.proxy.touches.mu.Lock()
		defer w.proxy.touches.mu.Unlock()
		if n := len(w.proxy.touches.by); n != 0 {
			t.Errorf("%d are kept logged in though nobody watches", n)
		}
	})
}

// TestReloadAsSubscriptionsCome: whatever comes first, the reload or the
// subscription, it is the newest rule by which it is watched.
func TestReloadAsSubscriptionsCome(t *testing.T) {
	var followed, ended atomic.Int64
	within(t, "drain: 0s\nendpoints: [{path: /a, interval: 1s, headers: {X-Key: k0}}]\n", func(w *world) {
		w.mirror()
		const reloads = 300
		newest := fmt.Sprintf(`"key":"k%d"`, reloads)
		done := make(chan struct{}, 20)
		for i := range cap(done) {
			p := listen(w.dial("/", as(fmt.Sprint("user", i))).ws)
			go func() {
				defer func() { done <- struct{}{} }()
				for n := 0; ; n++ {
					verb := "subscribe"
					if n%3 == 2 {
						verb = "unsubscribe"
					}
					p.ws.Write(context.Background(), websocket.MessageText, fmt.Appendf(nil, `{"type":%q,"url":"/a"}`, verb))
					time.Sleep(time.Duration(n%7) * 100 * time.Millisecond)
					if n > 200 && n%3 == 1 {
						break
					}
				}
				for {
					text, err := p.next(30 * time.Second)
					switch {
					case err != nil:
						t.Errorf("it never heard of the newest rule: %v", err)
						return
					case strings.Contains(string(text), newest):
						followed.Add(1)
						return
					case strings.Contains(string(text), `"end"`):
						ended.Add(1)
					}
				}
			}()
		}
		for i := range reloads {
			time.Sleep(100 * time.Millisecond)
			w.reload(fmt.Sprintf("drain: 0s\nendpoints: [{path: /a, interval: 1s, headers: {X-Key: k%d}}]\n", i+1))
		}
		for range cap(done) {
			<-done
		}
		if n := w.proxy.poller.Watched(); n > cap(done) {
			t.Errorf("%d resources are polled for %d users", n, cap(done))
		}
	})
	t.Logf("%d of 20 heard of the newest rule, %d ends", followed.Load(), ended.Load())
}

// TestEverySettingIsClassified: for every setting of a rule it is decided
// whether a change of it makes the rule another one. A new setting does, until
// it is known that it need not.
func TestEverySettingIsClassified(t *testing.T) {
	goesOn := map[string]bool{
		"Interval": true, "MaxInterval": true, "Timeout": true, "Linger": true, "Reauthorize": true, "Touch": true, "DropQuery": true,
		"Keys": true, "ConfirmShrink": true, "Confirm": true, "Ignore": true, "Format": true, "MaxBody": true, "Serve": true, "RefreshOn": true, "Line": true,
		"Vary": false, "Authorize": false, "Headers": false, "Path": false,
	}
	base := testRoutes(t, "endpoints: [{path: /a, interval: 1s}]\n").byPath["/a"]
	for f := range reflect.TypeFor[config.Endpoint]().Fields() {
		want, known := goesOn[f.Name]
		if !known {
			t.Errorf("%s is new: does a rule with another one go on with what was seen before?", f.Name)
			continue
		}
		other := &endpoint{config: base.config, rule: base.rule}
		v := reflect.ValueOf(&other.config).Elem().FieldByIndex(f.Index)
		switch v.Kind() {
		case reflect.Int, reflect.Int64:
			v.SetInt(v.Int() + 1)
		case reflect.Float64:
			v.SetFloat(v.Float() + 1)
		case reflect.Bool:
			v.SetBool(!v.Bool())
		case reflect.String:
			v.SetString(v.String() + "x")
		case reflect.Slice:
			v.Set(reflect.MakeSlice(v.Type(), 3, 3))
		case reflect.Map:
			v.Set(reflect.MakeMap(v.Type()))
			v.SetMapIndex(reflect.ValueOf("x"), reflect.New(v.Type().Elem()).Elem())
		default:
			t.Fatalf("%s is a %s", f.Name, v.Kind())
		}
		if got := other.asksLike(base); got != want {
			t.Errorf("with another %s the rule goes on: %t, want %t", f.Name, got, want)
		}
	}
}

// TestReloadOvertakes: a request that has found its rule just before a reload is
// served by the rule that is in force after it.
func TestReloadOvertakes(t *testing.T) {
	const rule = "endpoints: [{path: /a, interval: 1s, vary: [], headers: {X-Key: %s}}]\n"
	within(t, fmt.Sprintf(rule, "old"), func(w *world) {
		w.mirror()
		overtaken := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			e, url, err := w.proxy.now().resolve(requestTarget(r))
			if err != nil {
				t.Error(err)
			}
			w.reload(fmt.Sprintf(rule, "new"))
			w.proxy.serveEndpoint(&answer{ResponseWriter: rw, started: time.Now()}, r, e, url)
		}))
		front := pipe.Listen()
		overtaken.Listener = front
		overtaken.Start()
		client := front.Transport()
		w.http = &http.Client{Transport: client}
		defer overtaken.Close()
		defer client.CloseIdleConnections()

		p := w.dial("/a", nil)
		p.want(is("/a", "", "new"))
		p.ws.CloseNow() // one that reads nothing is not waited for in simulated time
		w.reload(fmt.Sprintf(rule, "old"))
		s := w.events("/a")
		defer s.cancel()
		s.next()
		if e := s.next(); !strings.Contains(e.data, `"key":"new"`) {
			t.Errorf("the stream got %+v", e)
		}
		w.reload(fmt.Sprintf(rule, "old"))
		if _, body := w.do("GET", "/a", "Prefer: wait=5", `If-None-Match: "x"`); !strings.Contains(body, `"key":"new"`) {
			t.Errorf("the long-poll got %s", body)
		}
	})
}
