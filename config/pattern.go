package config

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// rulePath is a ServeMux pattern without method and host that some request can match.
var rulePath = kind[string]{"a net/http ServeMux pattern without method or host, such as /api/stations/{region}", textLike(`/[^?# \t]*`), func(text string) (string, error) {
	if !strings.HasPrefix(text, "/") {
		switch i := strings.IndexAny(text, " \t/"); {
		case i < 0:
			return "", errors.New("it does not begin with /")
		case text[i] == '/' && strings.ContainsAny(text[:i], ".:"):
			return "", errors.New("it begins with a host")
		case text[i] == '/':
			return "", errors.New("it does not begin with /")
		}
		return "", errors.New("it begins with a method")
	}
	return text, usable(text)
}}

// socketPath is one path and no pattern.
var socketPath = kind[string]{"a path such as / or /socket", textLike(`/[^{}%?# \t]*`), func(text string) (string, error) {
	if !strings.HasPrefix(text, "/") || strings.ContainsAny(text, "{}%") || usable(text) != nil {
		return "", errKind
	}
	return text, nil
}}

// writes are the methods whose passing makes the proxy poll.
var writes = []string{"POST", "PUT", "PATCH", "DELETE"}

// writePattern is a method and a pattern.
var writePattern = kind[string]{"POST, PUT, PATCH or DELETE, one space, and a path such as /api/orders/{id}", textLike(`(POST|PUT|PATCH|DELETE) /[^?# \t]*`), func(text string) (string, error) {
	method, path, _ := strings.Cut(text, " ")
	switch {
	case slices.Contains(writes, strings.ToUpper(method)) && !slices.Contains(writes, method):
		return "", errors.New("methods are in upper case")
	case !slices.Contains(writes, method) || !strings.HasPrefix(path, "/"):
		return "", errKind
	}
	return text, usable(path)
}}

// usable asks ServeMux itself, whose silence is not enough: it takes patterns that its own cleaning of paths
// keeps any request from reaching. usable returns why a pattern that begins with "/" is refused by ServeMux or can never match.
func usable(pattern string) error {
	switch {
	case strings.ContainsAny(pattern, "?#"):
		return errors.New("a query or fragment is no part of a pattern: every query matches")
	case strings.ContainsAny(pattern, " \t"):
		return errors.New("a space in a path is written %20")
	}
	for segment := range strings.SplitSeq(pattern, "/") {
		if otherWildcard.MatchString(segment) {
			return fmt.Errorf("%s is no wildcard here: {name} is any one segment, {name...} all that follow; percent-encoded it stands for itself", segment)
		}
	}
	mux := http.NewServeMux()
	if err := register(mux, pattern); err != nil {
		return err
	}
	if !matchesItself(mux, pattern) {
		return errors.New("no request can match it: paths are matched when clean, without //, /./, /../, and a % begins an escape such as %2F")
	}
	return nil
}

// otherWildcard is a segment that other routers take for a wildcard. To ServeMux
// it is a text, which no request has in that place.
var otherWildcard = regexp.MustCompile(`^(\*\*?|:\w+|<.*>)$`)

var wildcard = regexp.MustCompile(`\{[^}]*\}`)

// matchesItself reports whether mux, in which the pattern alone is registered, finds it
// for the request that is spelled as the pattern is.
func matchesItself(mux *http.ServeMux, pattern string) bool {
	sample := wildcard.ReplaceAllStringFunc(pattern, func(name string) string {
		if name == "{$}" {
			return ""
		}
		return "x"
	})
	u, err := url.ParseRequestURI(sample)
	if err != nil {
		return false
	}
	h, _ := mux.Handler(&http.Request{Method: "GET", URL: u})
	_, found := h.(matched)
	return found
}

// matched is the handler of every pattern, to tell a match from the redirects that ServeMux makes up.
type matched struct{}

func (matched) ServeHTTP(http.ResponseWriter, *http.Request) {}

// A conflict is ServeMux's reason for refusing a pattern beside one that it has.
type conflict struct {
	with   string // the other pattern
	reason string // one line
}

func (c conflict) Error() string { return "conflicts with " + strconv.Quote(c.with) + ": " + c.reason }

var (
	parsing     = regexp.MustCompile(`(?s)^parsing ".*": (?:at offset \d+: )?(.*?)(?: ".*")?$`)
	conflicting = regexp.MustCompile(`(?s)^pattern .* conflicts with pattern (".*") \(registered at [^\n]*\):\n(.*)$`)
)

// register adds a pattern to mux and returns as an error what ServeMux panics with:
// a conflict, or what is wrong with the pattern itself, without quoting it.
func register(mux *http.ServeMux, pattern string) (err error) {
	defer func() {
		refused := recover()
		if refused == nil {
			return
		}
		text := fmt.Sprint(refused)
		err = errors.New(parsing.ReplaceAllString(text, "$1"))
		if m := conflicting.FindStringSubmatch(text); m != nil {
			if with, failed := strconv.Unquote(m[1]); failed == nil {
				err = conflict{with, strings.ReplaceAll(m[2], "\n", " ")}
			}
		}
	}()
	mux.Handle(pattern, matched{})
	return nil
}
