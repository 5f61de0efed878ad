package diff

// A table finds items (numbers from 0 on) by a 64-bit hash: open addressing,
// no deletion. Equal hashes are for the caller to tell apart.
type table struct {
	slots []slot
	mask  uint64
}

type slot struct {
	hash uint64
	item int32 // item + 1; 0 is a free slot
}

// reset empties the table and makes room for n items.
func (t *table) reset(n int) {
	size := 8
	for size < 2*n {
		size *= 2
	}
	if size > cap(t.slots) {
		t.slots = make([]slot, size)
	} else {
		t.slots = t.slots[:size]
		clear(t.slots)
	}
	t.mask = uint64(size - 1)
}

// probe returns the first slot at or after at that holds hash, or a free one.
// The first call has at = hash, the next one the last slot + 1.
func (t *table) probe(at, hash uint64) uint64 {
	for at &= t.mask; t.slots[at].item != 0 && t.slots[at].hash != hash; at = (at + 1) & t.mask {
	}
	return at
}
