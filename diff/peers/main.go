// Command peers measures package diff beside its peers, feed by feed and pair
// by pair, and prints the table of docs/performance.md. It is a module of its
// own so that the product does not depend on the peers.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/wI2L/jsondiff"
	"pollbridge/diff"
)

// A row is what was measured of one feed: sums over its pairs.
type row struct {
	feed                    string
	pairs                   int
	size, compact, changed  int // bytes: of the new documents, the same compact, the patches
	next, diff, wi2l, valid time.Duration
	values                  time.Duration // wi2l, but for writing its patch as JSON
	equal, parse            time.Duration // see printMeans
	allocs                  float64
	memory                  float64 // of the documents held, per byte of text
	sparse                  bool
	sizes                   map[string]int // patch bytes over the sampled pairs
	wrong                   map[string]int
	sampled, ours           int // over those pairs
}

func main() {
	corpus := flag.String("corpus", "../../../shared/corpus", "a folder of feeds, each a folder of successive responses")
	timed := flag.Int("pairs", 12, "pairs of each feed to time")
	sized := flag.Int("sizes", 3, "pairs of each feed to compare patch sizes on")
	only := flag.String("feed", "", "this feed only")
	npm := flag.Bool("rfc6902", true, "measure the npm package rfc6902 too, if node and npm are there")
	flag.Parse()
	feeds := readFeeds(*corpus, *only)
	if len(feeds) == 0 {
		fmt.Fprintf(os.Stderr, "no feeds in %s\n", *corpus)
		os.Exit(1)
	}
	printHead()
	var rows []*row
	js := &node{on: *npm}
	defer js.close()
	for _, f := range feeds {
		r := &row{feed: f.name, sizes: map[string]int{}, wrong: map[string]int{}}
		f.time(r, *timed)
		r.print()
		rows = append(rows, r)
	}
	printMeans(rows)
	for i, f := range feeds {
		r := rows[i]
		if *sized > 0 {
			f.measure(r, *sized, js)
		}
	}
	printSizes(rows)
}

// A feed is the successive responses of one endpoint.
type feed struct {
	name  string
	polls [][]byte
}

func readFeeds(corpus, only string) (feeds []feed) {
	dirs, _ := filepath.Glob(filepath.Join(corpus, "*"))
	for _, dir := range dirs {
		files, _ := filepath.Glob(filepath.Join(dir, "[0-9]*.json"))
		f := feed{name: filepath.Base(dir)}
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err == nil && json.Valid(b) {
				f.polls = append(f.polls, b)
			}
		}
		if len(f.polls) > 1 && (only == "" || only == f.name) {
			feeds = append(feeds, f)
		}
	}
	return feeds
}

// spread returns up to n numbers from 1 to last, evenly.
func spread(last, n int) (list []int) {
	n = min(n, last)
	for i := range n {
		list = append(list, 1+i*last/n)
	}
	return list
}

var differ *diff.Differ

func (f feed) time(r *row, n int) {
	for _, i := range spread(len(f.polls)-1, n) {
		old, new := f.polls[i-1], f.polls[i]
		doc := f.held(i - 1)
		next, patch, err := differ.Next(doc, new)
		check(err)
		if next == doc {
			continue
		}
		r.pairs++
		r.size += len(new)
		whole := next.AppendCompact(nil)
		if r.compact += len(whole); patch == nil {
			patch = whole
		}
		r.changed += len(patch)
		r.memory += float64(next.Size()) / float64(len(new))
		twin := bytes.Clone(new)
		r.equal += cost(func() { bytes.Equal(new, twin) })
		r.parse += cost(func() { differ.Parse(new) })
		r.next += cost(func() { differ.Next(doc, new) })
		r.valid += cost(func() { json.Valid(new) })
		r.diff += cost(func() { differ.Diff(old, new) })
		r.wi2l += cost(func() { p, _ := jsondiff.CompareJSON(old, new); json.Marshal(p) })
		r.values += cost(func() { jsondiff.CompareJSON(old, new) })
		r.allocs += allocations(func() { differ.Next(doc, new) })
	}
	r.sparse = r.size/r.pairs >= 500_000 && float64(r.changed)/float64(r.size) < 0.01
}

// held is the document as a poller holds it: with what the poll before has left.
func (f feed) held(i int) *diff.Document {
	doc, err := differ.Parse(f.polls[max(0, i-1)])
	check(err)
	if i > 0 && !bytes.Equal(f.polls[i-1], f.polls[i]) {
		next, _, err := differ.Next(doc, f.polls[i])
		check(err)
		if next != doc {
			return next
		}
		doc, err = differ.Parse(f.polls[i])
		check(err)
	}
	return doc
}

func allocations(f func()) float64 {
	var a, b runtime.MemStats
	f()
	runtime.ReadMemStats(&a)
	for range 5 {
		f()
	}
	runtime.ReadMemStats(&b)
	return float64(b.Mallocs-a.Mallocs) / 5
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// measure compares the sizes of patches.
func (f feed) measure(r *row, n int, js *node) {
	for _, i := range spread(len(f.polls)-1, n) {
		old, new := f.polls[i-1], f.polls[i]
		doc, err := differ.Parse(old)
		check(err)
		next, patch, err := differ.Next(doc, new)
		check(err)
		if next == doc {
			continue
		}
		r.sampled++
		if patch == nil {
			patch = next.AppendCompact(nil)
		} else if bad := apply(old, new, patch); bad != nil {
			r.wrong["ours"]++
			fmt.Fprintf(os.Stderr, "%s %d: %v\n", f.name, i, bad)
		}
		r.ours += len(patch)
		for name, p := range wi2l(old, new) {
			r.add(name, old, new, p)
		}
		if p := js.diff(old, new); p != nil {
			r.add("rfc6902", old, new, p)
		}
	}
	for name := range r.sizes {
		if r.wrong[name] > 0 || r.wrong[name+"#"] != r.sampled {
			delete(r.sizes, name)
		}
	}
}

func (r *row) add(name string, old, new, patch []byte) {
	r.wrong[name+"#"]++
	if patch == nil || apply(old, new, patch) != nil {
		r.wrong[name]++
		return
	}
	r.sizes[name] += len(patch)
}

// wi2l returns the patches of jsondiff's options by name; nil where it fails
// or would take too long.
func wi2l(old, new []byte) map[string][]byte {
	patches := map[string][]byte{}
	for bits := range 8 {
		var options []jsondiff.Option
		name := "wI2L"
		for b, o := range []struct {
			name string
			opt  jsondiff.Option
		}{{"lcs", jsondiff.LCS()}, {"fact", jsondiff.Factorize()}, {"rat", jsondiff.Rationalize()}} {
			if bits>>b&1 == 1 {
				name += "+" + o.name
				options = append(options, o.opt)
			}
		}
		if len(new) > 1_500_000 && bits > 0 {
			continue // minutes, or a table of 10^8 cells
		}
		patches[name] = compare(old, new, options)
	}
	return patches
}

func compare(old, new []byte, options []jsondiff.Option) (patch []byte) {
	defer func() {
		if recover() != nil {
			patch = nil
		}
	}()
	p, err := jsondiff.CompareJSON(old, new, options...)
	if err != nil {
		return nil
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(p) != nil {
		return nil
	}
	return bytes.TrimSpace(b.Bytes())
}

func printHead() {
	fmt.Println("processor time of one comparison, microseconds, garbage collection included, from two texts to the text of a patch; values: jsondiff without writing it")
	fmt.Println()
	fmt.Printf("| %-18s | %5s | %9s | %8s | %8s | %9s | %9s | %9s | %7s | %8s | %6s | %6s | %6s | %6s | %6s |\n", "feed", "pairs", "bytes",
		"Next", "Diff", "wI2L", "values", "Valid", "Equal", "Parse", "wI2L/N", "wI2L/D", "N/Valid", "allocs", "memory")
	fmt.Println("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
}

// micro is the mean of a pair, in microseconds.
func (r *row) micro(d time.Duration) float64 {
	return float64(d.Nanoseconds()) / 1000 / float64(r.pairs)
}

func (r *row) print() {
	n, d, w, v := r.micro(r.next), r.micro(r.diff), r.micro(r.wi2l), r.micro(r.valid)
	mark := ""
	if r.sparse {
		mark = " (sparse)"
	}
	fmt.Printf("| %-18s | %5d | %9d | %8.1f | %8.1f | %9.1f | %9.1f | %9.1f | %7.2f | %8.1f | %6.1f | %6.1f | %6.3f | %6.1f | %6.2f |%s\n", r.feed, r.pairs,
		r.size/r.pairs, n, d, w, r.micro(r.values), v, r.micro(r.equal), r.micro(r.parse), w/n, w/d, n/v, r.allocs/float64(r.pairs), r.memory/float64(r.pairs), mark)
}

func printMeans(rows []*row) {
	ratio := func(of, to func(*row) time.Duration) (ratios []float64) {
		for _, r := range rows {
			ratios = append(ratios, float64(of(r))/float64(to(r)))
		}
		return ratios
	}
	next, diff := func(r *row) time.Duration { return r.next }, func(r *row) time.Duration { return r.diff }
	wi2l, values := func(r *row) time.Duration { return r.wi2l }, func(r *row) time.Duration { return r.values }
	once := func(r *row) time.Duration { return r.equal + r.parse }
	twice := func(r *row) time.Duration {
		if 2*r.changed > r.compact { // nearly all of the other must be read, too
			return r.equal + 2*r.parse
		}
		return r.equal + r.parse
	}
	valid := ratio(next, func(r *row) time.Duration { return r.valid })
	fmt.Printf("\ngeometric means: wI2L/Next %.1f, wI2L/Diff %.1f, Next/Valid %.3f; worst Next/Valid %.2f\n\n",
		geomean(ratio(wi2l, next)), geomean(ratio(wi2l, diff)), geomean(valid), slices.Max(valid))
	fmt.Printf("without writing its patch: wI2L/Next %.1f, wI2L/Diff %.1f\n\n", geomean(ratio(values, next)), geomean(ratio(values, diff)))
	fmt.Printf("were Diff nothing but reading one document and comparing: wI2L/(Equal+Parse) %.1f; and both where the patch is more than half of the document %.1f\n\n",
		geomean(ratio(wi2l, once)), geomean(ratio(wi2l, twice)))
}

func printSizes(rows []*row) {
	fmt.Println("mean bytes of a patch, over sampled pairs; only options whose patches were all right")
	fmt.Println()
	fmt.Printf("| %-18s | %5s | %9s | %9s | %-16s | %9s | %6s |\n", "feed", "pairs", "ours", "best peer", "(which)", "rfc6902", "ratio")
	fmt.Println("|---|---:|---:|---:|---|---:|---:|")
	ours, best := 0.0, 0.0
	for _, r := range rows {
		if len(r.sizes) == 0 || r.sampled == 0 {
			continue
		}
		which := ""
		for name, size := range r.sizes {
			if which == "" || size < r.sizes[which] || size == r.sizes[which] && name < which {
				which = name
			}
		}
		per := float64(r.sampled)
		o, b := float64(r.ours)/per, float64(r.sizes[which])/per
		ours, best = ours+o, best+b
		fmt.Printf("| %-18s | %5d | %9.0f | %9.0f | %-16s | %9s | %6.3f |\n", r.feed, r.sampled, o, b,
			strings.TrimPrefix(which, "wI2L+"), r.mean("rfc6902"), o/b)
	}
	fmt.Printf("\nin sum %.0f of %.0f bytes: %.3f\n", ours, best, ours/best)
}

func (r *row) mean(name string) string {
	if size, ok := r.sizes[name]; ok {
		return fmt.Sprint(size / r.sampled)
	}
	return "-"
}

func geomean(list []float64) float64 {
	sum := 0.0
	for _, x := range list {
		sum += math.Log(x)
	}
	return math.Exp(sum / float64(len(list)))
}
