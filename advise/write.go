package advise

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"pollbridge/config"
)

// Write writes a configuration of the rules, for a person to look through. A
// rule that cannot stand beside those before it is left out, with a word why.
func Write(w io.Writer, upstream string, rules []Rule, watched time.Duration) {
	fmt.Fprintf(w, "# Found by pollbridge advise in %s. Before it is used: pollbridge check --probe\n", watched.Round(time.Second))
	head := "upstream: " + strconv.Quote(upstream) + "\nendpoints:\n"
	io.WriteString(w, head)
	taken := head
	for _, r := range rules {
		text := r.yaml()
		if _, err := config.Parse("advice", []byte(taken+text), nil); err != nil {
			fmt.Fprintf(w, "  # left out: %s %s\n", strconv.Quote(r.Path), firstLine(err))
			continue
		}
		taken += text
		fmt.Fprintf(w, "  # %s\n%s", r.evidence(), text)
	}
}

// yaml is the rule as an element of endpoints.
func (r Rule) yaml() string {
	var b strings.Builder
	line := func(key, value string) { fmt.Fprintf(&b, "    %s: %s\n", key, value) }
	line("path", strconv.Quote(r.Path))
	line("interval", r.Interval.String())
	if len(r.Vary) == 0 {
		line("vary", "[] # no Authorization, no Cookie and no key was sent")
	} else {
		line("vary", "["+strings.Join(r.Vary, ", ")+"] # was sent; [] polls once for all, if the answer is the same for all")
	}
	if drop := slices.DeleteFunc(slices.Clone(r.DropQuery), func(name string) bool { return name == "_" }); len(drop) > 0 {
		line("drop_query", config.FormatList(append([]string{"_"}, drop...))+" # another with each request")
	}
	if len(r.Ignore) > 0 {
		line("ignore", config.FormatList(r.Ignore)+" # changes with every answer")
	}
	if len(r.Keys) > 0 {
		var keys []string
		for _, array := range slices.Sorted(maps.Keys(r.Keys)) {
			keys = append(keys, strconv.Quote(array)+": "+strconv.Quote(r.Keys[array]))
		}
		line("keys", "{"+strings.Join(keys, ", ")+"}")
	}
	return "  - " + strings.TrimPrefix(b.String(), "    ")
}

// evidence is what was seen.
func (r Rule) evidence() string {
	of := "one URL"
	if r.URLs > 1 {
		of = fmt.Sprintf("%d URLs", r.URLs)
	}
	by := "one client"
	if r.Clients > 1 {
		by = fmt.Sprintf("%d clients", r.Clients)
	}
	return fmt.Sprintf("%d requests for %s by %s, %d bytes", r.Requests, of, by, r.Bytes)
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
