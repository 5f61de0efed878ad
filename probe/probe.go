// Package probe polls the URLs of a configuration a few times, as they would
// be polled, and says what a person should know before many watch them: what
// does not work, what would be shown to the wrong user, and what to write.
//
// It asks through the proxy's own rules and the poller's own exchange, so that
// what is seen here is what polls will see. It finds out by asking with and
// without credentials in turn: what differs between two answers to the same
// question changes with time, what differs beyond that changes with the user.
package probe

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"pollbridge/config"
	"pollbridge/poller"
	"pollbridge/proxy"
)

// Options say what to ask. The zero value asks for every rule without
// wildcards, with nobody's credentials.
type Options struct {
	URLs   []string      // paths and queries, examples for the rules with wildcards above all
	Header http.Header   // one user's credentials, by canonical name
	Pause  time.Duration // between two polls of one URL; zero: a bit over a second, so that time stamps move
}

// A Report is what was found of one URL.
type Report struct {
	URL      string
	Rule     *config.Endpoint
	Polls    int
	First    poller.Attempt // how the first of them went
	Findings []Finding
}

// Level is how much a finding matters.
type Level int

// The levels, the worst first.
const (
	Error   Level = iota // it does not work, or shows what it should not
	Warning              // it may not do what is wanted
	Tip                  // it could do with less, or better
	Note
)

func (l Level) String() string { return [...]string{"error", "warning", "tip", "note"}[l] }

// A Finding is something to know, and what to do about it.
type Finding struct {
	Level Level
	Key   string // of the rule that it is about, such as "vary"; "": of none
	Text  string
	Write string // what to write in the configuration; "": nothing
}

// Run asks for every URL that is given and every rule that names but one, and
// returns what was found, in the order of the rules, and the rules for which
// there was nothing to ask. Every URL has to match a rule.
func Run(ctx context.Context, cfg *config.Config, o Options) (reports []Report, unasked []*config.Endpoint, err error) {
	if o.Pause <= 0 {
		o.Pause = 1100 * time.Millisecond
	}
	p, err := proxy.New(cfg, proxy.Options{})
	if err != nil {
		return nil, nil, err
	}
	defer p.Close()
	asked := map[*config.Endpoint][]proxy.Decision{}
	for _, url := range o.URLs {
		d, err := decide(p, url, o.Header)
		if err != nil {
			return nil, nil, err
		}
		asked[rule(cfg, d)] = append(asked[rule(cfg, d)], d)
	}
	for i := range cfg.Endpoints {
		e := &cfg.Endpoints[i]
		if url := strings.TrimSuffix(e.Path, "{$}"); len(asked[e]) == 0 && !strings.Contains(url, "{") {
			if d, err := decide(p, url, o.Header); err == nil && rule(cfg, d) == e {
				asked[e] = append(asked[e], d)
			}
		}
		if len(asked[e]) == 0 {
			unasked = append(unasked, e)
		}
		for _, d := range asked[e] {
			reports = append(reports, Report{URL: d.URL, Rule: e})
		}
	}
	var running sync.WaitGroup
	turns := make(chan struct{}, atOnce)
	next := 0
	for i := range cfg.Endpoints {
		for _, d := range asked[&cfg.Endpoints[i]] {
			report := &reports[next]
			next++
			running.Go(func() {
				turns <- struct{}{}
				defer func() { <-turns }()
				(&trial{Report: report, proxy: p, decision: d, o: o}).run(ctx)
			})
		}
	}
	running.Wait()
	return reports, unasked, ctx.Err()
}

// atOnce is how many URLs are asked for at once: as gently as a person would.
const atOnce = 4

// decide returns what a GET of a URL would be polled as.
func decide(p *proxy.Proxy, url string, header http.Header) (proxy.Decision, error) {
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return proxy.Decision{}, fmt.Errorf("the URL is none: %w", err)
	}
	r.Header = header.Clone()
	if r.Header == nil {
		r.Header = make(http.Header)
	}
	d := p.Decide(r)
	if d.Rule == nil {
		return d, fmt.Errorf("%s: %w", url, d.Why)
	}
	return d, nil
}

// rule is the rule of a decision as the configuration has it.
func rule(cfg *config.Config, d proxy.Decision) *config.Endpoint {
	i := slices.IndexFunc(cfg.Endpoints, func(e config.Endpoint) bool { return d.Rule != nil && e.Path == d.Rule.Path })
	if i < 0 {
		return nil
	}
	return &cfg.Endpoints[i]
}

// A trial finds out about one URL.
type trial struct {
	*Report
	proxy    *proxy.Proxy
	decision proxy.Decision
	o        Options

	plain    asker  // polls as the rule says
	with     *asker // with all the credentials that were given; nil: that is plain, or there are none
	without  *asker // with nobody's; nil: that is plain
	entrance *asker // asks whether who has no credentials is let in; nil: nobody is asked
}

// An asker polls for one identity.
type asker struct {
	trial         *poller.Trial
	first, second poller.Attempt
}

func (t *trial) asker(rule *poller.Rule, header http.Header) *asker {
	return &asker{trial: t.proxy.Try(poller.Request{Rule: rule, URL: t.URL, Header: header})}
}

func (t *trial) run(ctx context.Context) {
	t.cast()
	askers := []*asker{&t.plain, t.with, t.without, t.entrance}
	for _, a := range askers {
		if a != nil && ctx.Err() == nil {
			a.first = a.trial.Poll(ctx)
			t.Polls++
		}
	}
	t.First = t.plain.first
	if !sleep(ctx, t.o.Pause) {
		return
	}
	for _, a := range askers {
		if a != nil && a.first.Err == nil {
			a.second = a.trial.Poll(ctx)
			t.Polls++
		}
	}
	t.judge(ctx)
	slices.SortStableFunc(t.Findings, func(a, b Finding) int { return int(a.Level) - int(b.Level) })
}

// cast says who asks.
func (t *trial) cast() {
	d, given := t.decision, t.o.Header
	t.plain = *t.asker(d.PollRule, given)
	names := slices.Sorted(maps.Keys(given))
	asUser := func(vary []string) *poller.Rule {
		rule := *d.PollRule
		rule.Name, rule.Shared, rule.Proved, rule.Vary = rule.Name+" as a user", false, false, vary
		rule.Header = rule.Header.Clone()
		for _, name := range names {
			delete(rule.Header, name)
		}
		return &rule
	}
	unsent := slices.ContainsFunc(names, func(name string) bool { return !slices.Equal(d.Poll.Header[name], given[name]) })
	switch {
	case len(names) == 0:
	case d.AskRule != nil:
		t.with = t.asker(asUser(d.PollRule.Vary), given)
	case unsent:
		others := slices.DeleteFunc(slices.Clone(d.PollRule.Vary), func(v string) bool { v, _, _ = strings.Cut(v, ":"); return slices.Contains(names, v) })
		t.with = t.asker(asUser(slices.Concat(others, names)), given)
	}
	if d.AskRule != nil {
		t.entrance = t.asker(d.AskRule, nil)
	} else if d.Private {
		t.without = t.asker(asUser(nil), nil)
	}
}

// find adds a finding.
func (t *trial) find(level Level, key, write, format string, args ...any) {
	t.Findings = append(t.Findings, Finding{level, key, fmt.Sprintf(format, args...), write})
}

func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
