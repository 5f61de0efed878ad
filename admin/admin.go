// Package admin is the private face of pollbridge, for its operator and the
// systems that watch over it. It is meant for a listener that only they reach.
package admin

import (
	"fmt"
	"net/http"
)

// Options are what the endpoints report on.
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

	// Metrics answers for /metrics. Nil: there is no such endpoint.
	Metrics http.Handler
}

// New returns the handler of the admin listener:
//
//	GET /livez   200 as long as the process answers
//	GET /readyz  200 while new clients are welcome, else 503 and why not
//	GET /metrics what is counted, for Prometheus
//	POST /refresh?url=/api/x
//	             polls at once what is watched there; url may be repeated, and
//	             without one everything is polled. Answers {"refreshed": n}
func New(o Options) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if o.Ready != nil {
			if err := o.Ready(); err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
		}
		fmt.Fprintln(w, "ok")
	})
	if o.Refresh != nil {
		mux.HandleFunc("POST /refresh", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, "{\"refreshed\": %d}\n", o.Refresh(r.URL.Query()["url"]...))
		})
	}
	if o.Metrics != nil {
		mux.Handle("GET /metrics", o.Metrics)
	}
	return guard(append([]string{bareHost(o.Listen)}, o.Hosts...), mux)
}
