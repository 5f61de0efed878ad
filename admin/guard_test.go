package admin

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestGuard: a page of another site, and one whose name was pointed at this
// listener, can neither read it nor have it do anything.
func TestGuard(t *testing.T) {
	refreshed := 0
	h := New(Options{Listen: "admin.example.com:9090", Hosts: []string{"pollbridge"}, Refresh: func(...string) int { refreshed++; return 1 }})
	for _, c := range []struct {
		request string // method, target, and headers behind |
		status  int
	}{
		{"POST /refresh | Host: 127.0.0.1:9090", 200},
		{"POST /refresh | Host: [::1]:9090", 200},
		{"POST /refresh | Host: 10.1.2.3", 200}, // a name can be pointed anywhere, an address not
		{"POST /refresh | Host: localhost:9090", 200},
		{"POST /refresh | Host: LOCALHOST.:9090", 200},
		{"POST /refresh | Host: dash.localhost:1", 200},
		{"POST /refresh | Host: admin.example.com:9090", 200}, // where it listens
		{"POST /refresh | Host: Pollbridge", 200},             // admin_hosts
		{"POST /refresh | Host: ", 200},                       // HTTP/1.0: no browser
		{"POST /refresh | Host: evil.example:9090", 403},
		{"POST /refresh | Host: localhost.evil.example", 403},
		{"POST /refresh | Host: notlocalhost", 403},
		{"POST /refresh | Host: 127.0.0.1.evil.example", 403},
		{"POST /refresh | Host: 127.1", 403},
		{"POST /refresh | Host: evil.example@localhost", 403},
		{"POST /refresh | Host: pollbridge.evil.example", 403},
		{"GET /readyz | Host: evil.example", 200}, // says nothing that could not be guessed
		{"GET /livez | Host: evil.example", 200},
		{"GET /nothing | Host: evil.example", 403},

		{"POST /refresh | Host: localhost:9090 | Origin: http://localhost:9090", 200},
		{"POST /refresh | Host: localhost:9090 | Origin: http://localhost:3000", 403},
		{"POST /refresh | Host: localhost:9090 | Origin: http://evil.example", 403},
		{"POST /refresh | Host: localhost:9090 | Origin: null", 403},
		{"POST /refresh | Host: localhost:9090 | Sec-Fetch-Site: same-origin", 200},
		{"POST /refresh | Host: localhost:9090 | Sec-Fetch-Site: none", 200},
		{"POST /refresh | Host: localhost:9090 | Sec-Fetch-Site: same-site", 403},
		{"POST /refresh | Host: localhost:9090 | Sec-Fetch-Site: cross-site", 403},
		{"POST /refresh | Host: evil.example | Origin: http://evil.example | Sec-Fetch-Site: same-origin", 403}, // rebound
		{"GET /refresh | Host: localhost:9090", 405},
		{"GET /livez | Host: localhost:9090 | Origin: http://evil.example", 200},
	} {
		parts := strings.Split(c.request, " | ")
		method, target, _ := strings.Cut(parts[0], " ")
		r := httptest.NewRequest(method, target, nil)
		for _, line := range parts[1:] {
			name, value, _ := strings.Cut(line, ": ")
			if name == "Host" {
				r.Host = value
			} else {
				r.Header.Set(name, value)
			}
		}
		w := httptest.NewRecorder()
		before := refreshed
		h.ServeHTTP(w, r)
		if w.Code != c.status {
			t.Errorf("%s: status %d, want %d: %s", c.request, w.Code, c.status, w.Body)
		}
		if did := refreshed > before; did != (method == "POST" && c.status == 200) {
			t.Errorf("%s: refreshed: %t", c.request, did)
		}
		for name := range w.Header() {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s: answered with %s: %s", c.request, name, w.Header().Get(name))
			}
		}
	}
}

// TestRefusalSaysWhatToDo: whoever reaches the listener by a name of their own
// is told which setting allows it.
func TestRefusalSaysWhatToDo(t *testing.T) {
	w := httptest.NewRecorder()
	r := httptest.NewRequest("GET", "/", nil)
	r.Host = "pollbridge.internal:9090"
	New(Options{}).ServeHTTP(w, r)
	if got := w.Body.String(); w.Code != http.StatusForbidden || !strings.Contains(got, `"pollbridge.internal"`) || !strings.Contains(got, "admin_hosts") {
		t.Errorf("%d %s", w.Code, got)
	}
}
