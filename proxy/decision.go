package proxy

import (
	"net/http"

	"pollbridge/config"
	"pollbridge/internal/field"
	"pollbridge/poller"
)

// A Decision is what becomes of a request, and why: what ServeHTTP would do,
// found by what it does it with.
type Decision struct {
	Way Way
	Why error // why it passes through; nil where it does not, or where its method alone says so

	Rule *config.Endpoint   // that matches the URL; nil: none
	Also []*config.Endpoint // match it too, and are less specific
	URL  string             // as the resource is known

	// Poll is the request that is polled for it and, where the rule has
	// authorize, Ask is the one by which a client is let in. Both have their
	// credentials. PollRule and AskRule are how they are made.
	Poll, Ask         *http.Request
	PollRule, AskRule *poller.Rule
	Private           bool // polled for who sends these credentials, and for nobody else

	// Refreshes are the rules that are polled at once when the request, a write,
	// has passed through with success.
	Refreshes []*config.Endpoint
}

// Decide says what becomes of a request. It sends nothing.
func (p *Proxy) Decide(r *http.Request) Decision {
	rt, r := p.now(), p.believed(r)
	d := Decision{Way: WayPass}
	for _, e := range rt.refreshedBy(r.Method, r.URL.EscapedPath()) {
		d.Refreshes = append(d.Refreshes, &e.config)
	}
	if p.opensSocket(r) {
		d.Way = WaySocket
		return d
	}
	if name, ours := reserved(r); ours {
		d.Way = wayOfReserved(r, name)
		return d
	}
	var e *endpoint
	if e, d.URL, d.Why = rt.resolve(requestTarget(r)); d.Why != nil {
		return d
	}
	d.Rule, d.Also = &e.config, p.alsoMatch(r, e)
	switch d.Way = wayOf(r); d.Way {
	case WayGet:
		d.Why = e.declines(parseRequestCacheControl(r.Header))
	case WayPreflight:
		if !p.answersPreflight(r, e, field.List(r.Header["Access-Control-Request-Headers"])) {
			d.Why = errPreflight
		}
	}
	if d.Why != nil {
		d.Way = WayPass
	}
	d.PollRule, d.AskRule = e.rule, e.probe
	d.Poll, d.Private, _ = p.poller.Preview(poller.Request{Rule: e.rule, URL: d.URL, Header: r.Header})
	if e.probe != nil {
		d.Ask, _, _ = p.poller.Preview(poller.Request{Rule: e.probe, URL: d.URL, Header: r.Header})
	}
	return d
}

// Try returns a trial of polls such as the proxy makes.
func (p *Proxy) Try(req poller.Request) *poller.Trial { return p.poller.Try(req) }

// alsoMatch returns the rules over which that of e has won.
func (p *Proxy) alsoMatch(r *http.Request, e *endpoint) (also []*config.Endpoint) {
	endpoints := p.now().cfg.Endpoints
	for i := range endpoints {
		other := &endpoints[i]
		if other.Path == e.config.Path {
			continue
		}
		alone, err := newRoutes(&config.Config{Endpoints: endpoints[i : i+1]})
		if err != nil {
			continue
		}
		if _, _, err := alone.resolve(requestTarget(r)); err == nil {
			also = append(also, other)
		}
	}
	return also
}
