// Package field reads the syntax that HTTP fields share.
package field

import "strings"

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
