package metrics

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"

	"pollbridge/poller"
)

// described are all metrics below.
var described []*prometheus.Desc

func desc(name, help string, labels ...string) *prometheus.Desc {
	d := prometheus.NewDesc("pollbridge_"+name, help, labels, nil)
	described = append(described, d)
	return d
}

// Of each rule.
var (
	resources = desc("resources", "Distinct upstream requests that are polled.", "rule")
	failing   = desc("resources_failing", "Of these, the ones whose latest poll failed.", "rule")
	staleness = desc("staleness_seconds", "How long ago the upstream was last read for the resource that has failed longest; 0 where none fails.", "rule")
	watchers  = desc("watchers", "Who watches: subscriptions of sockets, event streams, long-polls under way.", "rule")

	polls       = desc("polls_total", "Polls that have ended, by result.", "rule", "result")
	pollErrors  = desc("poll_errors_total", "Polls that gave no document, by the code that clients are told.", "rule", "code")
	pollSeconds = desc("poll_duration_seconds", "How long the exchange with the upstream took, whole body included.", "rule")
	polledBytes = desc("polled_bytes_total", "Bytes of bodies that the upstream sent to polls, as they crossed the network.", "rule")

	sent        = desc("messages_sent_total", "Documents and changes sent to watchers.", "rule", "type")
	sentBytes   = desc("message_bytes_sent_total", "Bytes of these, as they crossed the network.", "rule", "type")
	diffSeconds = desc("diff_duration_seconds", "How long it took to compare an answer that is other bytes with the document before it.", "rule")
	flaps       = desc("flaps_total", "Changes that the upstream took back: the document was again what the one before had replaced, or was not believed yet where confirm is set.", "rule")
	resumes     = desc("resumes_total", "Watchers that came with a version they held, by what they were sent for it.", "rule", "result")
	pushSeconds = desc("push_duration_seconds", "From when a change was seen to when it was sent to one who held the document before, comparing included; who asked for a throttle aside.", "rule")
	answers     = desc("answers_total", "Plain GETs answered without asking the upstream for each.", "rule")
	answerBytes = desc("answer_bytes_total", "Bytes of the bodies of these.", "rule")

	expected = desc("upstream_requests_expected_total", "Requests that the upstream would have got from clients that poll: one as a watcher comes and one an interval after that, and the plain GETs.", "rule")
	avoided  = desc("upstream_requests_avoided_total", "Of these, how many more they would have been than the polls that were made.", "rule")
	saved    = desc("bytes_saved_total", "Bytes that clients that poll would have been sent beyond those that were.", "rule")
)

// Of all.
var (
	connections   = desc("connections", "Connections that stay open.", "transport")
	requests      = desc("http_requests_total", "Requests that have been answered; event streams count when they end, sockets when they are opened; by transport and class of status.", "transport", "code")
	passedSeconds = desc("passthrough_duration_seconds", "How long requests that passed through took, both bodies included, by class of status; tunnels aside.", "code")
	closed        = desc("sockets_closed_total", "Sockets that were closed, by why.", "reason")
	rejections    = desc("rejections_total", "Who was turned away: a page of another origin, or by a limit.", "reason")
	limit         = desc("limit", "A limit of the configuration.", "limit")

	polling       = desc("polls_in_flight", "Polls under way.")
	documentBytes = desc("document_memory_bytes", "Memory that polled documents and their histories take.")
	idle          = desc("idle_resources", "Resources that nobody watches and that are remembered.")
	idleBytes     = desc("idle_memory_bytes", "Memory that these take.")
	evicted       = desc("idle_evictions_total", "Idle resources that had to make room.")

	liveBytes = desc("live_memory_bytes", "Memory in use that is no garbage; near go_gc_gomemlimit_bytes clients are turned away.")
	certEnds  = desc("certificate_expiry_timestamp_seconds", "When the certificate in use ends to be valid; 0 without TLS.")
	logLost   = desc("log_lines_lost_total", "Lines of the log that were lost because nobody took them in.")
	reloadOK  = desc("config_last_reload_successful", "Whether the latest attempt to read the configuration has succeeded.")
	reloadAt  = desc("config_last_reload_success_timestamp_seconds", "When the configuration in force was read.")
)

// A collector reads the status at each scrape.
type collector struct{ Options }

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range described {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	s := c.Status()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	for i := range s.Rules {
		c.rule(ch, &s.Rules[i])
	}
	for transport, n := range s.Connections {
		gauge(connections, float64(n), transport)
	}
	for _, r := range s.Requests {
		counter(requests, r.Count, r.Transport, class(r.Class))
	}
	for n, times := range s.Passed {
		ch <- histogram(passedSeconds, &times, class(n))
	}
	for reason, n := range s.Closed {
		counter(closed, n, reason)
	}
	for reason, n := range s.Rejected {
		counter(rejections, n, reason)
	}
	for name, n := range s.Limits {
		gauge(limit, n, name)
	}
	gauge(polling, float64(s.Usage.Polling))
	gauge(documentBytes, float64(s.Usage.DocumentBytes))
	gauge(idle, float64(s.Usage.Idle))
	gauge(idleBytes, float64(s.Usage.IdleBytes))
	counter(evicted, s.Usage.Evicted)
	if c.LiveMemory != nil {
		gauge(liveBytes, float64(c.LiveMemory()))
	}
	if c.CertificateEnds != nil {
		var at float64
		if ends := c.CertificateEnds(); !ends.IsZero() {
			at = float64(ends.Unix())
		}
		gauge(certEnds, at)
	}
	if c.LogLost != nil {
		counter(logLost, c.LogLost())
	}
	if c.Reloaded != nil {
		r, ok := c.Reloaded(), 0.0
		if r.OK {
			ok = 1
		}
		gauge(reloadOK, ok)
		gauge(reloadAt, float64(r.At.UnixMilli())/1e3)
	}
}

// rule collects what there is of one rule. A histogram that nothing is in yet is
// left out, so that many rules that nobody uses cost little.
func (c *collector) rule(ch chan<- prometheus.Metric, r *poller.RuleStatus) {
	gauge := func(d *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, r.Rule)
	}
	counter := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, append([]string{r.Rule}, labels...)...)
	}
	times := func(d *prometheus.Desc, t *poller.Times) {
		if t.Count() > 0 {
			ch <- histogram(d, t, r.Rule)
		}
	}
	gauge(resources, float64(r.Resources))
	gauge(failing, float64(r.Failing))
	gauge(staleness, r.Stalest.Seconds())
	gauge(watchers, float64(r.Watchers))

	counter(polls, float64(r.Changed), poller.Changed.String())
	counter(polls, float64(r.Unchanged), poller.Unchanged.String())
	counter(polls, float64(r.NotModified), poller.NotModified.String())
	counter(polls, float64(r.Errors), poller.Failed.String())
	counter(pollErrors, float64(r.Failed[poller.CodeNotShareable]), poller.CodeNotShareable) // whose first is worth an alert
	for code, n := range r.Failed {
		if code != poller.CodeNotShareable {
			counter(pollErrors, float64(n), code)
		}
	}
	times(pollSeconds, &r.PollTimes)
	counter(polledBytes, float64(r.PolledBytes))

	counter(flaps, float64(r.Flaps))
	if r.Diffed.Count > 0 {
		ch <- prometheus.MustNewConstSummary(diffSeconds, r.Diffed.Count, r.Diffed.Sum.Seconds(), nil, r.Rule)
	}

	counter(resumes, float64(r.Resumed.Unchanged), "unchanged")
	counter(resumes, float64(r.Resumed.Patch), "patch")
	counter(resumes, float64(r.Resumed.Snapshot), "snapshot")
	counter(sent, float64(r.Snapshots), "snapshot")
	counter(sent, float64(r.Patches), "patch")
	counter(sentBytes, float64(r.SnapshotBytes), "snapshot")
	counter(sentBytes, float64(r.PatchBytes), "patch")
	times(pushSeconds, &r.Told)
	counter(answers, float64(r.Answers))
	counter(answerBytes, float64(r.AnswerBytes))

	// Reckoned by the time that was watched, and told in whole ones.
	counter(expected, math.Floor(r.WouldRequests))
	counter(avoided, math.Floor(r.Avoided))
	counter(saved, math.Floor(r.Saved))
}
