package main

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"pollbridge/config"
	"pollbridge/proxy"
)

// What explain says of a URL that a rule matches.

// resource says which resource it is, and who shares it.
func (x *explanation) resource(d proxy.Decision) {
	e := d.Rule
	x.step("The resource is %s", d.URL)
	if d.URL != target(x.request.URL) {
		x.more("That is how it is spelled for everybody; query parameters named %s are dropped (drop_query).", listOf(e.DropQuery))
	}
	if strings.Contains(d.URL, "?") {
		x.more("Its query is part of it: with another one it is another resource.")
	}
	switch {
	case e.Authorize != "false":
		x.more("One poll is shared by all whom the API lets in, asked with their own %s (authorize: %s);", listOf(e.Vary), e.Authorize)
		x.more("it is asked again every %s.", e.Reauthorize)
		if e.Authorize == "same" {
			x.more("Who is given another answer than the shared one is polled for alone.")
		}
	case len(e.Vary) == 0:
		x.more("One poll is shared by everybody, without credentials (vary: []).")
	case d.Private:
		x.more("It is shared by those who send the same %s as this request (vary).", listOf(e.Vary))
	default:
		x.more("It is shared by all who send no %s, as this request (vary); whoever sends one has a resource apart.", strings.Join(e.Vary, ", no "))
	}
}

// polls says what is sent upstream, and how often.
func (x *explanation) polls(d proxy.Decision) {
	e := d.Rule
	every := "every " + e.Interval.String()
	if e.MaxInterval > 0 {
		every += fmt.Sprintf(", stretched up to %s while nothing changes", e.MaxInterval)
	}
	x.step("While somebody watches, and %s longer, it is polled %s:", e.Linger, every)
	x.sent(d.Poll, e, e.Authorize == "false")
	x.more("within %s (timeout), at most %s (max_body); later polls ask by ETag and Last-Modified", e.Timeout, config.FormatSize(e.MaxBody))
	if d.Ask != nil {
		x.more("and, to ask whether this client may see it, every %s:", e.Reauthorize)
		x.sent(d.Ask, e, true)
	}
	if e.Touch > 0 {
		x.more("Every %s one such request is made with each watcher's own Authorization and Cookie (touch).", e.Touch)
	}
}

// sent shows a request as it is sent, without what may be secret in it. In one
// of the client's, what vary names is the client's.
func (x *explanation) sent(r *http.Request, e *config.Endpoint, clients bool) {
	x.more("    %s %s", r.Method, config.Shown(r.URL))
	if r.Host != r.URL.Host {
		x.more("    Host: *** (the rule's headers)")
	}
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		value := strings.Join(r.Header[name], ", ")
		if clients && slices.ContainsFunc(e.Vary, func(v string) bool { v, _, _ = strings.Cut(v, ":"); return v == name }) {
			value = "*** (the client's)"
		} else if _, set := e.Headers[name]; set {
			value = "*** (the rule's headers)"
		}
		x.more("    %s: %s", name, value)
	}
}

// pushes says what a change is and how it is told.
func (x *explanation) pushes(e *config.Endpoint) {
	x.step("A change is pushed as %s", map[string]string{
		"json-patch":  "a JSON Patch (RFC 6902), or as the whole document where that is smaller.",
		"merge-patch": "a JSON Merge Patch (RFC 7396), or as the whole document where that is smaller or no patch can say it.",
		"snapshot":    "the whole document.",
	}[e.Format])
	if len(e.Ignore) > 0 {
		x.more("Changes in %s alone are none (ignore).", strings.Join(e.Ignore, ", "))
	}
	for _, array := range slices.Sorted(maps.Keys(e.Keys)) {
		name := array
		if name == "" {
			name = "the document"
		}
		x.more("Elements of %s are told apart by %s (keys).", name, strings.Join(e.Keys[array], ", "))
	}
	if e.ConfirmShrink > 0 {
		x.more("A body that lost more than %g %% is believed when the next poll says so too (confirm_shrink).", 100*e.ConfirmShrink)
	}
	if e.Confirm > 1 {
		x.more("A change is believed when %d polls in a row say it (confirm).", e.Confirm)
	}
}

// answer says what this request gets, and what others on the same URL get.
func (x *explanation) answer(d proxy.Decision) {
	get := fmt.Sprintf("the newest document, at once if it is no older than %s, else when it has been fetched, once for all who ask", d.Rule.Interval)
	if !d.Rule.Serve {
		get = "passes through (serve: false)"
	}
	ways := []struct {
		way        proxy.Way
		what, gets string
	}{
		{proxy.WayGet, "A GET", get},
		{proxy.WayLongPoll, "With Prefer: wait=N and If-None-Match", "a long-poll: held until the document is another"},
		{proxy.WayEvents, "With Accept: text/event-stream", "an event stream of the document and its changes"},
		{proxy.WaySocket, "As a WebSocket", "the document, then each change; more URLs on request"},
	}
	switch {
	case d.Why != nil:
		x.step("This request passes through: %v.", d.Why)
	case d.Way == proxy.WayPass:
		x.step("This request passes through: it is neither a GET without a body nor a HEAD.")
	case d.Way == proxy.WayPreflight:
		x.step("This request is a preflight of a page in origins, and answered here.")
	default:
		for _, way := range ways {
			if way.way == d.Way {
				x.step("This request gets %s.", way.gets)
			}
		}
	}
	for _, way := range ways {
		if way.way != d.Way {
			x.more("%s: %s.", way.what, way.gets)
		}
	}
}

// writes says which requests make what be polled at once.
func (x *explanation) writes(d proxy.Decision) {
	if d.Rule != nil {
		path, _, _ := strings.Cut(d.URL, "?")
		x.step("It is polled at once after a POST, PUT, PATCH or DELETE of %s that succeeds", path)
		for _, write := range d.Rule.RefreshOn {
			x.more("or a %s (refresh_on)", write)
		}
	}
	if len(d.Refreshes) > 0 {
		x.step("When this request succeeds, all that is watched under these rules is polled at once (refresh_on):")
		for _, e := range d.Refreshes {
			x.more("%s", x.at(e))
		}
	}
}

// listOf joins names as a sentence has them.
func listOf(names []string) string {
	if len(names) == 0 {
		return "nothing"
	}
	last := len(names) - 1
	if last == 0 {
		return names[0]
	}
	return strings.Join(names[:last], ", ") + " and " + names[last]
}
