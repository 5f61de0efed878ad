package proxy

import (
	"math/rand/v2"
	"net/http"
	"reflect"
	"slices"
	"time"

	"github.com/coder/websocket"

	"pollbridge/config"
	"pollbridge/poller"
)

// Reload puts another configuration in force, whole or, with an error, not at
// all. Nothing on the way of a request waits for it.
//
// What a rule that stays shows to its watchers goes on without a gap, at the
// new rule's pace. Where a rule has become one that asks for something else, or
// asks for others, what was seen under it is dropped, and who watches is
// subscribed anew: the client is told what it is to hold by the new rule, or that it is
// over. Where no rule matches any more, it is over.
func (p *Proxy) Reload(cfg *config.Config) error {
	next, err := p.newState(cfg)
	if err != nil {
		return err
	}
	p.reloading.Lock()
	defer p.reloading.Unlock()
	old := p.now()
	next.succeed(old.routes)
	p.poller.Reload(next.rules(), pollerOptions(cfg))
	p.clients.limit(cfg.Limits)
	p.state.Store(next)
	close(old.replaced) // streams and long-polls follow by themselves
	p.touches.follow(next.routes)
	for _, s := range p.sockets.all() {
		s.follow(next.routes)
	}
	return nil
}

// succeed gives the rules their generations, after those that they follow on.
func (rt *routes) succeed(old *routes) {
	rt.generation = old.generation + 1
	for _, e := range rt.endpoints {
		generation := rt.generation
		if was := old.byPath[e.config.Path]; was != nil && e.asksLike(was) {
			generation = was.rule.Generation
		}
		for _, rule := range e.rules() {
			rule.Generation = generation
		}
	}
}

// asksLike reports whether two endpoints of one path ask the upstream for the
// same, and show it to the same people. Whatever is not known to be beside that
// point counts.
func (e *endpoint) asksLike(was *endpoint) bool {
	a, b := e.config, was.config
	b.Interval, b.MaxInterval, b.Timeout, b.Linger, b.Reauthorize, b.Touch = a.Interval, a.MaxInterval, a.Timeout, a.Linger, a.Reauthorize, a.Touch
	b.Keys, b.ConfirmShrink, b.Confirm, b.Format, b.MaxBody = a.Keys, a.ConfirmShrink, a.Confirm, a.Format, a.MaxBody
	if a.Authorize != "same" { // there it has a part in whose own answer is the shared document
		b.Ignore = a.Ignore
	}
	b.DropQuery, b.Serve, b.RefreshOn, b.Line = a.DropQuery, a.Serve, a.RefreshOn, a.Line
	return reflect.DeepEqual(a, b) && e.rule.Upstream.String() == was.rule.Upstream.String()
}

// continues reports whether what is watched through was is what e watches.
func (e *endpoint) continues(was *endpoint) bool {
	return e.config.Path == was.config.Path && e.rule.Generation == was.rule.Generation && (e.config.Touch > 0) == (was.config.Touch > 0)
}

// rules are those by which the endpoint polls.
func (e *endpoint) rules() []*poller.Rule {
	if e.probe == nil {
		return []*poller.Rule{e.rule}
	}
	return []*poller.Rule{e.rule, e.probe, e.alone}
}

func (rt *routes) rules() (all []*poller.Rule) {
	for _, e := range rt.endpoints {
		all = append(all, e.rules()...)
	}
	return all
}

// goOn has a source that e continues go by e.
func (e *endpoint) goOn(w source) {
	if g, ok := w.(*gate); ok {
		g.e.Store(e)
	}
}

// goOn returns the endpoint in force by which a url that was watched by e goes
// on to be watched; overtaken: there is none that continues it.
func (p *Proxy) goOn(e *endpoint, url string, w source) (next *endpoint, overtaken bool) {
	now := p.now()
	if e.routes == now.routes {
		return e, false
	}
	next, _, err := now.resolve(url)
	if err != nil || !next.continues(e) {
		return nil, true
	}
	next.goOn(w)
	return next, false
}

// errNoMore ends what no rule matches any more.
var errNoMore = &poller.Error{Code: codeNotFound, Message: "no rule matches this url any more"}

// follow takes a socket's subscriptions over to the rules in force.
// Proxy.reloading is held.
func (s *socket) follow(rt *routes) {
	s.mu.Lock()
	subs := slices.Clone(s.subscriptions)
	s.mu.Unlock()
	stays := true
	for _, sub := range subs {
		stays = sub.follow(rt) && stays // all of them: until it comes back nothing may be shown by the old rules
	}
	if !stays {
		time.AfterFunc(rand.N(s.p.now().cfg.Drain+1), s.comeBack)
	}
}

// overtaken takes over a subscription that was made by rules which are not in
// force any more.
func (s *socket) overtaken(sub *subscription) {
	s.p.reloading.Lock()
	defer s.p.reloading.Unlock()
	if !sub.follow(s.p.now().routes) {
		go s.comeBack()
	}
}

// comeBack has the client connect anew, with the headers that are needed now.
func (s *socket) comeBack() {
	s.end(websocket.StatusGoingAway, "the configuration has changed: connect again")
}

// holds reports whether of the headers that e needs to tell users apart none
// was thrown away when the socket was opened, because no rule needed it then.
func (s *socket) holds(e *endpoint, header http.Header) bool {
	return !slices.ContainsFunc(e.credentials(), func(name string) bool {
		return !slices.Contains(s.kept, name) && (header[name] == nil || !proves(name))
	})
}

// follow takes a subscription over to the rules in force. It reports false
// where that needs headers that are not there. Proxy.reloading is held.
func (sub *subscription) follow(rt *routes) bool {
	s := sub.socket
	e, _, err := rt.resolve(sub.url)
	s.mu.Lock()
	was, watch, header, done := sub.endpoint, sub.watch, sub.header, sub.over || sub.ending
	goesOn := err == nil && e.continues(was)
	if goesOn {
		sub.endpoint = e
	}
	s.mu.Unlock()
	switch {
	case done, was.routes == rt:
	case goesOn:
		e.goOn(watch)
	case err != nil:
		watch.Close()
		sub.stop(errNoMore)
	case !s.holds(e, header):
		watch.Close() // what it would show is not the new rule's
		return false
	default:
		sub.begin(e, header)
	}
	return true
}

// begin subscribes anew, by another rule.
func (sub *subscription) begin(e *endpoint, header http.Header) {
	s := sub.socket
	sub.letGo() // first: what nobody watches makes room
	watch, err := s.p.watch(e, poller.Request{URL: sub.url, Header: header, Client: s.client}, sub)
	if err != nil {
		sub.stop(watchError(err))
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if sub.over || s.closed {
		go watch.Close() // not with the lock held
		return
	}
	sub.endpoint, sub.watch, sub.release, sub.anew = e, watch, s.p.hold(e, sub.url, header), true
	if watch.Newest() != nil && !sub.isDue {
		sub.isDue = true
		s.dueLocked(sub)
	}
}

// stop has the writer tell the end of a subscription, and why.
func (sub *subscription) stop(reason *poller.Error) {
	s := sub.socket
	s.mu.Lock()
	defer s.mu.Unlock()
	if sub.over || sub.ending {
		return
	}
	sub.ending, sub.reason = true, reason
	if !sub.isDue {
		sub.isDue = true
		s.dueLocked(sub)
	}
}
