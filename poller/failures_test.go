package poller

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestBackoffAndRecovery(t *testing.T) {
	run(t, func(t *testing.T, p *Poller, u *upstream) {
		w := mustWatch(t, p, Request{Rule: rule(), URL: "/x"})
		defer w.Close()
		settle(time.Second)
		good := w.Newest()
		u.answer(func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", 500) })
		settle(20 * time.Minute)
		n := u.count()
		settle(60 * time.Minute)
		perHour := u.count() - n
		if perHour < 60 || perHour > 240 {
			t.Errorf("%d polls in an hour of failures, want one every 1 to 60 s, 30 on average", perHour)
		}
		s := w.Newest()
		if s.Err == nil || s.Err.Code != CodeStatus || s.Err.Status != 500 || s.Version != good.Version {
			t.Fatalf("%+v, want the last good document with upstream_status 500", s)
		}
		u.body(`{"n":1}`)
		settle(61 * time.Second)
		if s := w.Newest(); s.Err != nil || s.Version != good.Version {
			t.Errorf("%+v, want the document without an error", s)
		}
		n = u.count()
		settle(10 * time.Second)
		if d := u.count() - n; d < 9 {
			t.Errorf("%d polls in the 10 s after the recovery, want 10", d)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	for _, value := range []string{"120", ""} {
		run(t, func(t *testing.T, p *Poller, u *upstream) {
			u.answer(func(w http.ResponseWriter, r *http.Request) {
				after := value
				if after == "" {
					after = time.Now().Add(2 * time.Minute).UTC().Format(http.TimeFormat)
				}
				w.Header().Set("Retry-After", after)
				w.WriteHeader(http.StatusTooManyRequests)
			})
			w := mustWatch(t, p, Request{Rule: rule(), URL: "/x"})
			defer w.Close()
			settle(118 * time.Second)
			if u.count() != 1 {
				t.Errorf("%d polls within the time that Retry-After %q gives, want 1", u.count(), value)
			}
			settle(3 * time.Second)
			if u.count() != 2 {
				t.Errorf("%d polls after it, want 2", u.count())
			}
		})
	}
}

func TestFailures(t *testing.T) {
	gz := func(b []byte) []byte {
		var buf bytes.Buffer
		zw := gzip.NewWriter(&buf)
		zw.Write(b)
		zw.Close()
		return buf.Bytes()
	}
	raw := func(header, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				panic(err)
			}
			fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\n%s\r\n\r\n%s", header, body)
			conn.Close()
		}
	}
	typed := func(contentType, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", contentType)
			io.WriteString(w, body)
		}
	}
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		code    string
		over    bool
	}{
		"not JSON":         {typed("application/json", "<html>"), CodeBodyInvalid, false},
		"empty":            {typed("application/json", ""), CodeBodyInvalid, false},
		"two documents":    {typed("application/json", "{} {}"), CodeBodyInvalid, false},
		"login page":       {typed("text/html", "<html>log in</html>"), CodeBodyInvalid, false},
		"became an image":  {typed("image/png", "\x89PNG\x00"), CodeBodyInvalid, false},
		"too deep":         {typed("application/json", strings.Repeat("[", 20_000)+strings.Repeat("]", 20_000)), CodeBodyInvalid, false},
		"too large":        {typed("application/json", `"`+strings.Repeat("x", 100_000)+`"`), CodeBodyTooLarge, false},
		"chunked, cut off": {raw("Transfer-Encoding: chunked\r\nContent-Type: application/json", "2\r\n{}\r\n"), CodeBodyInvalid, false},
		"length, cut off":  {raw("Content-Length: 100\r\nContent-Type: application/json", "{}"), CodeBodyInvalid, false},
		"not gzip":         {raw("Content-Encoding: gzip\r\nContent-Type: application/json", "{}"), CodeBodyInvalid, false},
		"gzip cut off":     {raw("Content-Encoding: gzip\r\nContent-Type: application/json", string(gz([]byte("{}"))[:20])), CodeBodyInvalid, false},
		"gzip bomb":        {raw("Content-Encoding: gzip\r\nContent-Type: application/json", string(gz(make([]byte, 50<<20)))), CodeBodyTooLarge, false},
		"brotli, unasked":  {raw("Content-Encoding: br\r\nContent-Type: application/json", "{}"), CodeBodyInvalid, false},
		"500":              {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) }, CodeStatus, false},
		"404":              {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(404) }, CodeStatus, false},
		"204":              {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(204) }, CodeStatus, false},
		"401, shared":      {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(401) }, CodeUnauthorized, false},
		"410":              {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(410) }, CodeGone, true},
		"redirect elsewhere": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://elsewhere.test/x", http.StatusFound)
		}, CodeStatus, false},
		"drops the connection": {func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }, CodeUnreachable, false},
		"hangs":                {func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, CodeTimeout, false},
		"drips": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for r.Context().Err() == nil {
				io.WriteString(w, " ")
				w.(http.Flusher).Flush()
				pause(r, time.Second)
			}
		}, CodeTimeout, false},
		"private": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "max-age=3, Private")
			io.WriteString(w, "{}")
		}, CodeNotShareable, true},
		"no-store": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Cache-Control", "no-store")
			io.WriteString(w, "{}")
		}, CodeNotShareable, true},
		"Set-Cookie": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Set-Cookie", "a=b")
			io.WriteString(w, "{}")
		}, CodeNotShareable, true},
		"Vary": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Vary", "Origin, X-User")
			io.WriteString(w, "{}")
		}, CodeNotShareable, true},
		"Vary *": {func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Vary", "*"); io.WriteString(w, "{}") }, CodeNotShareable, true},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			o := Options{Log: slog.New(slog.NewTextHandler(&log, nil))}
			runWith(t, o, func(t *testing.T, p *Poller, u *upstream) {
				r := rule()
				r.MaxBody = 90_000
				w := mustWatch(t, p, Request{Rule: r, URL: "/x?token=canary"})
				defer w.Close()
				settle(1500 * time.Millisecond)
				good := w.Newest()
				if good == nil || good.Err != nil {
					t.Fatalf("%+v before the failure", good)
				}
				u.answer(test.handler)
				settle(30 * time.Second)
				s := w.Newest()
				if s.Err == nil || s.Err.Code != test.code || s.Over != test.over {
					t.Fatalf("err %v, over %v; want %s, %v", s.Err, s.Over, test.code, test.over)
				}
				if s.Version != good.Version || string(s.Body) != string(good.Body) {
					t.Errorf("the last good document is gone: %q", s.Body)
				}
				if strings.Contains(s.Err.Message, "upstream.test") || strings.Contains(s.Err.Message, "canary") {
					t.Errorf("message %q shows what clients should not see", s.Err.Message)
				}
				if n := strings.Count(log.String(), "poll failed"); n != 1 {
					t.Errorf("the log says it %d times, want once:\n%s", n, log.String())
				}
				if strings.Contains(log.String(), "canary") {
					t.Errorf("the log shows the query:\n%s", log.String())
				}
				if test.over {
					return
				}
				u.body(`{"n":1}`)
				settle(90 * time.Second)
				if s := w.Newest(); s.Err != nil || s.Version != good.Version {
					t.Errorf("not recovered: %+v", s)
				}
			})
		})
	}
}
