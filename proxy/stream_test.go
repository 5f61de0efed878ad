package proxy

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"pollbridge/internal/pipe"
)

// An eventSource reads a stream as browsers do.
type eventSource struct {
	t      *testing.T
	res    *http.Response
	lines  *bufio.Reader
	cancel context.CancelFunc
}

type event struct{ name, id, data, retry, comment string }

func (w *world) events(target string, headers ...string) *eventSource {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, _ := http.NewRequestWithContext(ctx, "GET", "http://proxy.test"+target, nil)
	r.Header.Set("Accept", "text/event-stream")
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Set(name, value)
	}
	res, err := w.http.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	return &eventSource{w.t, res, bufio.NewReader(res.Body), cancel}
}

// next reads up to the next empty line.
func (s *eventSource) next() (e event) {
	s.t.Helper()
	for {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			s.t.Fatalf("stream ended: %v", err)
		}
		line = strings.TrimSuffix(line, "\n")
		if line == "" {
			return e
		}
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "event":
			e.name = value
		case "id":
			e.id = value
		case "data":
			e.data = value
		case "retry":
			e.retry = value
		case "":
			e.comment = ":"
		}
	}
}

func TestEventStream(t *testing.T) {
	within(t, served, func(w *world) {
		w.json("{\n  \"n\": 1,\n  \"pad\": \"" + big + "\"\n}")
		s := w.events("/api/x")
		for name, want := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"} {
			if got := s.res.Header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		if e := s.next(); e.retry != "2000" {
			t.Errorf("%+v, want retry first", e)
		}
		first := s.next()
		if first.name != "snapshot" || len(first.id) != 22 || !strings.HasSuffix(first.data, `,"data":{"n":1,"pad":"`+big+`"}}`) || strings.Contains(first.data, `"url"`) {
			t.Errorf("%+v, want a snapshot without url", first)
		}
		w.json(`{"n":2,"pad":"` + big + `"}`)
		e := s.next()
		if e.comment == "" {
			second := e
			if second.name != "patch" || second.id == first.id || !strings.Contains(second.data, `"from":"`+first.id+`"`) {
				t.Errorf("%+v, want a patch from %s", second, first.id)
			}
			e = s.next()
		}
		started := time.Now()
		if e = s.next(); e.comment == "" || time.Since(started) > heartbeat {
			t.Errorf("%+v after %v of silence, want a comment", e, time.Since(started))
		}
		s.cancel()

		resumed := w.events("/api/x", "Last-Event-ID: "+first.id)
		resumed.next()
		if e := resumed.next(); e.name != "patch" || !strings.Contains(e.data, `"from":"`+first.id+`"`) {
			t.Errorf("resumed with %+v, want the patch", e)
		}
		resumed.cancel()
	})
}

func TestEventStreamStaleAndEnd(t *testing.T) {
	within(t, served, func(w *world) {
		s := w.events("/api/x")
		s.next()
		first := s.next()
		w.answer(func(rw http.ResponseWriter, r *http.Request) { rw.WriteHeader(503) })
		if e := s.next(); e.name != "stale" || e.id != "" || !strings.Contains(e.data, `"since":"`) {
			t.Errorf("%+v, want stale", e)
		}
		w.json(`{"n":1}`)
		e := s.next()
		for e.comment != "" {
			e = s.next()
		}
		if e.name != "current" || e.id != first.id {
			t.Errorf("%+v, want current", e)
		}
		w.answer(func(rw http.ResponseWriter, r *http.Request) { rw.WriteHeader(410) })
		if e := s.next(); e.name != "end" || !strings.Contains(e.data, `"code":"gone"`) || e.retry != "60000" {
			t.Errorf("%+v, want end", e)
		}
		if _, err := s.lines.ReadByte(); err != io.EOF {
			t.Errorf("after end: %v, want the stream to end", err)
		}
	})
}

func TestEventStreamThrottle(t *testing.T) {
	within(t, "endpoints: [{path: /api/x, interval: 100ms}]", func(w *world) {
		n := 0
		w.answer(func(rw http.ResponseWriter, r *http.Request) {
			n++
			rw.Header().Set("Content-Type", "application/json")
			io.WriteString(rw, `{"n":`+strings.Repeat("1", n%50+1)+`}`)
		})
		s := w.events("/api/x", "Pollbridge-Throttle: 2000")
		s.next()
		s.next()
		started := time.Now()
		for range 5 {
			s.next()
		}
		if d := time.Since(started); d < 9*time.Second || d > 11*time.Second {
			t.Errorf("5 messages in %v, want one every 2 s", d)
		}
		s.cancel()
		bad := w.events("/api/x", "Pollbridge-Throttle: soon")
		w.wantStatus(bad.res, 400)
		bad.cancel()
		elsewhere := w.events("/api/x", "Origin: https://elsewhere.test")
		w.wantStatus(elsewhere.res, 403)
		elsewhere.cancel()
	})
}

// A stream that throttle holds back is not silent for longer than others, and
// does not hold up the end of the program.
func TestEventStreamThrottledStaysAlive(t *testing.T) {
	within(t, served, func(w *world) {
		s := w.events("/api/x", "Pollbridge-Throttle: 3600000")
		s.next()
		if e := s.next(); e.name != "snapshot" {
			t.Fatalf("%+v, want the snapshot", e)
		}
		w.json(`{"n":2}`)
		for range 4 {
			started := time.Now()
			if e := s.next(); e.comment == "" || time.Since(started) > heartbeat {
				t.Errorf("%+v after %v, want a comment within %v", e, time.Since(started), heartbeat)
			}
		}
		started := time.Now()
		go w.proxy.Drain(context.Background())
		for err := error(nil); err == nil; {
			_, err = s.lines.ReadByte()
		}
		if d := time.Since(started); d > w.proxy.now().cfg.Drain {
			t.Errorf("the stream ended %v after the proxy began to drain, want %v at most", d, w.proxy.now().cfg.Drain)
		}
	})
}

// Over HTTP/2 a stream lives as long, and has news after silence.
func TestEventStreamOverHTTP2(t *testing.T) {
	within(t, served, func(w *world) {
		protocols := new(http.Protocols)
		protocols.SetUnencryptedHTTP2(true)
		front := pipe.Listen()
		server := &http.Server{Handler: w.proxy, Protocols: protocols}
		go server.Serve(front)
		defer server.Close()
		client := front.Transport()
		client.Protocols = protocols
		defer client.CloseIdleConnections()
		w.http.Transport = client
		s := w.events("/api/x")
		defer s.cancel()
		if s.next(); s.res.ProtoMajor != 2 {
			t.Fatalf("%s, want HTTP/2", s.res.Proto)
		}
		s.next()
		for range 5 {
			if e := s.next(); e.comment == "" {
				t.Errorf("%+v, want a comment", e)
			}
		}
		w.json(`{"n":2}`)
		for e := s.next(); e.name == ""; {
			e = s.next()
		}
	})
}

func TestLongPoll(t *testing.T) {
	within(t, served, func(w *world) {
		res, _ := w.do("GET", "/api/x", "Prefer: wait=30", `If-None-Match: "other"`)
		w.wantStatus(res, 200)
		etag := res.Header.Get("ETag")
		started := time.Now()
		res, _ = w.do("GET", "/api/x", "Prefer: wait=30", "If-None-Match: "+etag)
		w.wantStatus(res, 304)
		if d := time.Since(started); d != 30*time.Second || res.Header.Get("Preference-Applied") != "wait=30" {
			t.Errorf("held for %v, %v; want 30 s", d, res.Header)
		}
		started = time.Now()
		time.AfterFunc(12*time.Second, func() { w.json(`{"n":2}`) })
		res, body := w.do("GET", "/api/x", "Prefer: respond-async, wait=40", "If-None-Match: "+etag)
		w.wantStatus(res, 200)
		if d := time.Since(started); body != `{"n":2}` || d < 12*time.Second || d > 23*time.Second {
			t.Errorf("%s after %v", body, d)
		}
		etag = res.Header.Get("ETag")
		started = time.Now()
		res, _ = w.do("GET", "/api/x", "Prefer: wait=9999", "If-None-Match: "+etag)
		if d := time.Since(started); d != maxWait*time.Second || res.Header.Get("Preference-Applied") != "wait=50" {
			t.Errorf("held for %v, %s; want at most %d s", d, res.Header.Get("Preference-Applied"), maxWait)
		}
		w.answer(func(rw http.ResponseWriter, r *http.Request) { http.Error(rw, "no", http.StatusServiceUnavailable) })
		time.Sleep(15 * time.Second)
		time.AfterFunc(20*time.Second, func() { w.json(`{"n":3}`) })
		res, body = w.do("GET", "/api/x", "Prefer: wait=50", "If-None-Match: "+etag)
		if res.StatusCode == 200 && body != `{"n":3}` {
			t.Errorf("%d %s through a failure", res.StatusCode, body)
		}
	})
}

func TestEventStreamLimit(t *testing.T) {
	within(t, served+"limits: {connections: 1}\n", func(w *world) {
		s := w.events("/api/x")
		s.next()
		s.next()
		refused := w.events("/api/x")
		w.wantStatus(refused.res, 200)
		if e := refused.next(); e.name != "end" || !strings.Contains(e.data, `"code":"limit"`) || e.retry != "10000" {
			t.Errorf("%+v, want an end that an EventSource comes back from", e)
		}
		if _, err := refused.lines.ReadByte(); err != io.EOF {
			t.Errorf("after end: %v, want the stream to end", err)
		}
		s.cancel()
		refused.cancel()
	})
}
