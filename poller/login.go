package poller

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Many an upstream says that a session has ended not by 401 but by a redirect to
// a page to log in on. To who is polled for alone that is a refusal, and to those
// who have not said who they are, where a rule tells users apart and there has been
// no document for them. It is taken for one where it can hardly be anything else:
//
//   - the redirect is one for now (302, 303, 307), not for good, as that of a URL
//     which has moved;
//   - it leads to another path: not to the same under https, or with a slash;
//   - it leads away from the origin of upstream, where no poll follows; or to a page
//     in HTML, where the document has been something else and, while there is none
//     yet, the rule does not ask for HTML.

// A detour is the way that a poll was sent by redirects.
type detour struct {
	status int           // of the first redirect
	hops   []http.Header // of the redirects that were followed
	moves  bool          // for now, to another path
	leaves bool          // the origin of upstream
}

// detourOf returns the way to an answer.
func detourOf(res *http.Response) (d detour) {
	if res.Request == nil { // some transports do not say
		return d
	}
	to := res.Request.URL
	if location, err := res.Location(); err == nil && res.StatusCode/100 == 3 {
		to = location
	}
	first := res
	for first.Request.Response != nil {
		first = first.Request.Response
		d.hops = append(d.hops, first.Header)
	}
	asked := first.Request.URL
	d.status = first.StatusCode
	forNow := d.status == http.StatusFound || d.status == http.StatusSeeOther || d.status == http.StatusTemporaryRedirect
	d.moves = forNow && strings.TrimSuffix(to.Path, "/") != strings.TrimSuffix(asked.Path, "/")
	d.leaves = !isSameOrigin(to, asked)
	return d
}

func isSameOrigin(a, b *url.URL) bool { return a.Scheme == b.Scheme && a.Host == b.Host }

// asksToLogIn reports whether an answer, which may be none that was wanted, sends
// the client of this resource to log in.
func (r *resource) asksToLogIn(a *answer) bool {
	switch {
	case !a.detour.moves:
		return false
	case r.req.Rule.Probe:
		return a.status/100 == 3
	case !r.private && (r.base != nil || !r.req.Rule.tellsUsers()):
		return false
	case a.detour.leaves:
		return true
	}
	return a.status == http.StatusOK && isPage(a.header) && !startsContainer(a.body) && !r.wantsPages()
}

// wantsPages reports whether the document is a page, or may be one.
func (r *resource) wantsPages() bool {
	if r.base == nil {
		return slices.ContainsFunc(r.req.Rule.Header["Accept"], func(v string) bool { return strings.Contains(v, "html") })
	}
	header, _ := r.base.Header()
	return r.base.Lines && isPage(header)
}

// isPage reports whether an answer says that it is HTML.
func isPage(h http.Header) bool {
	t := mediaType(h.Get("Content-Type"))
	return t == "text/html" || t == "application/xhtml+xml"
}

// loggedOut is the error of an answer that asks to log in.
func loggedOut(a *answer) *Error {
	return &Error{
		Code: CodeUnauthorized, Status: a.detour.status,
		Message: "the upstream redirects to another page, as it does with those who have to log in",
	}
}
