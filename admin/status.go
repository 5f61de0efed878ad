package admin

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"pollbridge/poller"
)

// The documents, as JSON has them: durations are seconds, sizes bytes, times
// RFC 3339 in UTC. They say when something was and not how long that is ago, so
// that where nothing happens nothing changes.

// A processStatus is the process, its rules, and what all of them together have done.
type processStatus struct {
	Version  string       `json:"version"`
	Upstream string       `json:"upstream"`
	Started  time.Time    `json:"started"`
	Unready  string       `json:"unready,omitempty"` // why new clients are not welcome
	Bodies   bool         `json:"bodies"`
	Totals   ruleStatus   `json:"totals"`
	Rules    []ruleStatus `json:"rules"` // the first maxRules of the configuration
}

// maxRules bounds the rules that are told one by one.
const maxRules = 200

type ruleStatus struct {
	Rule      string  `json:"rule,omitempty"`
	Interval  float64 `json:"interval,omitempty"`
	Resources int     `json:"resources"`
	Failing   int     `json:"failing"`
	Watchers  int     `json:"watchers"`
	Counts    counts  `json:"counts"`
}

// counts are poller.Counts with the sum of the polls' times, in numbers that
// people read.
type counts struct {
	poller.Counts
	PollSeconds float64 `json:"poll_seconds"` // of all polls together
}

func newCounts(c poller.Counts) counts {
	c.WatchedSeconds, c.WouldRequests, c.WouldBytes = math.Round(c.WatchedSeconds), math.Round(c.WouldRequests), math.Round(c.WouldBytes)
	return counts{c, seconds(c.PollTimes.Sum)}
}

func seconds(d time.Duration) float64 { return math.Round(d.Seconds()*1e4) / 1e4 }

func (a *admin) processStatus() processStatus {
	s := processStatus{Version: a.o.Version, Upstream: a.o.Upstream, Started: millis(a.started), Bodies: a.o.Bodies, Rules: []ruleStatus{}}
	if err := a.ready(); err != nil {
		s.Unready = err.Error()
	}
	var all poller.Counts
	for _, r := range a.o.Status.Rules() {
		all.Add(&r.Counts)
		s.Totals.Resources += r.Resources
		s.Totals.Failing += r.Failing
		s.Totals.Watchers += r.Watchers
		if len(s.Rules) < maxRules {
			s.Rules = append(s.Rules, ruleStatus{r.Rule, seconds(r.Interval), r.Resources, r.Failing, r.Watchers, newCounts(r.Counts)})
		}
	}
	s.Totals.Counts = newCounts(all)
	return s
}

// A resourceStatus is one line of the list of resources.
type resourceStatus struct {
	ID            string       `json:"id"`
	Rule          string       `json:"rule"`
	Purpose       string       `json:"purpose,omitempty"` // probe or alone, where it is not for all
	Path          string       `json:"path"`
	Query         bool         `json:"query,omitempty"` // there is one, and it is not shown
	User          string       `json:"user,omitempty"`  // a fingerprint of whose credentials it is polled with
	State         poller.State `json:"state"`
	Reason        string       `json:"reason,omitempty"`
	Watchers      int          `json:"watchers"`
	Interval      float64      `json:"interval"` // in force
	Next          *time.Time   `json:"next,omitempty"`
	Left          *time.Time   `json:"left,omitempty"` // since when nobody watches
	Polled        *time.Time   `json:"polled,omitempty"`
	Confirmed     *time.Time   `json:"confirmed,omitempty"`
	Changed       *time.Time   `json:"changed,omitempty"` // see poller.ResourceStatus for these
	DocumentBytes int          `json:"document_bytes"`
	PatchBytes    int          `json:"patch_bytes"` // of the latest change; 0: it was sent whole
	Spark         []uint16     `json:"spark"`       // changes in each ten seconds of the last ten minutes, oldest first
	Counts        counts       `json:"counts"`
}

func newResourceStatus(s *poller.ResourceStatus) resourceStatus {
	return resourceStatus{
		ID: s.ID, Rule: s.Rule, Purpose: s.Purpose, Path: s.Path, Query: s.Query, User: s.User, State: s.State, Reason: s.Reason,
		Watchers: s.Watchers, Interval: seconds(s.Interval), Next: orNil(s.Next), Left: orNil(s.Left), Polled: orNil(s.Polled),
		Confirmed: orNil(s.Confirmed), Changed: orNil(s.Changed), DocumentBytes: s.DocumentBytes, PatchBytes: s.PatchBytes,
		Spark: s.Spark, Counts: newCounts(s.Counts),
	}
}

// orNil is a time as it is written; nil for the zero one.
func orNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = millis(t)
	return &t
}

// millis is a time that is written to the millisecond.
func millis(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// A resourceList is one page of the list of resources.
type resourceList struct {
	Total     int              `json:"total"` // on all pages
	Page      int              `json:"page"`
	Pages     int              `json:"pages"`
	Resources []resourceStatus `json:"resources"`
}

// pageSize is how many resources are on a page of the list.
const pageSize = 25

func (a *admin) resourceList(query url.Values) (*resourceList, error) {
	s := poller.Selection{Limit: pageSize}
	page := 1
	for name, values := range query {
		v := values[0]
		switch name {
		case "rule":
			s.Rule = v
		case "text":
			s.Text = v
		case "state":
			if s.State = poller.State(v); v != "" && !slices.Contains(states, s.State) {
				return nil, fmt.Errorf("state: found %.40q, allowed: %v", v, states)
			}
		case "order":
			if s.Order = poller.Order(v); v != "" && !slices.Contains(orders, s.Order) {
				return nil, fmt.Errorf("order: found %.40q, allowed: %v", v, orders)
			}
		case "page":
			n, err := strconv.ParseUint(v, 10, 31)
			if err != nil || n < 1 {
				return nil, fmt.Errorf("page: found %.40q, allowed: a number of at least 1", v)
			}
			page = int(n)
		default:
			return nil, fmt.Errorf("unknown parameter %.40q, allowed: rule, state, text, order, page", name)
		}
	}
	s.Offset = (page - 1) * pageSize
	part, total := a.o.Status.Resources(s)
	l := &resourceList{Total: total, Page: page, Pages: max(1, (total+pageSize-1)/pageSize), Resources: []resourceStatus{}}
	for i := range part {
		l.Resources = append(l.Resources, newResourceStatus(&part[i]))
	}
	return l, nil
}

var (
	states = []poller.State{poller.StateWaiting, poller.StateLive, poller.StateStale, poller.StateFailing, poller.StateOver}
	orders = []poller.Order{poller.ByWatchers, poller.ByChanged, poller.ByBytes, poller.ByPath}
)

// A resource is one resource with what it remembers.
type resource struct {
	resourceStatus
	Polls   []poll   `json:"polls"`   // the newest first
	Changes []change `json:"changes"` // the newest first
}

type poll struct {
	At     time.Time     `json:"at"`
	Took   float64       `json:"took"`
	Result poller.Result `json:"result"`
	Status uint16        `json:"status,omitempty"`
	Bytes  int64         `json:"bytes"`
	Why    string        `json:"why"`
}

func (a *admin) resource(id string) (*resource, bool) {
	s, ok := a.o.Status.Resource(id, a.o.Bodies)
	if !ok {
		return nil, false
	}
	r := &resource{resourceStatus: newResourceStatus(&s.ResourceStatus), Polls: []poll{}, Changes: []change{}}
	for _, p := range s.Polls {
		r.Polls = append(r.Polls, poll{millis(p.At), seconds(p.Took), p.Result, p.Status, p.Bytes, p.Why})
	}
	for i := range s.Changes {
		r.Changes = append(r.Changes, a.changes.of(id, &s.Changes[i], a.o.Bodies))
	}
	return r, true
}

// documents answers with them.
func (a *admin) documents() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, r *http.Request) { writeJSON(w, a.processStatus()) })
	mux.HandleFunc("GET /status/resources", func(w http.ResponseWriter, r *http.Request) {
		l, err := a.resourceList(r.URL.Query())
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		writeJSON(w, l)
	})
	mux.HandleFunc("GET /status/resources/{id}", func(w http.ResponseWriter, r *http.Request) {
		res, ok := a.resource(r.PathValue("id"))
		if !ok {
			http.Error(w, "this resource is not polled, or not any more", http.StatusNotFound)
			return
		}
		writeJSON(w, res)
	})
	return mux
}

func writeJSON(w http.ResponseWriter, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-cache") // who asks wants to know how it is now
	w.Write(text)
}
