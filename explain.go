package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"pollbridge/config"
	"pollbridge/proxy"
)

func newExplainCommand() *cobra.Command {
	var file, method string
	var asked headerFlags
	c := &cobra.Command{
		Use:   "explain URL",
		Short: "Say what would become of a request, and why",
		Long: `Say, step by step, what would become of a request: which rule matches or why none
does, which resource it means, who shares it, what is sent to the API and how
often, what is pushed, and what makes it poll at once. Nothing is sent: the
configuration alone is asked.

The URL may be a path. One that begins with ws:// or wss:// is a WebSocket's.`,
		Example: `  pollbridge explain '/api/stations/oslo?_=1712'
  pollbridge explain -X POST /api/orders
  pollbridge explain -H 'Accept: text/event-stream' -b 'sid=…' http://localhost:8080/api/me`,
		Args: oneURL,
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := loadConfig(file)
			if err != nil {
				return err
			}
			header, err := asked.header()
			if err != nil {
				return err
			}
			r, err := imagine(method, args[0], header)
			if err != nil {
				return err
			}
			p, err := proxy.New(cfg, proxy.Options{})
			if err != nil {
				return err
			}
			defer p.Close()
			(&explanation{w: c.OutOrStdout(), file: file, cfg: cfg, proxy: p, request: r}).print()
			return nil
		},
	}
	configFlag(c, &file)
	c.Flags().StringVarP(&method, "method", "X", http.MethodGet, "the request's `method`")
	asked.add(c)
	return c
}

// imagine is the request that a client would make.
func imagine(method, target string, header http.Header) (*http.Request, error) {
	if !strings.Contains(target, "://") && !strings.HasPrefix(target, "/") {
		target = "http://" + target
	}
	if strings.HasPrefix(target, "//") {
		target = "http://localhost" + target // a path, and no host
	}
	u, err := url.Parse(target)
	if err != nil {
		return nil, fmt.Errorf("the URL is none: %w", err)
	}
	switch u.Scheme {
	case "ws", "wss":
		header.Set("Upgrade", "websocket")
		header.Set("Connection", "Upgrade")
	case "http", "https", "":
	default:
		return nil, fmt.Errorf("the URL %q is none of http, https, ws and wss, and no path", target)
	}
	if u.Path == "" {
		u.Path = "/"
	}
	r, err := http.NewRequest(strings.ToUpper(method), u.String(), nil)
	if err != nil {
		return nil, err
	}
	r.Header = header
	return r, nil
}

// An explanation is what explain prints of one request.
type explanation struct {
	w       io.Writer
	file    string
	cfg     *config.Config
	proxy   *proxy.Proxy
	request *http.Request
	steps   int
}

func (x *explanation) print() {
	fmt.Fprintf(x.w, "%s %s\n", x.request.Method, target(x.request.URL))
	d := x.proxy.Decide(x.request)
	if d.Rule == nil {
		x.unmatched(d)
		return
	}
	x.rule(d)
	x.resource(d)
	x.polls(d)
	x.pushes(d.Rule)
	x.answer(d)
	x.writes(d)
}

// target is the path and query of a URL.
func target(u *url.URL) string {
	if u.RawQuery == "" {
		return u.EscapedPath()
	}
	return u.EscapedPath() + "?" + u.RawQuery
}

// step prints the next step; more prints a further line of it.
func (x *explanation) step(format string, args ...any) {
	x.steps++
	fmt.Fprintf(x.w, "\n%d. %s\n", x.steps, fmt.Sprintf(format, args...))
}

func (x *explanation) more(format string, args ...any) {
	fmt.Fprintf(x.w, "   %s\n", fmt.Sprintf(format, args...))
}

// at is a rule, with its place in the file.
func (x *explanation) at(e *config.Endpoint) string {
	return fmt.Sprintf("%s (%s:%d)", e.Path, x.file, e.Line)
}

// unmatched explains a request for a URL that is no rule's.
func (x *explanation) unmatched(d proxy.Decision) {
	switch d.Way {
	case proxy.WayReserved:
		x.step("It is answered by pollbridge itself, to which everything below %s belongs.", config.Reserved)
		return
	case proxy.WaySocket:
		x.step("It opens a WebSocket, which starts with no subscription.")
		x.more(`The client then sends messages such as {"type":"subscribe","url":"/api/x"}.`)
		return
	}
	x.step("It passes through to %s: %v.", config.Shown(x.cfg.Upstream), d.Why)
	if near := x.near(); near != "" {
		x.more("%s", near)
	}
	x.more("The rules:")
	for i := range x.cfg.Endpoints {
		if i == 20 {
			x.more("    and %d more", len(x.cfg.Endpoints)-i)
			break
		}
		x.more("    %s", x.at(&x.cfg.Endpoints[i]))
	}
	if isWebSocket(x.request) {
		x.more("A WebSocket on this URL is then the API's own affair.")
	}
	if len(d.Refreshes) > 0 {
		x.writes(d)
	}
}

// near says which rule would match a path that is nearly the one asked for.
func (x *explanation) near() string {
	path := x.request.URL.EscapedPath()
	for _, other := range []struct{ path, why string }{
		{strings.TrimSuffix(path, "/"), "without the slash at its end"},
		{path + "/", "with a slash at its end"},
		{strings.ToLower(path), "in lower case"},
		{strings.TrimSuffix("/"+x.request.URL.Host, "/") + path, "with a slash at its beginning"},
		{strings.TrimPrefix(path, x.cfg.Upstream.Path), "without the path of upstream, which clients do not write"},
	} {
		if other.path == path || !strings.HasPrefix(other.path, "/") {
			continue
		}
		r, err := http.NewRequest(http.MethodGet, other.path, nil)
		if err != nil {
			continue
		}
		if d := x.proxy.Decide(r); d.Rule != nil {
			return fmt.Sprintf("It would match %s %s: %s", x.at(d.Rule), other.why, other.path)
		}
	}
	return ""
}

func isWebSocket(r *http.Request) bool {
	return strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

func (x *explanation) rule(d proxy.Decision) {
	x.step("The rule %s matches.", x.at(d.Rule))
	for _, e := range d.Also {
		x.more("So does %s, which is less specific and does not count.", x.at(e))
	}
}
