package probe

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pollbridge/config"
)

// secret is in all credentials of these tests, and in nothing that is told.
const secret = "s3cret"

// answer makes a handler of a function that returns the body.
func answer(body func(r *http.Request) string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		fmt.Fprint(w, body(r))
	}
}

func text(body string) func(*http.Request) string { return func(*http.Request) string { return body } }

func user(r *http.Request) string { return strings.TrimPrefix(r.Header.Get("Authorization"), secret) }

// guarded answers those who have credentials.
func guarded(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		h(w, r)
	}
}

var orders = text(`{"orders":[{"id":1,"state":"open"},{"id":2,"state":"open"}]}`)

// cases are APIs and what is to be said of them: level, key, and words of the
// text; and what to write. What is said beyond that is an error, notes apart.
var cases = []struct {
	name, rule, url string
	header          []string // name, value
	api             http.HandlerFunc
	say             []string // "level key: words", "write"
}{
	{name: "all is well", rule: "vary: []", api: answer(text(`{"a":1}`), "Etag", `"1"`)},
	{name: "differs by user though shared", rule: "vary: []", header: []string{"Authorization", secret + "bob"},
		api: answer(func(r *http.Request) string { return `{"a":1,"for":"` + user(r) + `"}` }),
		say: []string{"error vary: with the given credentials it is another (/for)", "vary: [Authorization]"}},
	{name: "does not differ by user", rule: "vary: []", header: []string{"Authorization", secret + "bob"}, api: answer(text(`{"a":1}`))},
	{name: "differs by the clock only", rule: "vary: []", header: []string{"Authorization", secret + "bob"},
		api: answer(func(*http.Request) string { return fmt.Sprintf(`{"a":1,"at":%d}`, time.Now().UnixMilli()) }),
		say: []string{"warning ignore: changes with every answer: /at", `ignore: ["/at"]`}},
	{name: "credentials are wanted", rule: "vary: []", header: []string{"Authorization", secret}, api: guarded(answer(text(`{"a":1}`))),
		say: []string{"error vary: the API answers 401 to what the rule sends, and 200 with the given credentials", "vary: [Authorization]"}},
	{name: "no credentials are given", rule: "timeout: 10s", api: guarded(answer(text(`{"a":1}`))),
		say: []string{"warning : 401 to who has no credentials; give those of one user", ""}},
	{name: "a session that has ended", rule: "timeout: 10s", header: []string{"Cookie", "sid=x"}, api: func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/base/login" {
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, "<form>")
			return
		}
		http.Redirect(w, r, "/base/login", http.StatusFound)
	}, say: []string{"error : the API redirects to another page, as it does with those who have to log in, in answer to the given credentials", ""}},
	{name: "credentials that are refused", rule: "timeout: 10s", header: []string{"Authorization", secret}, api: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) },
		say: []string{"error : the API answers 403 to the given credentials", ""}},
	{name: "headers that are refused", rule: `vary: [], headers: {X-Key: s3cret}`, api: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) },
		say: []string{"error headers: 403 to the rule's own headers", ""}},
	{name: "could be shared", rule: "timeout: 10s", header: []string{"Authorization", secret}, api: answer(text(`{"a":1}`)),
		say: []string{"tip vary: the same with the given credentials and without any", "vary: []"}},
	{name: "is not the same for all", rule: "timeout: 10s", header: []string{"Authorization", secret + "bob"},
		api: answer(func(r *http.Request) string { return `{"for":"` + user(r) + `"}` }),
		say: []string{"note vary: depends on the credentials, as vary says (/for)", ""}},
	{name: "depends on a header that is not named", rule: "vary: [Authorization]", header: []string{"Authorization", secret, "X-Tenant", "t" + secret},
		api: guarded(answer(func(r *http.Request) string { return fmt.Sprintf(`{"tenant":%d}`, len(r.Header.Get("X-Tenant"))) })),
		say: []string{"error vary: depends on what vary does not name, X-Tenant (/tenant)", "vary: [Authorization, X-Tenant]"}},
	{name: "depends on a cookie that is not named", rule: `vary: ["Cookie:sid"]`, header: []string{"Cookie", "sid=" + secret + "; theme=dark"},
		api: answer(func(r *http.Request) string {
			return fmt.Sprintf(`{"dark":%t}`, strings.Contains(r.Header.Get("Cookie"), "theme=dark"))
		}),
		say: []string{"error vary: depends on what vary does not name, Cookie (/dark)", "vary: [Cookie:sid, Cookie]"}},
	{name: "marked private", rule: "vary: []", api: answer(text(`{"a":1}`), "Cache-Control", "private"),
		say: []string{"error vary: marked Cache-Control: private", "vary: [Authorization, Cookie]"}},
	{name: "depends on a language", rule: "vary: []", api: answer(text(`{"a":1}`), "Vary", "Accept-Language, Accept-Encoding"),
		say: []string{"error vary: the request header Accept-Language", "vary: [Accept-Language]"}},
	{name: "sets a cookie", rule: "vary: []", api: answer(text(`{"a":1}`), "Set-Cookie", "sid="+secret),
		say: []string{"error vary: sets a cookie", "vary: [Authorization, Cookie]"}},
	{name: "begins sessions", rule: "timeout: 10s", header: []string{"Authorization", secret}, api: guarded(answer(text(`{"a":1}`), "Set-Cookie", "sid="+secret)),
		say: []string{"warning : every answer sets a cookie", ""}},
	{name: "always-changing members among real changes", rule: "vary: [], ignore: [/x]",
		api: answer(func(*http.Request) string {
			now := time.Now()
			return fmt.Sprintf(`{"x":%d,"price":%d,"rows":[{"id":"a","seen":%q},{"id":"b","seen":%q}]}`, now.UnixNano(), now.UnixNano()%1000, now.Format(time.RFC3339Nano), now.Format(time.RFC3339Nano))
		}),
		say: []string{"tip ignore: among what changed", `ignore: ["/x", "/rows/*/seen"]`, "tip keys: the elements of /rows are told apart by id", `keys: {"/rows": "id"}`}},
	{name: "keys", rule: "vary: []", api: answer(orders), say: []string{"tip keys: the elements of /orders", `keys: {"/orders": "id"}`}},
	{name: "keys beside others", rule: `vary: [], keys: {"/other": [a, b]}`, api: answer(text(`{"x":[{"id":1},{"id":2}],"y":[{"key":"p"},{"key":"q"}]}`)),
		say: []string{"tip keys: the elements of /x are told apart by id, the elements of /y are told apart by key", `keys: {"/other": ["a", "b"], "/x": "id", "/y": "key"}`}},
	{name: "keys that are there", rule: `vary: [], keys: {"/orders": id}`, api: answer(orders)},
	{name: "not JSON though it says so", rule: "vary: []", api: answer(text(`<html>`)), say: []string{"error : not the JSON that its type", ""}},
	{name: "a page", rule: "vary: []", api: answer(text(`<html>`), "Content-Type", "text/html; charset=utf-8"), say: []string{"warning : is a page (text/html)", ""}},
	{name: "an image", rule: "vary: []", api: answer(text("\x89PNG"), "Content-Type", "image/png"), say: []string{"error path: neither JSON nor text", ""}},
	{name: "not found", rule: "vary: []", api: http.NotFound, say: []string{"error : 404 Not Found: is the path right?", ""}},
	{name: "busy", rule: "vary: []", api: func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Retry-After", "90"); w.WriteHeader(429) },
		say: []string{"error : asks to be left alone for 1m30s", ""}},
	{name: "elsewhere", rule: "vary: []", api: http.RedirectHandler("https://login.test/?back="+secret, http.StatusFound).ServeHTTP, say: []string{"error : it leads to https://login.test/, which is not the origin", ""}},
	{name: "moved", rule: "vary: []", api: func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/base/api/x" {
			http.Redirect(w, r, "/base/api/y", http.StatusFound)
		}
		answer(text(`{"a":1}`))(w, r)
	}, say: []string{"tip path: by a redirect", ""}},
	{name: "slower than the interval", rule: "vary: [], interval: 10ms", api: func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(30 * time.Millisecond)
		answer(text(`{"a":1}`))(w, r)
	}, say: []string{"warning interval: longer than the interval, 10ms", "interval: "}},
	{name: "slower than the timeout", rule: "vary: [], timeout: 20ms", api: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		say: []string{"error timeout: no whole answer within 20ms", "timeout: 40ms"}},
	{name: "too large", rule: "vary: [], max_body: 1KiB", api: func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Length", "3001")
		w.Write([]byte(`"` + strings.Repeat("x", 2999) + `"`))
	}, say: []string{"error max_body: larger than 1KiB", "max_body: 4KiB"}},
	{name: "nearly too large", rule: "vary: [], max_body: 1KiB", api: answer(text(`"` + strings.Repeat("x", 900) + `"`)), say: []string{"warning max_body: more than half of 1KiB", "max_body: 2KiB"}},
	{name: "a counter", rule: "vary: []", header: []string{"Authorization", secret}, api: counter(), say: []string{"warning path: /views rises by one with every request", ""}},
	{name: "a queue", rule: "vary: []", api: queue(), say: []string{"warning path: /jobs had 3 elements and then none", ""}},
	{name: "a name that changes something", rule: "path: /api/ack", url: "/api/ack", api: answer(text(`{"a":1}`)), say: []string{`warning path: "ack"`, ""}},
	{name: "validators that are not heeded", rule: "vary: []", api: answer(text(`{"a":1}`), "Etag", `"1"`), say: []string{"note : does not heed them", ""}},
	{name: "no validators", rule: "vary: []", api: answer(text(`{"a":1}`)), say: []string{"note : neither ETag nor Last-Modified", ""}},
	{name: "nobody's credentials", rule: "vary: []", api: answer(text(`{"a":1}`)), say: []string{"note vary: differs by user was not tried", ""}},
	{name: "authorize that protects nothing", rule: "vary: [Authorization], authorize: true, headers: {Authorization: s3cret-service}", api: answer(text(`{"a":1}`)),
		say: []string{"error authorize: lets in who has no credentials at all", ""}},
	{name: "authorize of what differs", rule: "vary: [Authorization], authorize: true, headers: {Authorization: s3cret-service}", header: []string{"Authorization", secret + "bob"},
		api: guarded(answer(func(r *http.Request) string { return `{"for":"` + user(r) + `"}` })),
		say: []string{"error authorize: with the given credentials it is another (/for)", "authorize: same"}},
	{name: "authorize as it should be", rule: "vary: [Authorization], authorize: true, headers: {Authorization: s3cret-service}", header: []string{"Authorization", secret + "bob"},
		api: guarded(answer(text(`{"a":1}`)))},
	{name: "an example for a wildcard", rule: "vary: [], path: \"/api/{id}\"", url: "/api/7?open=1", api: http.NotFound, say: []string{"error : 404", ""}},
}

func counter() http.HandlerFunc {
	var n atomic.Int64
	return answer(func(*http.Request) string { return fmt.Sprintf(`{"views":%d,"name":"x"}`, n.Add(1)) })
}

func queue() http.HandlerFunc {
	var n atomic.Int64
	return answer(func(*http.Request) string {
		if n.Add(1)%2 == 0 { // the test may run again
			return `{"jobs":[]}`
		}
		return `{"jobs":[7,8,9]}`
	})
}

// parse reads a configuration of one rule, given as members of a YAML flow
// mapping, before an API.
func parse(t *testing.T, rule, upstream string) *config.Config {
	t.Helper()
	for _, preset := range []string{"path: /api/x", "interval: 5s"} {
		if key, _, _ := strings.Cut(preset, ":"); !strings.Contains(rule, key+":") {
			rule = preset + ", " + rule
		}
	}
	cfg, err := config.Parse("test.yaml", []byte("upstream: "+upstream+"/base\nendpoints: [{"+rule+"}]\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// TestProbe holds what is said of every API of cases, that no credential is in
// it, and that each API is asked as polls ask.
func TestProbe(t *testing.T) {
	t.Parallel()
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			requests := 0
			api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				requests++
				mu.Unlock()
				if r.Method != http.MethodGet || r.Header.Get("User-Agent") != "pollbridge" || !strings.HasPrefix(r.URL.Path, "/base/") {
					t.Errorf("asked by %s %s %q", r.Method, r.URL, r.Header)
				}
				c.api(w, r)
			}))
			defer api.Close()
			o := Options{Pause: 5 * time.Millisecond, Header: http.Header{}}
			for i := 0; i < len(c.header); i += 2 {
				o.Header.Set(c.header[i], c.header[i+1])
			}
			if c.url != "" {
				o.URLs = []string{c.url}
			}
			reports, unasked, err := Run(t.Context(), parse(t, c.rule, api.URL), o)
			if err != nil || len(reports) != 1 || len(unasked) != 0 {
				t.Fatalf("%d reports, %v not asked for, %v", len(reports), unasked, err)
			}
			r := reports[0]
			mu.Lock()
			defer mu.Unlock()
			if requests > 8 || requests < r.Polls {
				t.Errorf("%d requests, and said are %d", requests, r.Polls)
			}
			checkFindings(t, r.Findings, c.say)
		})
	}
}

func checkFindings(t *testing.T, findings []Finding, say []string) {
	t.Helper()
	said := make([]bool, len(findings))
	for i := 0; i < len(say); i += 2 {
		level, words, _ := strings.Cut(say[i], " ")
		key, words, _ := strings.Cut(words, ": ")
		at := slices.IndexFunc(findings, func(f Finding) bool {
			return f.Level.String() == level && f.Key == key && strings.Contains(f.Text, words)
		})
		if at < 0 {
			t.Errorf("not said: %s", say[i])
			continue
		}
		said[at] = true
		if write := findings[at].Write; write != say[i+1] && (say[i+1] != "interval: " || !strings.HasPrefix(write, say[i+1])) {
			t.Errorf("%s: to write is %q, want %q", say[i], write, say[i+1])
		}
	}
	for i, f := range findings {
		if !said[i] && f.Level != Note {
			t.Errorf("said without need: %s %s: %s; write %s", f.Level, f.Key, f.Text, f.Write)
		}
		if strings.Contains(f.Text+f.Write, secret) {
			t.Errorf("a secret is told: %s; write %s", f.Text, f.Write)
		}
		if f.Write != "" {
			checkWrite(t, f.Write)
		}
	}
}

// checkWrite holds that what is to be written is understood.
func checkWrite(t *testing.T, write string) {
	t.Helper()
	rule := "  - path: /a\n    " + write + "\n"
	if !strings.HasPrefix(write, "interval:") {
		rule += "    interval: 1s\n"
	}
	if _, err := config.Parse("write.yaml", []byte("upstream: http://127.0.0.1:1\nendpoints:\n"+rule), nil); err != nil {
		t.Errorf("to write is %q: %v", write, err)
	}
}

// TestHandshakes: where TLS is what fails, that is what is to be looked at.
func TestHandshakes(t *testing.T) {
	t.Parallel()
	secure := httptest.NewUnstartedServer(answer(text("{}")))
	secure.Config.ErrorLog = log.New(io.Discard, "", 0)
	secure.StartTLS()
	defer secure.Close()
	plain := httptest.NewServer(answer(text("{}")))
	defer plain.Close()
	for upstream, want := range map[string]string{
		secure.URL: "error : unknown authority): have SSL_CERT_FILE",
		strings.Replace(plain.URL, "http:", "https:", 1): "error : does the API speak plain http there",
	} {
		reports, _, err := Run(t.Context(), parse(t, "vary: []", upstream), Options{})
		if err != nil {
			t.Fatal(err)
		}
		checkFindings(t, reports[0].Findings, []string{want, ""})
	}
}

// TestUnreachable: nobody answers.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	api := httptest.NewServer(http.NotFoundHandler())
	api.Close()
	reports, _, err := Run(t.Context(), parse(t, "vary: []", api.URL), Options{})
	if err != nil {
		t.Fatal(err)
	}
	checkFindings(t, reports[0].Findings, []string{"error : cannot be reached", ""})
}

// TestUnasked: which rules need an example, and which examples are none.
func TestUnasked(t *testing.T) {
	t.Parallel()
	api := httptest.NewServer(answer(text(`{"a":1}`)))
	defer api.Close()
	cfg, err := config.Parse("test.yaml", []byte("upstream: "+api.URL+"\nendpoints:\n"+
		"  - {path: /a, interval: 1s}\n  - {path: \"/b/{id}\", interval: 1s}\n  - {path: /c/, interval: 1s}\n  - {path: \"/d/{$}\", interval: 1s}\n  - {path: \"/e/{x...}\", interval: 1s}\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	reports, unasked, err := Run(t.Context(), cfg, Options{URLs: []string{"/e/1", "/e/2?_=3", "/a?b=1"}, Pause: time.Millisecond})
	var got []string
	for _, r := range reports {
		got = append(got, r.URL)
	}
	if want := []string{"/a?b=1", "/c/", "/d/", "/e/1", "/e/2"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("asked for %v, %v, want %v", got, err, want)
	}
	if len(unasked) != 1 || unasked[0].Path != "/b/{id}" {
		t.Errorf("not asked for: %v", unasked)
	}
	for _, url := range []string{"/elsewhere", "a", "/b/%2e%2e", "%"} {
		if _, _, err := Run(t.Context(), cfg, Options{URLs: []string{url}}); err == nil {
			t.Errorf("%s is asked for", url)
		}
	}
}

// TestGeneralize: keys of a map are any, names of members are not.
func TestGeneralize(t *testing.T) {
	for _, c := range []struct{ pointers, want string }{
		{"/a /b /c", "/a /b /c"},
		{"/x/a /x/b /x/c", "/x/a /x/b /x/c"},
		{"/by/1/seen /by/2/seen /by/3/seen /t", "/by/*/seen /t"},
		{"/by/1/seen /by/2/seen", "/by/1/seen /by/2/seen"},
	} {
		if got := strings.Join(generalize(strings.Fields(c.pointers)), " "); got != c.want {
			t.Errorf("%s: got %s, want %s", c.pointers, got, c.want)
		}
	}
}
