package probe

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"pollbridge/config"
	"pollbridge/diff"
)

// changes says what changes with every answer and means nothing, and what tells
// the elements of arrays apart.
func (t *trial) changes(s diff.Survey) {
	if t.plain.first.Snapshot.Lines {
		return
	}
	elapsed := t.o.Pause + 10*t.plain.first.Took + 10*t.plain.second.Took
	if idle := Idle(s, elapsed); len(idle) > 0 {
		level, text := Tip, "among what changed is what seems to change with every answer and to mean nothing"
		if !slices.ContainsFunc(s.Changes, func(c diff.Change) bool { return !means(c, elapsed) }) {
			level, text = Warning, "each poll would push a change, of nothing but what changes with every answer"
		}
		t.find(level, "ignore", "ignore: "+config.FormatList(slices.Concat(t.Rule.Ignore, idle)), "%s: %s", text, strings.Join(idle, ", "))
	}
	t.identities(s.Arrays)
}

// identities says what tells the elements of arrays apart, for one keys of all.
func (t *trial) identities(arrays []diff.Array) {
	const most = 5
	var said, keys []string
	for _, pointer := range slices.Sorted(maps.Keys(t.Rule.Keys)) {
		keys = append(keys, strconv.Quote(pointer)+": "+config.FormatList(t.Rule.Keys[pointer]))
	}
	for _, a := range arrays {
		if a.Identity != "" && a.Old > 1 && len(said) < most {
			said = append(said, fmt.Sprintf("the elements of %s are told apart by %s", orDocument(a.Pointer), a.Identity))
			keys = append(keys, strconv.Quote(a.Pointer)+": "+strconv.Quote(a.Identity))
		}
	}
	if len(said) > 0 {
		t.find(Tip, "keys", "keys: {"+strings.Join(keys, ", ")+"}", "%s; that is found for each change, and certain where keys says so", strings.Join(said, ", "))
	}
}

func orDocument(pointer string) string {
	if pointer == "" {
		return "the array"
	}
	return pointer
}

// Idle returns the pointers of what has changed in such a way that it seems to
// change with every answer, and to mean nothing by itself. The answers were
// given at times that are at most so far apart.
func Idle(s diff.Survey, elapsed time.Duration) []string {
	var idle []string
	for _, c := range s.Changes {
		if means(c, elapsed) {
			idle = append(idle, c.Pointer)
		}
	}
	return generalize(idle)
}

// clockNames are names of members that change with every answer.
var clockNames = regexp.MustCompile(`(?i)(^|[_/-])(last_?updated?|updated_?at|generated(_?at)?|timestamp|time_?stamp|server_?time|now|request_?id|trace_?id|nonce|elapsed|took|duration(_?ms)?|ttl|age|uptime)$`)

// means reports whether a change is one that comes with every answer: its name
// says so, or its values are those of a clock or of chance.
func means(c diff.Change, elapsed time.Duration) bool {
	if c.Pointer == "" || c.Old == "" || c.New == "" || !scalarText(c.Old) || !scalarText(c.New) {
		return false
	}
	return clockNames.MatchString(c.Pointer) || ticks(c.Old, c.New, elapsed) || random(c.Old, c.New)
}

func scalarText(text string) bool { return text[0] != '{' && text[0] != '[' }

var layouts = []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", "2006-01-02 15:04:05.999999999", time.RFC1123, time.RFC1123Z, "20060102T150405Z"}

// ticks reports whether two values are times as far apart as the answers were.
func ticks(old, new string, elapsed time.Duration) bool {
	a, ok := instant(old)
	b, ok2 := instant(new)
	return ok && ok2 && b.After(a) && b.Sub(a) <= elapsed+2*time.Second && time.Since(b).Abs() < 36*time.Hour
}

// instant reads a time as it stands in JSON: in one of some layouts, or since
// 1970 in seconds, or in milliseconds.
func instant(text string) (time.Time, bool) {
	var s string
	if json.Unmarshal([]byte(text), &s) == nil {
		for _, layout := range layouts {
			if at, err := time.Parse(layout, s); err == nil {
				return at, true
			}
		}
		text = s
	}
	n, err := strconv.ParseFloat(text, 64)
	switch {
	case err != nil:
	case n > 1e9 && n < 1e10:
		return time.UnixMilli(int64(n * 1e3)), true
	case n > 1e12 && n < 1e13:
		return time.UnixMilli(int64(n)), true
	}
	return time.Time{}, false
}

var chance = regexp.MustCompile(`^"([0-9a-fA-F-]{16,}|[0-9A-Za-z+/_=-]{22,})"$`)

// random reports whether two texts are made by chance: identifiers of a request
// or a session.
func random(old, new string) bool {
	return len(old) == len(new) && chance.MatchString(old) && chance.MatchString(new) && strings.ContainsAny(old, "0123456789")
}

// generalize writes `*` for a member where three pointers or more differ in
// nothing else: keys of a map. The last name is what is ignored, and stays.
func generalize(pointers []string) []string {
	var general []string
	for _, p := range pointers {
		tokens := strings.Split(p, "/")
		for i := 1; i < len(tokens)-1; i++ {
			alike := 0
			for _, q := range pointers {
				others := strings.Split(q, "/")
				if len(others) == len(tokens) && slices.Equal(others[:i], tokens[:i]) && slices.Equal(others[i+1:], tokens[i+1:]) {
					alike++
				}
			}
			if alike >= 3 {
				tokens[i] = "*"
				break
			}
		}
		if g := strings.Join(tokens, "/"); !slices.Contains(general, g) {
			general = append(general, g)
		}
	}
	return general
}

// effects says what makes it likely that to ask changes something.
func (t *trial) effects(ctx context.Context, s diff.Survey) {
	if word := changing.FindString(words(t.URL)); word != "" {
		t.find(Warning, "path", "", "its name, %q, sounds as if a GET of it changed something: it would be asked again and again", word)
	}
	if len(t.plain.first.Header["Set-Cookie"]) > 0 && len(t.plain.second.Header["Set-Cookie"]) > 0 {
		t.find(Warning, "", "", "every answer sets a cookie: perhaps each poll begins a session, which the API has to keep")
	}
	for _, a := range s.Arrays {
		if a.Old > 0 && a.Kept == 0 && a.New < a.Old {
			t.find(Warning, "path", "", "%s had %d elements and then none of them: if reading takes them away, polling takes them from those they are for", orDocument(a.Pointer), a.Old)
		}
	}
	if n, m := len(t.plain.first.Snapshot.Body), len(t.plain.second.Snapshot.Body); m < n/2 && n > 200 {
		t.find(Warning, "confirm_shrink", "confirm_shrink: 0.5", "the answer shrank from %d to %d bytes between two polls", n, m)
	}
	t.counters(ctx, s)
}

var changing = regexp.MustCompile(`\b(logout|signout|delete|remove|destroy|ack|acknowledge|pop|dequeue|consume|reset|trigger|increment|toggle)\b`)

// words is a path in words: parts of names apart, in lower case.
func words(target string) string {
	path, _, _ := strings.Cut(target, "?")
	if decoded, err := url.PathUnescape(path); err == nil {
		path = decoded
	}
	return strings.ToLower(strings.NewReplacer("/", " ", "_", " ", "-", " ", ".", " ").Replace(path))
}

// counters looks for numbers that rise by one with every request, and makes
// another one to be certain.
func (t *trial) counters(ctx context.Context, s diff.Survey) {
	askers, well := 0, 0
	for _, a := range []*asker{&t.plain, t.with, t.without, t.entrance} {
		if a != nil {
			askers++
			if a.first.Err == nil {
				well++
			}
		}
	}
	suspects := map[string]bool{}
	for _, c := range s.Changes {
		suspects[c.Pointer] = c.Count == 1 && risen(c) == float64(askers)
	}
	if !slices.ContainsFunc(s.Changes, func(c diff.Change) bool { return suspects[c.Pointer] }) {
		return
	}
	third := t.plain.trial.Poll(ctx)
	t.Polls++
	if third.Err != nil {
		return
	}
	for _, c := range t.differ().Survey(t.plain.second.Snapshot.Doc, third.Snapshot.Doc).Changes {
		if suspects[c.Pointer] && risen(c) == float64(well) {
			t.find(Warning, "path", "", "%s rises by one with every request: a GET changes something", c.Pointer)
		}
	}
}

// risen is by how much a number has risen.
func risen(c diff.Change) float64 {
	a, err := strconv.ParseFloat(c.Old, 64)
	b, err2 := strconv.ParseFloat(c.New, 64)
	if err != nil || err2 != nil {
		return 0
	}
	return b - a
}
