// Package prometheus reads the alert rules and the dashboard as Prometheus
// does. It is a module of its own, so that Prometheus is not the product's.
package prometheus

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
	"gopkg.in/yaml.v3"
)

// metrics are those that docs/metrics.md has, each with its labels. That these
// are what is scraped is held by a test of the real binary.
func metrics(t *testing.T) map[string][]string {
	t.Helper()
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{"up": nil}
	for _, m := range regexp.MustCompile("(?m)^\\| `(pollbridge_[a-z_]+)` \\| ([a-z]+) \\| ([a-z, ]*) ?\\|").FindAllStringSubmatch(string(page), -1) {
		labels := strings.FieldsFunc(m[3], func(r rune) bool { return r == ',' || r == ' ' })
		switch m[2] {
		case "histogram":
			all[m[1]+"_bucket"] = append(labels, "le")
			fallthrough
		case "summary":
			all[m[1]+"_sum"], all[m[1]+"_count"] = labels, labels
		default:
			all[m[1]] = labels
		}
	}
	if len(all) < 20 {
		t.Fatalf("docs/metrics.md has only %d metrics", len(all))
	}
	return all
}

// A query is an expression, and what it is of.
type query struct {
	of, text string
	labels   []string // that its result may have
}

// check parses q and holds it against the metrics there are.
func (q *query) check(t *testing.T, known map[string][]string) {
	t.Helper()
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(strings.ReplaceAll(q.text, "$__rate_interval", "5m"))
	if err != nil {
		t.Errorf("%s: %v", q.of, err)
		return
	}
	q.labels = []string{"job", "instance"}
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		v, ok := n.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		labels, ok := known[v.Name]
		if !ok && !strings.HasPrefix(v.Name, "process_") && !strings.HasPrefix(v.Name, "go_") {
			t.Errorf("%s: there is no metric %s", q.of, v.Name)
		}
		for _, m := range v.LabelMatchers {
			if !slices.Contains(append([]string{model.MetricNameLabel, "job", "instance"}, labels...), m.Name) {
				t.Errorf("%s: %s has no label %s", q.of, v.Name, m.Name)
			}
		}
		q.labels = append(q.labels, labels...)
		return nil
	})
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		var named []string
		switch n := n.(type) {
		case *parser.AggregateExpr:
			named = n.Grouping
		case *parser.BinaryExpr:
			if n.VectorMatching != nil {
				named = n.VectorMatching.MatchingLabels
			}
		}
		for _, label := range named {
			if !slices.Contains(q.labels, label) {
				t.Errorf("%s: no metric in it has a label %s", q.of, label)
			}
		}
		return nil
	})
}

var labelUse = regexp.MustCompile(`\$labels\.([a-z_]+)`)

// TestAlerts holds that each rule can be read, names only metrics and labels that
// there are, and says what has happened.
func TestAlerts(t *testing.T) {
	known := metrics(t)
	data, err := os.ReadFile("alerts.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var groups struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(&groups); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, g := range groups.Groups {
		for _, r := range g.Rules {
			n++
			q := query{of: r.Alert, text: r.Expr}
			q.check(t, known)
			if !strings.Contains(r.Expr, `job="pollbridge"`) {
				t.Errorf("%s looks at every job", r.Alert)
			}
			if r.Annotations["summary"] == "" || r.Annotations["description"] == "" || r.Labels["severity"] == "" {
				t.Errorf("%s does not say what has happened, or how bad that is", r.Alert)
			}
			for _, text := range r.Annotations {
				for _, m := range labelUse.FindAllStringSubmatch(text, -1) {
					if !slices.Contains(q.labels, m[1]) {
						t.Errorf("%s has no label %s", r.Alert, m[1])
					}
				}
			}
			if tests, err := os.ReadFile("rules_test.yaml"); err != nil || strings.Count(string(tests), r.Alert) < 2 {
				t.Errorf("rules_test.yaml does not say when %s fires and when it does not", r.Alert)
			}
		}
	}
	if n < 10 {
		t.Errorf("there are only %d alerts", n)
	}
}

// TestRules runs rules_test.yaml, where there is a promtool to do it.
func TestRules(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	switch {
	case err != nil && os.Getenv("POLLBRIDGE_PROMTOOL") == "required":
		t.Fatal(err)
	case err != nil:
		t.Skip(err)
	}
	for _, args := range [][]string{{"check", "rules", "alerts.yaml"}, {"test", "rules", "rules_test.yaml"}} {
		if out, err := exec.Command(promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

var labelValues = regexp.MustCompile(`^label_values\((.*), ([a-z_]+)\)$`)

// TestDashboard holds the same of the dashboard's queries, and that its panels do
// not lie upon each other.
func TestDashboard(t *testing.T) {
	known := metrics(t)
	data, err := os.ReadFile("../grafana/pollbridge.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Templating struct {
			List []struct {
				Type  string
				Query any
			}
		}
		Panels []struct {
			ID          int
			Type, Title string
			GridPos     struct{ X, Y, W, H int }
			Targets     []struct{ Expr, LegendFormat string }
		}
	}
	if err := json.Unmarshal(data, &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, v := range dashboard.Templating.List {
		if v.Type != "query" {
			continue
		}
		text, _ := v.Query.(map[string]any)["query"].(string)
		m := labelValues.FindStringSubmatch(text)
		if m == nil {
			t.Errorf("%q is no label_values(metric, label)", text)
			continue
		}
		q := query{of: text, text: m[1]}
		if q.check(t, known); !slices.Contains(q.labels, m[2]) {
			t.Errorf("%s: no such label", text)
		}
	}
	taken, ids, queries := make(map[[2]int]string), make(map[int]bool), 0
	for _, p := range dashboard.Panels {
		if ids[p.ID] {
			t.Errorf("%s has the id of another panel", p.Title)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%s lies upon %q, or beside the dashboard", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if (p.Type == "row") != (len(p.Targets) == 0) {
			t.Errorf("%s has %d queries", p.Title, len(p.Targets))
		}
		for _, target := range p.Targets {
			queries++
			q := query{of: p.Title, text: target.Expr}
			q.check(t, known)
			for _, m := range regexp.MustCompile(`\{\{([a-z_]+)\}\}`).FindAllStringSubmatch(target.LegendFormat, -1) {
				if !slices.Contains(q.labels, m[1]) {
					t.Errorf("%s: the legend names the label %s, which is not there", p.Title, m[1])
				}
			}
		}
	}
	if queries < 20 {
		t.Errorf("there are only %d queries", queries)
	}
	for name := range known {
		if used := strings.TrimSuffix(strings.TrimSuffix(name, "_sum"), "_count"); used == name && name != "up" && !strings.Contains(string(data), name) {
			t.Errorf("the dashboard does not show %s", name)
		}
	}
}
