// Package demo is a legacy API to put pollbridge in front of, and the page that
// shows what that changes.
//
// The API is a bike-share network that never existed: 600 stations of a made-up
// city whose riders commute, whose trains arrive full and whose docks break. It
// is simulated rather than replayed, so that it never ends, needs no file, and
// is the same on every machine for the same seed. It knows nothing of
// pollbridge, and its manners are those of the APIs that are out there: some
// answers carry a validator and some do not, some differ in a timestamp every
// time they are asked for, one depends on who asks, all of them take a while.
//
// Its page is the legacy application's own page. It is served at "/" by the
// backend and reaches the browser through the proxy because no rule names it,
// which is itself part of what is shown.
package demo

import (
	_ "embed" // the page and the configuration are part of the program
	"net/http"
	"strings"
	"sync"
	"time"
)

//go:embed page.html
var pageHTML []byte

//go:embed config.yaml
var configYAML string

// Legacy is the legacy backend: the API, its page, and the two switches that
// the page has (see admin.go). It starts no goroutine: the city is brought up to
// date by the request that looks at it.
type Legacy struct {
	routes http.ServeMux

	mu          sync.Mutex // guards everything below
	city        *city
	counts      map[string]*count // by path, or by pattern where it has parameters
	started     time.Time
	outageUntil time.Time
	frozenUntil time.Time
}

// New returns the backend of the city that seed makes, which lives from now on.
// The same seed makes the same city, and the same events at the same times
// after the start.
func New(seed uint64) *Legacy {
	now := time.Now()
	l := &Legacy{city: newCity(seed, now), counts: map[string]*count{}, started: now}
	l.route()
	return l
}

// ServeHTTP answers as the legacy server would.
func (l *Legacy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.routes.ServeHTTP(w, r)
}

func (l *Legacy) route() {
	stations := l.api(manners{cache: "no-cache"}, (*city).stationsDocument)
	l.routes.Handle("GET /api/stations", stations)
	// The page's old half polls a URL that no rule names, so that pollbridge
	// passes every one of its requests on, as if it were not there.
	l.routes.Handle("GET /legacy/api/stations", stations)
	l.routes.Handle("GET /api/stations/{region}", l.api(manners{etag: regionETag}, (*city).regionDocument))
	l.routes.Handle("GET /api/trips/recent", l.api(manners{}, (*city).tripsDocument))
	l.routes.Handle("GET /api/alerts", l.api(manners{contentType: "application/geo+json", etag: bodyETag}, (*city).alertsDocument))
	l.routes.Handle("GET /api/system", l.api(manners{}, (*city).systemDocument))
	l.routes.Handle("GET /api/report.csv", l.api(manners{contentType: "text/csv; charset=utf-8", etag: bodyETag}, (*city).report))
	l.routes.Handle("GET /api/me", l.api(manners{cache: "private"}, (*city).meDocument))
	l.routes.Handle("GET /api/city", l.api(manners{cache: "public, max-age=3600", contentType: "application/geo+json", etag: bodyETag}, (*city).mapDocument))
	l.routes.HandleFunc("POST /api/session", l.signIn)
	l.routes.HandleFunc("DELETE /api/session", signOut)

	l.routes.HandleFunc("GET /stats", l.stats)
	l.routes.HandleFunc("POST /admin/outage", l.outage)
	l.routes.HandleFunc("POST /admin/freeze", l.freeze)

	l.routes.HandleFunc("GET /{$}", serveEmbedded("text/html; charset=utf-8", pageHTML))
	l.routes.HandleFunc("GET /rules.yaml", serveEmbedded("text/plain; charset=utf-8", rules()))
}

func serveEmbedded(contentType string, body []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Cache-Control", "no-cache")
		w.Write(body)
	}
}

// Config returns the configuration that `pollbridge demo` runs with: config.yaml
// of this package, with the backend's address (as "http://127.0.0.1:9000") and
// the address to listen on (as "127.0.0.1:8080") put in.
func Config(upstream, listen string) []byte {
	return []byte(strings.NewReplacer(
		`"http://127.0.0.1:9000"`, `"`+upstream+`"`,
		`"127.0.0.1:8080"`, `"`+listen+`"`,
	).Replace(configYAML))
}

// rules is the part of the configuration that does not depend on addresses; the
// page shows it.
func rules() []byte {
	return []byte(configYAML[strings.Index(configYAML, "endpoints:"):])
}
