package admin

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pollbridge/config"
	"pollbridge/poller"
	"pollbridge/proxy"
)

// patience is how long something may take that takes no time.
const patience = 20 * time.Second

// A world is a backend, the proxy before it, and the admin listener of that.
type world struct {
	t     *testing.T
	admin string // URL
	proxy *proxy.Proxy
}

// newWorld puts a proxy with rules, in YAML, before a backend.
func newWorld(t *testing.T, rules string, bodies bool, backend http.HandlerFunc) *world {
	t.Helper()
	upstream := httptest.NewServer(backend)
	t.Cleanup(upstream.Close)
	cfg, err := config.Parse("test.yaml", []byte("upstream: "+upstream.URL+"\nendpoints:\n"+rules), nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := proxy.New(cfg, proxy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	a := New(Options{Status: p, Refresh: p.Refresh, Bodies: bodies, Version: "v1.2.3", Upstream: upstream.URL})
	front := httptest.NewServer(a)
	t.Cleanup(front.CloseClientConnections)
	return &world{t, front.URL, p}
}

// watch has somebody watch a URL until the test ends.
func (w *world) watch(target string, header http.Header) {
	w.t.Helper()
	front := httptest.NewServer(w.proxy)
	w.t.Cleanup(front.CloseClientConnections)
	r, err := http.NewRequest("GET", front.URL+target, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	if header != nil {
		r.Header = header
	}
	r.Header.Set("Accept", "text/event-stream")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { res.Body.Close() })
	go io.Copy(io.Discard, res.Body)
}

// get returns what a document says, as T, and its text.
func get[T any](w *world, path string) (v T, text string) {
	w.t.Helper()
	res, err := http.Get(w.admin + path)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		w.t.Fatalf("%s: %s %v %s", path, res.Status, err, b)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		w.t.Fatalf("%s: %v: %s", path, err, b)
	}
	return v, string(b)
}

// until waits until ready says so.
func (w *world) until(what string, ready func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(patience); !ready(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("waited for %s", what)
		}
	}
}

type list struct {
	Total, Page, Pages int
	Resources          []row
}

type row struct {
	ID, Rule, Path, User, State, Reason string
	Query                               bool
	Watchers                            int
	Counts                              map[string]float64
	Polls                               []struct{ Result, Why string }
	Changes                             []struct {
		PatchBytes int `json:"patch_bytes"`
		Operations []operation
	}
}

// TestStatus: the documents say what goes on, without what they must not say.
func TestStatus(t *testing.T) {
	var n atomic.Int64
	w := newWorld(t, `
  - {path: "/api/{x}", interval: 20ms, vary: [Authorization], headers: {X-Api-Key: hush-key}}
  - {path: /other, interval: 1s}
`, false, func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(rw, `{"member":"hush-value-%d","pad":"%s"}`, n.Add(1), strings.Repeat("x", 100))
	})
	w.watch("/api/x?token=hush-query", http.Header{"Authorization": {"Bearer hush-token"}})
	var l list
	w.until("three changes", func() bool {
		l, _ = get[list](w, "/status/resources")
		return l.Total == 1 && l.Resources[0].Counts["changed"] >= 3
	})
	r := l.Resources[0]
	if r.Rule != "/api/{x}" || r.Path != "/api/x" || !r.Query || len(r.User) != 8 || r.State != "live" || r.Watchers != 1 {
		t.Errorf("%+v", r)
	}
	detail, text := get[row](w, "/status/resources/"+r.ID)
	if len(detail.Polls) < 3 || detail.Polls[0].Result != "changed" || detail.Polls[0].Why == "" {
		t.Errorf("polls %+v", detail.Polls)
	}
	if o := detail.Changes[0].Operations; len(o) != 1 || o[0].Op != "replace" || o[0].Path != "/member" || o[0].Bytes < 10 || o[0].New != nil || o[0].Old != nil {
		t.Errorf("operations %+v", o)
	}
	s, all := get[struct {
		Version string
		Bodies  bool
		Totals  struct{ Counts map[string]float64 }
		Rules   []row
	}](w, "/status")
	if s.Version != "v1.2.3" || s.Bodies || len(s.Rules) != 2 || s.Rules[0].Watchers != 1 || s.Rules[0].Counts["changed"] != s.Totals.Counts["changed"] || s.Totals.Counts["would_requests"] < 2 {
		t.Errorf("%s", all)
	}
	_, rows := get[list](w, "/status/resources?text="+r.User+"&state=live&order=changed&rule="+url.QueryEscape(r.Rule))
	if secret := "hush"; strings.Contains(all+text+rows, secret) || !strings.Contains(rows, r.ID) {
		t.Errorf("%s\n%s\n%s", all, text, rows)
	}
	for path, want := range map[string]int{
		"/status/resources?state=asleep": 400, "/status/resources?order=x": 400, "/status/resources?page=0": 400, "/status/resources?colour=red": 400,
		"/status/resources/0123456789abcdef": 404, "/status/": 404, "/status/x/y": 404, "/.pollbridge/x": 404,
	} {
		res, err := http.Get(w.admin + path)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s: %s, want %d", path, res.Status, want)
		}
	}
}

// TestBodies: where bodies may be shown, a change says what was there before
// and what is now, from when somebody looks.
func TestBodies(t *testing.T) {
	var n atomic.Int64
	w := newWorld(t, `  - {path: /api/x, interval: 20ms, vary: []}`, true, func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(rw, `{"n":%d,"pad":"%s"}`, n.Add(1), strings.Repeat("x", 100))
	})
	w.watch("/api/x", nil)
	var l list
	w.until("the resource", func() bool {
		l, _ = get[list](w, "/status/resources")
		return l.Total == 1
	})
	w.until("a change that can be shown", func() bool {
		r, _ := get[row](w, "/status/resources/"+l.Resources[0].ID)
		for _, c := range r.Changes {
			for _, o := range c.Operations {
				if o.Old == nil || o.New == nil {
					continue
				}
				var before, after int
				fmt.Sscan(*o.Old, &before)
				if fmt.Sscan(*o.New, &after); after != before+1 || o.Path != "/n" {
					t.Fatalf("%s from %s to %s", o.Path, *o.Old, *o.New)
				}
				return true
			}
		}
		return false
	})
}

// many is a Status of more than a page can hold.
type many struct{ resources, rules int }

func (m many) Rules() (rules []poller.RuleStatus) {
	for i := range m.rules {
		rules = append(rules, poller.RuleStatus{Rule: fmt.Sprintf("/api/%d", i), Interval: time.Second, Watchers: 1, Counts: poller.Counts{Changed: 1}})
	}
	return rules
}

func (m many) Resources(s poller.Selection) (part []poller.ResourceStatus, total int) {
	for i := s.Offset; i < min(s.Offset+s.Limit, m.resources); i++ {
		part = append(part, poller.ResourceStatus{ID: fmt.Sprint(i), Path: "/" + strings.Repeat("x", 100), Spark: make([]uint16, poller.SparkSteps)})
	}
	return part, m.resources
}

func (m many) Resource(id string, documents bool) (poller.Resource, bool) {
	patch := []byte(`[{"op":"add","path":"/` + strings.Repeat("p", 10<<10) + `","value":"` + strings.Repeat("v", 10<<10) + `"}` + strings.Repeat(`,{"op":"remove","path":"/x"}`, 1000) + "]")
	r := poller.Resource{}
	for i := range 8 {
		r.Changes = append(r.Changes, poller.PatchedChange{Change: poller.Change{PatchBytes: len(patch), At: time.Now().Add(time.Duration(-i) * time.Second)}, Patch: patch, Before: patch})
	}
	return r, true
}

// TestDocumentsAreSmall: however much there is, a page gets a page of it.
func TestDocumentsAreSmall(t *testing.T) {
	a := &admin{o: Options{Status: many{10_000, 10_000}, Bodies: true}}
	for path, most := range map[string]int{"/status": 150 << 10, "/status/resources": 30 << 10, "/status/resources?page=400": 30 << 10, "/status/resources?page=401": 1 << 10, "/status/resources/1": 50 << 10} {
		w := httptest.NewRecorder()
		a.documents().ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != 200 || w.Body.Len() > most {
			t.Errorf("%s: status %d, %d bytes, want at most %d", path, w.Code, w.Body.Len(), most)
		}
	}
	if s := a.processStatus(); s.Totals.Watchers != 10_000 || s.Totals.Counts.Changed != 10_000 || len(s.Rules) != maxRules {
		t.Errorf("%d watchers, %d changes, %d rules", s.Totals.Watchers, s.Totals.Counts.Changed, len(s.Rules))
	}
}

// TestDashboardDocument: docs/dashboard.md has every state, and all that can be
// asked for.
func TestDashboardDocument(t *testing.T) {
	text, err := os.ReadFile("../docs/dashboard.md")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{fmt.Sprintf("| %d resources;", pageSize), "`page`, `rule`, `state`, `text` and `order`"}
	for _, s := range states {
		want = append(want, "| "+string(s)+" | ")
	}
	var all []string
	for _, o := range orders {
		all = append(all, "`"+string(o)+"`")
	}
	for _, w := range slices.Concat(want, []string{"(" + strings.Join(all, ", ") + ")"}) {
		if !strings.Contains(string(text), w) {
			t.Errorf("docs/dashboard.md does not say %q", w)
		}
	}
}
