// Package admin is the private face of pollbridge, for its operator and the
// systems that watch over it. It is meant for a listener that only they reach.
//
// The dashboard is a page on pollbridge's own protocol. What it shows are JSON
// documents that anybody can GET (see status.go), and a proxy polls and pushes
// them as it does others (see Options.Push).
package admin

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"pollbridge/poller"
)

// Options are what the endpoints report on. The zero value works.
type Options struct {
	Listen string   // host:port of the listener; its host is one that requests may name
	Hosts  []string // more of these, in lower case

	// Ready returns nil while new clients are welcome, else the reason why
	// not. Nil means always.
	Ready func() error

	// Refresh polls at once what is watched under the URLs given, everything
	// where there are none, and returns how many resources that are. Nil:
	// there is no such endpoint.
	Refresh func(urls ...string) int

	// Reload reads the configuration again and returns what is wrong with it; then
	// nothing has changed. Nil: there is no such endpoint.
	Reload func(context.Context) error

	// Metrics answers for /metrics. Nil: there is no such endpoint.
	Metrics http.Handler

	// Status is what the dashboard shows. Nil: there is no dashboard.
	Status Status

	// Push returns what serves the documents that the dashboard shows, and pushes
	// their changes; it has /.pollbridge/, too. Nil: they are there to GET, and
	// the page does not live.
	Push func(documents http.Handler) http.Handler

	Bodies   bool      // show what documents say, not only where they changed
	Version  string    // of the program
	Started  time.Time // when it was; zero: now
	Upstream string    // the API's URL, without credentials
}

// Status is where the dashboard has from what it shows: a proxy.Proxy.
type Status interface {
	Rules() []poller.RuleStatus
	Resources(poller.Selection) (part []poller.ResourceStatus, total int)
	Resource(id string, documents bool) (poller.Resource, bool)
}

// An admin is what the documents are made of.
type admin struct {
	o       Options
	started time.Time
	changes changes
}

// New returns the handler of the admin listener:
//
//	GET /        the dashboard
//	GET /status  what it shows, as JSON; also as a socket, and as an event stream
//	GET /status/resources?rule=&state=&text=&order=&page=
//	GET /status/resources/{id}
//	GET /livez   200 as long as the process answers
//	GET /readyz  200 while new clients are welcome, else 503 and why not
//	GET /metrics what is counted, for Prometheus
//	POST /refresh?url=/api/x
//	             polls at once what is watched there; url may be repeated, and
//	             without one everything is polled. Answers {"refreshed": n}
//	POST /reload reads the configuration again: 200, or 400 with what is wrong
//	             with it, as text, and nothing has changed; 503 while draining
func New(o Options) http.Handler {
	a := &admin{o: o, started: o.Started}
	if a.started.IsZero() {
		a.started = time.Now()
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := a.ready(); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	if o.Refresh != nil {
		mux.HandleFunc("POST /refresh", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, "{\"refreshed\": %d}\n", o.Refresh(r.URL.Query()["url"]...))
		})
	}
	if o.Reload != nil {
		mux.HandleFunc("POST /reload", func(w http.ResponseWriter, r *http.Request) {
			if err := o.Reload(r.Context()); err != nil {
				status := http.StatusBadRequest
				if a.ready() != nil { // it is not the configuration that is in the way
					status = http.StatusServiceUnavailable
				}
				http.Error(w, err.Error(), status)
				return
			}
			fmt.Fprintln(w, "reloaded")
		})
	}
	if o.Metrics != nil {
		mux.Handle("GET /metrics", o.Metrics)
	}
	if o.Status != nil {
		documents := a.documents()
		if o.Push != nil {
			documents = o.Push(documents)
		}
		mux.Handle("GET /status", documents)
		mux.Handle("GET /status/", documents)
		mux.Handle("GET /.pollbridge/", documents)
		mux.HandleFunc("GET /{$}", servePage)
	}
	return protect(guard(append([]string{bareHost(o.Listen)}, o.Hosts...), mux))
}

func (a *admin) ready() error {
	if a.o.Ready == nil {
		return nil
	}
	return a.o.Ready()
}
