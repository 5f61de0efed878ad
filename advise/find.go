package advise

import (
	"cmp"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"pollbridge/diff"
	"pollbridge/probe"
)

// A Rule is a rule to write, and what was seen that speaks for it.
type Rule struct {
	Path      string // a pattern
	Interval  time.Duration
	Vary      []string // headers that were sent
	DropQuery []string // parameters that were another with each request
	Ignore    []string
	Keys      map[string]string

	URLs, Clients, Requests int
	Bytes                   int64
}

// Rules returns what has been found so far, the most requests first.
func (a *Adviser) Rules() []Rule {
	a.mu.Lock()
	defer a.mu.Unlock()
	var polls []*series
	for _, s := range a.series {
		if _, ok := s.pace(); ok {
			polls = append(polls, s)
		}
	}
	slices.SortFunc(polls, func(x, y *series) int { return strings.Compare(x.path, y.path) })
	groups := generalize(polls)
	var rules []Rule
	for _, pattern := range slices.Sorted(maps.Keys(groups)) {
		rules = append(rules, newRule(pattern, groups[pattern]))
	}
	slices.SortStableFunc(rules, func(x, y Rule) int { return cmp.Compare(y.Requests, x.Requests) })
	return rules
}

const (
	enough  = 4 // requests that make a poll
	longest = 10 * time.Minute
)

// pace returns the time between two requests, if they are polls: most of the
// times between them are about the same.
func (s *series) pace() (time.Duration, bool) {
	if len(s.times) < enough {
		return 0, false
	}
	var gaps []time.Duration
	for i := 1; i < len(s.times); i++ {
		gaps = append(gaps, s.times[i].Sub(s.times[i-1]))
	}
	slices.Sort(gaps)
	middle := gaps[len(gaps)/2]
	steady := 0
	for _, g := range gaps {
		if g > middle*2/3 && g < middle*3/2 {
			steady++
		}
	}
	return middle, middle >= 10*time.Millisecond && middle <= longest && 10*steady >= 6*len(gaps)
}

func newRule(pattern string, of []*series) Rule {
	r := Rule{Path: pattern, Keys: map[string]string{}}
	var paces []time.Duration
	urls, clients := map[string]bool{}, map[uint64]bool{}
	for _, s := range of {
		pace, _ := s.pace()
		paces = append(paces, pace)
		urls[s.path], clients[s.client] = true, true
		r.Requests += s.seen
		r.Bytes += s.bytes
		for _, name := range slices.Sorted(maps.Keys(s.sent)) {
			if !slices.Contains(r.Vary, name) {
				r.Vary = append(r.Vary, name)
			}
		}
		for i, name := range s.names {
			if len(s.values[i]) == min(s.seen, maxTimes) && !slices.Contains(r.DropQuery, name) {
				r.DropQuery = append(r.DropQuery, name)
			}
		}
		r.look(s)
	}
	slices.Sort(paces)
	r.Interval, r.URLs, r.Clients = nice(paces[len(paces)/2]), len(urls), len(clients)
	return r
}

// look compares the two answers that are kept.
func (r *Rule) look(s *series) {
	if s.answers[0] == nil {
		return
	}
	var d *diff.Differ
	old, err := d.Parse(s.answers[0])
	if err != nil {
		return
	}
	doc, err := d.Parse(s.answers[1])
	if err != nil {
		return
	}
	survey := d.Survey(old, doc)
	for _, pointer := range probe.Idle(survey, s.answeredAt[1].Sub(s.answeredAt[0])) {
		if !slices.Contains(r.Ignore, pointer) {
			r.Ignore = append(r.Ignore, pointer)
		}
	}
	for _, array := range survey.Arrays {
		if array.Identity != "" && array.Old > 1 {
			r.Keys[array.Pointer] = array.Identity
		}
	}
}

// nice is a pace as the one who wrote it had it in mind: requests come a bit
// later than planned.
func nice(d time.Duration) time.Duration {
	unit := 10 * time.Millisecond
	switch {
	case d >= 10*time.Second:
		unit = time.Second
	case d >= time.Second:
		unit = 500 * time.Millisecond
	case d >= 100*time.Millisecond:
		unit = 50 * time.Millisecond
	}
	return max(d.Round(unit), 10*time.Millisecond)
}

// identifier is a segment of a path that names one of many things.
var identifier = regexp.MustCompile(`^([0-9]+|[0-9a-fA-F]{8,}|[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|[A-Za-z0-9_-]{22,})$`)

// generalize groups series by a pattern that matches their paths. A segment is a
// wildcard if it is an identifier, or if three or more paths differ in it and in
// nothing else, and their answers are of one shape.
func generalize(polls []*series) map[string][]*series {
	shapes := map[string]string{} // by path
	for _, s := range polls {
		if shapes[s.path] == "" {
			shapes[s.path] = shape(s.answers[1])
		}
	}
	groups := map[string][]*series{}
	for _, s := range polls {
		pattern := strings.Split(s.path, "/")
		wild := 0
		for i, segment := range pattern {
			if segment == "" || !identifier.MatchString(segment) && alike(shapes, s.path, i) < 3 {
				continue
			}
			if wild++; wild == 1 {
				pattern[i] = "{id}"
			} else {
				pattern[i] = "{id" + strconv.Itoa(wild) + "}"
			}
		}
		joined := strings.Join(pattern, "/")
		if strings.HasSuffix(joined, "/") {
			joined += "{$}"
		}
		groups[joined] = append(groups[joined], s)
	}
	return groups
}

// alike counts the paths of one shape that differ in segment i at most.
func alike(shapes map[string]string, path string, i int) (n int) {
	segments := strings.Split(path, "/")
	for other, shape := range shapes {
		p := strings.Split(other, "/")
		if shape != "" && shape == shapes[path] && len(p) == len(segments) && slices.Equal(p[:i], segments[:i]) && slices.Equal(p[i+1:], segments[i+1:]) {
			n++
		}
	}
	return n
}

// shape is what members an answer has; "" where it has none.
func shape(body []byte) string {
	var v any
	if json.Unmarshal(body, &v) != nil {
		return ""
	}
	if list, ok := v.([]any); ok && len(list) > 0 {
		v = list[0]
	}
	object, _ := v.(map[string]any)
	return strings.Join(slices.Sorted(maps.Keys(object)), "\n")
}
