package main

import (
	"io"
	"math"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"pollbridge/client"
)

// sampleLine is a line of the text format: name, labels, value.
var sampleLine = regexp.MustCompile(`(?m)^([a-z_]+)(?:\{(.*)\})? (\S+)$`)

// samples are the values of what is scraped, by name and labels as they stand.
func samples(t *testing.T, text string) map[string]float64 {
	t.Helper()
	all := make(map[string]float64)
	for _, m := range sampleLine.FindAllStringSubmatch(text, -1) {
		v, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			t.Fatalf("%s: %v", m[0], err)
		}
		all[m[1]+"{"+m[2]+"}"] = v
	}
	return all
}

// TestMetrics holds what is counted while a watcher, a stream, a poller and others
// come and go, that it is written as Prometheus has it, and that docs/metrics.md
// says it all.
func TestMetrics(t *testing.T) {
	t.Parallel()
	ctx, legacy := within(t), newAPI(t)
	legacy.set("/api/orders", orders("open"))
	r := serveBinary(t, legacy.URL, "endpoints: [{path: '/api/{what}', interval: 20ms, vary: []}, {path: /unused, interval: 1s}]\n"+
		"limits: {subscriptions_per_connection: 1}\n")

	c := r.dial(ctx, "/api/orders")
	first := next(ctx, t, c)
	legacy.set("/api/orders", orders("sent"))
	if m := next(ctx, t, c); m.Type != client.TypePatch {
		t.Fatalf("got %+v", m)
	}
	if err := c.Subscribe(ctx, "/api/orders", client.SubscribeOptions{Version: first.Version}); err != nil {
		t.Fatal(err)
	}
	again := next(ctx, t, c)
	if err := c.Subscribe(ctx, "/api/orders", client.SubscribeOptions{Version: "unknown"}); err != nil || again.Type != client.TypePatch {
		t.Fatalf("got %+v, %v", again, err)
	}
	next(ctx, t, c)
	if err := c.Subscribe(ctx, "/api/other?key=hunter2", client.SubscribeOptions{}); err != nil {
		t.Fatal(err)
	}
	next(ctx, t, c)
	exchange(t, r.address, "GET /api/orders HTTP/1.1\nHost: x\nAccept: text/event-stream\n\n", `"data":`)
	exchange(t, r.address, "GET /api/orders HTTP/1.1\nHost: x\nAccept: text/event-stream\nLast-Event-ID: "+again.Version+"\n\n", "event: current")
	exchange(t, r.address, "GET /api/orders HTTP/1.1\nHost: x\nAccept: text/event-stream\nLast-Event-ID: unknown\n\n", "event: snapshot")
	exchange(t, r.address, "GET /api/orders HTTP/1.1\nHost: x\nConnection: close\n\n", "")
	exchange(t, r.address, "GET /api/failing?key=hunter2 HTTP/1.1\nHost: x\nAccept: text/event-stream\n\n", "event: stale")
	exchange(t, r.address, "GET /elsewhere/hunter2 HTTP/1.1\nHost: x\nConnection: close\n\n", "")
	exchange(t, r.address, "GET / HTTP/1.1\nHost: x\nOrigin: https://user:hunter2@other.example/hunter2?hunter2\nConnection: Upgrade, close\nUpgrade: websocket\n\n", "")

	want := map[string]float64{
		`pollbridge_resources{rule="/api/{what}"}`:                           2,
		`pollbridge_resources{rule="/unused"}`:                               0,
		`pollbridge_resources_failing{rule="/api/{what}"}`:                   1,
		`pollbridge_watchers{rule="/api/{what}"}`:                            1,
		`pollbridge_polls_total{result="changed",rule="/api/{what}"}`:        2,
		`pollbridge_polls_total{result="error",rule="/unused"}`:              0,
		`pollbridge_messages_sent_total{rule="/api/{what}",type="patch"}`:    2,
		`pollbridge_messages_sent_total{rule="/api/{what}",type="snapshot"}`: 4,
		`pollbridge_push_duration_seconds_count{rule="/api/{what}"}`:         1,
		`pollbridge_diff_duration_seconds_count{rule="/api/{what}"}`:         1,
		`pollbridge_flaps_total{rule="/api/{what}"}`:                         0,
		`pollbridge_resumes_total{result="unchanged",rule="/api/{what}"}`:    1,
		`pollbridge_resumes_total{result="patch",rule="/api/{what}"}`:        1,
		`pollbridge_resumes_total{result="snapshot",rule="/api/{what}"}`:     2,
		`pollbridge_answers_total{rule="/api/{what}"}`:                       1,
		`pollbridge_connections{transport="websocket"}`:                      1,
		`pollbridge_connections{transport="events"}`:                         0,
		`pollbridge_http_requests_total{code="1xx",transport="websocket"}`:   1,
		`pollbridge_http_requests_total{code="4xx",transport="websocket"}`:   1,
		`pollbridge_http_requests_total{code="2xx",transport="events"}`:      4,
		`pollbridge_http_requests_total{code="2xx",transport="get"}`:         1,
		`pollbridge_http_requests_total{code="4xx",transport="pass"}`:        1,
		`pollbridge_passthrough_duration_seconds_count{code="4xx"}`:          1,
		`pollbridge_sockets_closed_total{reason="slow"}`:                     0,
		`pollbridge_rejections_total{reason="origin"}`:                       1,
		`pollbridge_rejections_total{reason="subscriptions_per_connection"}`: 1,
		`pollbridge_rejections_total{reason="connections"}`:                  0,
		`pollbridge_limit{limit="connections"}`:                              100000,
		`pollbridge_config_last_reload_successful{}`:                         1,
		`pollbridge_log_lines_lost_total{}`:                                  0,
	}
	var text string
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		_, text = r.health("/metrics")
		got, wrong := samples(t, text), ""
		for name, v := range want {
			if have, ok := got[name]; !ok || have != v {
				wrong += name + " is " + strconv.FormatFloat(have, 'g', -1, 64) + ", want " + strconv.FormatFloat(v, 'g', -1, 64) + "\n"
			}
		}
		if got[`pollbridge_upstream_requests_expected_total{rule="/api/{what}"}`] < 1 || got[`pollbridge_poll_errors_total{code="upstream_status",rule="/api/{what}"}`] < 1 {
			wrong += "no request was expected or none has failed\n"
		}
		if wrong == "" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s\n%s", wrong, text)
		}
	}
	for name, v := range samples(t, text) {
		if strings.HasPrefix(name, "pollbridge_") && strings.Contains(name, "_total{") && v != math.Trunc(v) {
			t.Errorf("%s is %g, and counts whole things", name, v)
		}
	}
	r.errors.wait(t, `level=WARN msg="clients are turned away" reason=origin more=0 origin=https://other.example host=x\n`)
	problems, err := promlint.New(strings.NewReader(text + "\n")).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	for _, word := range []string{"hunter2", "127.0.0.1", "elsewhere"} {
		if strings.Contains(text, word) {
			t.Errorf("%q is in the metrics", word)
		}
	}
	checkMetricsPage(t, text)
	for _, file := range []string{"deploy/prometheus/alerts.yaml", "deploy/grafana/pollbridge.json"} {
		checkQueries(t, file, text)
	}
}

// checkQueries holds that every metric that a file names is scraped. Whether its
// queries can be read, and the labels, are the business of deploy/prometheus.
func checkQueries(t *testing.T, file, text string) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`\b(?:pollbridge|process|go)_[a-z_]+`).FindAllString(string(data), -1)
	if len(names) < 15 {
		t.Errorf("%s names only %d metrics", file, len(names))
	}
	for _, name := range names {
		if !regexp.MustCompile(`(?m)^` + name + `[{ ]`).MatchString(text) {
			t.Errorf("%s names %s, which is not scraped", file, name)
		}
	}
}

// checkMetricsPage holds that docs/metrics.md has every metric that is scraped,
// with its type and labels, and no other.
func checkMetricsPage(t *testing.T, text string) {
	t.Helper()
	page, err := os.ReadFile("docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]string)
	for _, m := range regexp.MustCompile("(?m)^\\| `(pollbridge_[a-z_]+)` \\| ([a-z]+) \\| ([a-z, ]*) ?\\|").FindAllStringSubmatch(string(page), -1) {
		labels := strings.FieldsFunc(m[3], func(r rune) bool { return r == ',' || r == ' ' })
		slices.Sort(labels)
		documented[m[1]] = m[2] + " " + strings.Join(labels, ",")
	}
	scraped := make(map[string]string)
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (pollbridge_[a-z_]+) ([a-z]+)$`).FindAllStringSubmatch(text, -1) {
		line := regexp.MustCompile(`(?m)^` + m[1] + `(?:_count)?(?:\{(.*)\})? `).FindStringSubmatch(text)
		var labels []string
		for _, l := range regexp.MustCompile(`([a-z_]+)="`).FindAllStringSubmatch(line[1], -1) {
			labels = append(labels, l[1])
		}
		slices.Sort(labels)
		scraped[m[1]] = m[2] + " " + strings.Join(labels, ",")
	}
	for name, is := range scraped {
		if documented[name] != is {
			t.Errorf("%s is a %s, and docs/metrics.md says %q", name, is, documented[name])
		}
	}
	for name := range documented {
		if scraped[name] == "" {
			t.Errorf("docs/metrics.md has %s, which is not scraped", name)
		}
	}
}

// TestMetricsAreNotPublic holds that the public listener has no metrics.
func TestMetricsAreNotPublic(t *testing.T) {
	t.Parallel()
	r := serveBinary(t, newAPI(t).URL, "")
	res, err := http.Get("http://" + r.address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); res.StatusCode != 404 || strings.Contains(string(body), "pollbridge_") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}
