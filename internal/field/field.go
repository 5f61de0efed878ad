// Package field reads the syntax that HTTP fields share.
package field

import (
	"strconv"
	"strings"
)

// List returns the items of a field that is a comma-separated list, spread
// over any number of lines (RFC 9110, section 5.6.1), in lower case, without
// empty ones. It is for lists of names and the like: an item may not hold a
// comma in quotes.
func List(values []string) []string {
	var items []string
	for _, v := range values {
		for item := range strings.SplitSeq(v, ",") {
			if item = strings.ToLower(strings.TrimSpace(item)); item != "" {
				items = append(items, item)
			}
		}
	}
	return items
}

// AcceptsGzip reports whether Accept-Encoding allows gzip (RFC 9110, section
// 12.5.3).
func AcceptsGzip(values []string) bool {
	quality := 0.0
	for _, item := range List(values) {
		name, params, _ := strings.Cut(item, ";")
		q := Quality(strings.TrimPrefix(strings.ReplaceAll(params, " ", ""), "q="))
		switch strings.TrimSpace(name) {
		case "gzip", "x-gzip":
			return q > 0
		case "*":
			quality = q
		}
	}
	return quality > 0
}

// Quality is the weight that a q parameter gives (RFC 9110, section 12.4.2): 1
// where there is none, 0 where it is not a number.
func Quality(s string) float64 {
	if s == "" {
		return 1
	}
	q, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return 0
	}
	return q
}
