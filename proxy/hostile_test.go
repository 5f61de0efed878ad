package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestHeadersInASubscribe: what a message calls a header is one header with one
// value, as it would be in a request: two spellings of a name are a mistake, and
// white space around a value is no part of it. So a value of white space alone
// makes nobody an identity.
func TestHeadersInASubscribe(t *testing.T) {
	within(t, "endpoints: [{path: /api/x, interval: 1s, vary: [Authorization]}]", func(w *world) {
		w.answer(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Cache-Control", "private")
			rw.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(rw, "%q", r.Header["Authorization"])
		})
		p := w.dial("/", nil)
		defer p.ws.CloseNow()
		for range 10 { // the order of a map's members is another one each time
			p.send(`{"type":"subscribe","url":"/api/x","headers":{"authorization":"a","Authorization":"b"}}`)
			if m := fmt.Sprint(p.next()); !strings.Contains(m, "bad_message") || !strings.Contains(m, "twice") {
				t.Fatalf("a header under two names: %s", m)
			}
		}
		for value, want := range map[string]string{
			`ann`: `data:[ann]`, ` ann\t `: `data:[ann]`, ``: "not_shareable", ` `: "not_shareable", `\t`: "not_shareable", `\u00a0`: "data:[\u00a0]",
			`\u000b`: "bad_message", ` \n`: "bad_message", `a\r\nX: b`: "bad_message",
		} {
			p := w.dial("/", nil)
			p.send(`{"type":"subscribe","url":"/api/x","headers":{"Authorization":"%s"}}`, value)
			if m := fmt.Sprint(p.next()); !strings.Contains(m, want) {
				t.Errorf("%q: %s, want %s", value, m, want)
			}
			p.ws.CloseNow()
			time.Sleep(time.Millisecond)
		}
	})
}
