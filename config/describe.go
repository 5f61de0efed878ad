package config

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Describe prints the configuration as it is understood, defaults included, for a person to read.
// The values of headers are not shown.
func (c *Config) Describe(w io.Writer) {
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-16s %s\n", name, fmt.Sprintf(format, args...))
	}
	row("listen", "%s%s%s", c.Listen, when(strings.HasPrefix(c.Listen, "unix:"), fmt.Sprintf(", mode %04o", c.ListenMode)), when(c.TLS != nil, " with TLS"))
	row("upstream", "%s", Shown(c.Upstream))
	row("admin", "%s%s%s", orNone(c.Admin), when(len(c.AdminHosts) > 0, ", also as "+strings.Join(c.AdminHosts, ", ")),
		when(c.AdminBodies, "; the dashboard shows what documents say"))
	row("socket", "%s", c.Socket)
	row("origins", "the same host%s", when(len(c.Origins) > 0, ", "+strings.Join(c.Origins, ", ")))
	row("trusted_proxies", "%s", orNone(strings.Trim(fmt.Sprint(c.TrustedProxies), "[]")))
	if len(c.ProxyProtocol) > 0 {
		row("proxy_protocol", "from %s", strings.Trim(fmt.Sprint(c.ProxyProtocol), "[]"))
	}
	row("compression", "%t", c.Compression)
	row("pass through", "an answer may take %s to begin, and anything may rest for %s", anyTime(c.AnswerTimeout), anyTime(c.IdleTimeout))
	row("drain", "%s%s%s", c.Drain, when(c.DrainDelay > 0, fmt.Sprintf(", begun %s after /readyz fails", c.DrainDelay)),
		when(c.MaxConnectionAge > 0, fmt.Sprintf(", and every connection after about %s", c.MaxConnectionAge)))
	row("log", "%s as %s%s", strings.ToLower(c.Log.Level.String()), c.Log.Format, when(c.Log.Access, ", every request"))
	if t := c.Tracing; t != nil {
		row("tracing", "%g %% of the traces that begin here, to %s%s", 100*t.Sample, t.Endpoint, when(len(t.Headers) > 0, " (headers not shown)"))
	}
	row("limits", "%s", c.Limits.describe())
	for _, e := range c.Endpoints {
		fmt.Fprintf(w, "\n%s\n", e.Path)
		e.describe(func(name, format string, args ...any) { row("  "+name, format, args...) })
	}
}

func (l Limits) describe() string {
	return fmt.Sprintf("%d connections, %d per client, %d subscriptions each; %d resources, %d per client; %d upstream requests at once%s",
		l.Connections, l.ConnectionsPerClient, l.SubscriptionsPerConnection, l.Resources, l.ResourcesPerClient, l.UpstreamConcurrency,
		when(l.UpstreamRate > 0, fmt.Sprintf(", %g a second", l.UpstreamRate)))
}

func (e Endpoint) describe(row func(name, format string, args ...any)) {
	row("poll", "every %s%s; timeout %s, linger %s", e.Interval,
		when(e.MaxInterval > 0, fmt.Sprintf(", up to %s while nothing changes", e.MaxInterval)), e.Timeout, e.Linger)
	if len(e.Vary) == 0 {
		row("vary", "shared: one poll for all users, without their credentials")
	} else {
		row("vary", "%s: one poll for each value, sent upstream", strings.Join(e.Vary, ", "))
	}
	if e.Authorize != "false" {
		row("authorize", "%s, again every %s", e.Authorize, e.Reauthorize)
	}
	if e.Touch > 0 {
		row("touch", "every %s", e.Touch)
	}
	row("headers", "%s", orNone(strings.Join(slices.Sorted(maps.Keys(e.Headers)), ", "))+when(len(e.Headers) > 0, " (values not shown)"))
	row("drop_query", "%s", orNone(strings.Join(e.DropQuery, ", ")))
	row("format", "%s, body at most %s", e.Format, FormatSize(e.MaxBody))
	for _, array := range slices.Sorted(maps.Keys(e.Keys)) {
		row("keys", "%q by %s", array, strings.Join(e.Keys[array], ", "))
	}
	row("ignore", "%s", orNone(strings.Join(e.Ignore, ", ")))
	if e.ConfirmShrink > 0 {
		row("confirm_shrink", "a body that lost more than %g %%", 100*e.ConfirmShrink)
	}
	if e.Confirm > 1 {
		row("confirm", "a change that %d polls in a row say", e.Confirm)
	}
	row("serve", "%t", e.Serve)
	row("refresh_on", "%s", orNone(strings.Join(e.RefreshOn, ", ")))
}

// FormatList writes texts as a list that [Parse] reads.
func FormatList(texts []string) string {
	quoted := make([]string, len(texts))
	for i, text := range texts {
		quoted[i] = strconv.Quote(text)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// FormatSize writes bytes in the largest unit that divides them.
func FormatSize(n int64) string {
	for _, unit := range []string{"GiB", "MiB", "KiB"} {
		if n%sizeUnits[unit] == 0 {
			return fmt.Sprint(n/sizeUnits[unit], unit)
		}
	}
	return fmt.Sprint(n, " bytes")
}

func when(holds bool, text string) string {
	if !holds {
		return ""
	}
	return text
}

func anyTime(d time.Duration) string {
	if d == 0 {
		return "any time"
	}
	return d.String()
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return text
}
