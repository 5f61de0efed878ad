package diff

// lcs finds a longest common subsequence: Myers, "An O(ND) Difference
// Algorithm and Its Variations", Algorithmica 1 (1986), the greedy form. The
// cost is bounded; two sequences that differ too much have none.
type lcs struct {
	class    []int32 // of old, by position: the first like it, or -1
	wanted   []bool  // by position: there is one like it in new
	old, new []element
	trace    []int32
}

// An element has a number and a class; elements of one class are alike.
type element struct{ number, class int32 }

func (l *lcs) reset(n int) {
	l.old, l.new, l.class, l.wanted = l.old[:0], l.new[:0], l.class[:0], l.wanted[:0]
	for range n {
		l.class = append(l.class, -1)
		l.wanted = append(l.wanted, false)
	}
}

// maxEdits bounds the differences that are looked for, so that the work stays
// within a small multiple of the length.
func (l *lcs) maxEdits() int {
	n := len(l.old) + len(l.new)
	return min(n, max(16, min(256, 1<<18/(n+1))))
}

// align calls pair for the elements of the subsequence, from the last to the
// first. Where there are too many differences it calls it for none.
func (l *lcs) align(pair func(i, j int)) {
	a, b := l.old, l.new
	l.trace = l.trace[:0]
	for d, limit := 0, l.maxEdits(); d <= limit; d++ {
		for k := -d; k <= d; k += 2 {
			x, _ := l.enter(d, k)
			for x < len(a) && x-k < len(b) && a[x].class == b[x-k].class {
				x++
			}
			l.trace = append(l.trace, int32(x))
			if x >= len(a) && x-k >= len(b) {
				l.walk(d, k, pair)
				return
			}
		}
	}
}

// reach is how far diagonal k got after d edits: the furthest x, where y is
// x - k. Row d of the trace has the d+1 diagonals from -d to d that can be.
func (l *lcs) reach(d, k int) int { return int(l.trace[d*(d+1)/2+(k+d)/2]) }

// enter is where diagonal k is entered with the d-th edit, and whether by a
// step in old (from diagonal k-1) rather than in new.
func (l *lcs) enter(d, k int) (x int, inOld bool) {
	switch {
	case d == 0:
		return 0, false
	case k == -d || k < d && l.reach(d-1, k-1) < l.reach(d-1, k+1):
		return l.reach(d-1, k+1), false
	}
	return l.reach(d-1, k-1) + 1, true
}

// walk follows the trace back from the end, on diagonal k after d edits.
func (l *lcs) walk(d, k int, pair func(i, j int)) {
	for x := len(l.old); d >= 0; d-- {
		start, inOld := l.enter(d, k)
		for ; x > start; x-- {
			pair(int(l.old[x-1].number), int(l.new[x-1-k].number))
		}
		if inOld {
			k, x = k-1, start-1
		} else {
			k++
		}
	}
}
