package proxy

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"pollbridge/internal/field"
)

// Before a page of another site may send what it could not have sent without
// scripts, the browser asks (WHATWG Fetch, "CORS-preflight fetch"). The upstream
// knows nothing of the headers by which rungs above a plain GET are asked for,
// so those of listed origins are answered here; where anything else is asked
// for, the upstream is asked.

// askable are request headers with a meaning here, in lower case.
var askable = []string{
	"a-im", "accept", "cache-control", "if-modified-since", "if-none-match", "last-event-id", "pollbridge-throttle",
	"pragma", "prefer", "range",
}

// servePreflight answers a preflight request for a URL that a rule matches. It
// returns false where the request is to pass through.
func (p *Proxy) servePreflight(w http.ResponseWriter, r *http.Request, e *endpoint) bool {
	asked := field.List(r.Header["Access-Control-Request-Headers"])
	if !p.answersPreflight(r, e, asked) {
		return false
	}
	h := w.Header()
	p.allowOrigin(h, r)
	addVary(h, "Access-Control-Request-Headers")
	h.Del("Access-Control-Expose-Headers")
	h.Set("Access-Control-Allow-Methods", "GET, HEAD")
	if len(asked) > 0 {
		h.Set("Access-Control-Allow-Headers", strings.Join(asked, ", "))
	}
	h.Set("Access-Control-Max-Age", "600") // seconds
	w.WriteHeader(http.StatusNoContent)
	return true
}

// answersPreflight reports whether a preflight request, which asks for these
// headers, is answered here.
func (p *Proxy) answersPreflight(r *http.Request, e *endpoint, asked []string) bool {
	method := r.Header.Get("Access-Control-Request-Method")
	if method != http.MethodGet && method != http.MethodHead || sameHost(r) || !p.listsOrigin(r) {
		return false
	}
	return !slices.ContainsFunc(asked, func(name string) bool {
		return !slices.Contains(askable, name) && !slices.Contains(e.config.Vary, http.CanonicalHeaderKey(name))
	})
}

var errPreflight = errors.New("a preflight request that is not of a page in origins, or asks for more than a GET with headers of vary")
