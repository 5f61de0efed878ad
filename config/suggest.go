package config

import "strings"

// names are the object's keys, as a message lists them.
func (o object) names() string {
	var names []string
	for _, f := range o {
		names = append(names, f.name)
	}
	return strings.Join(names, ", ")
}

// suggest says which known key an unknown one may be meant for, or which there are.
func (o object) suggest(word string) string {
	best, least := "", 3
	for _, f := range o {
		if n := distance(squash(word), squash(f.name)); n < least && n < len(f.name)/2+1 {
			best, least = f.name, n
		}
	}
	if best != "" {
		return "did you mean " + best + "?"
	}
	return "allowed: " + o.names()
}

var separators = strings.NewReplacer("_", "", "-", "", " ", "")

// squash drops what a hurried writer gets wrong without noticing: max-interval, MaxInterval.
func squash(key string) string {
	return strings.ToLower(separators.Replace(key))
}

// distance is Levenshtein's between two short words, 1<<10 where one is long.
func distance(a, b string) int {
	const far = 1 << 10
	if len(a) > 40 || len(b) > 40 {
		return far
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substituted := diagonal
			if a[i] != b[j] {
				substituted++
			}
			diagonal = row[j+1]
			row[j+1] = min(substituted, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
