package diff

// MergePatch returns the JSON Merge Patch (RFC 7396) from old to new.
//
// It is nil where a merge patch cannot say the change, because a member is
// set to null, which to RFC 7396 is its removal; and where it is not smaller
// than new's compact form, as when most of the document is an array, which
// can only be sent whole.
func (d *Differ) MergePatch(old, new *Document) []byte {
	s := scratches.Get().(*scratch)
	defer s.release()
	s.follower.alignOnly(old, new.raw)
	return s.patcher.mergePatch(old, new, s.follower.alignment)
}

func (s *patcher) mergePatch(old, new *Document, known alignment) []byte {
	s.begin(nil, old, new, known)
	a, b := old.root(), new.root()
	if !s.objects(a, b) || !s.merge(a, b) {
		return nil
	}
	return s.finish()
}

// objects reports whether both values are objects.
func (s *patcher) objects(a, b value) bool {
	return a.node >= 0 && b.node >= 0 && s.old.raw[a.start] == '{' && s.new.raw[b.start] == '{'
}

// merge writes the merge patch between two objects. It reports whether there
// is one, within the limit.
func (s *patcher) merge(a, b value) bool {
	base, mid := s.pairMembers(s.old.cursor(a), s.new.cursor(b))
	end := len(s.sides)
	defer func() { s.sides = s.sides[:base] }()
	s.out = append(s.out, '{')
	first := len(s.out)
	for i := base; i < end; i++ {
		m, mate := s.sides[i].member, s.sides[i].mate
		gone := i < mid && mate == alone
		if mate == dead || i < mid && !gone {
			continue
		}
		both := mate >= 0 && s.objects(s.sides[mate].value, m.value)
		if mate >= 0 && (both && s.equal(s.sides[mate].value, m.value) || !both && s.same(s.sides[mate].value, m.value, nil)) {
			continue
		}
		mark := len(s.out)
		if len(s.out) > first {
			s.out = append(s.out, ',')
		}
		s.out = append(append(append(s.out, '"'), s.sideName(i, mid)...), `":`...)
		switch {
		case gone:
			s.out = append(s.out, "null"...)
		case both:
			value := len(s.out)
			if !s.merge(s.sides[mate].value, m.value) {
				return false
			}
			if len(s.out) == value+len("{}") {
				s.out = s.out[:mark] // the same, written otherwise
			}
		case s.holdsNull(m.value):
			return false
		default:
			s.out = s.new.appendValue(s.out, m.value)
		}
		if len(s.out) > s.limit {
			return false
		}
	}
	s.out = append(s.out, '}')
	return true
}

// holdsNull reports whether a merge patch would lose something of v: null
// itself, and in objects the members that are null. Arrays are sent as they
// are.
func (s *patcher) holdsNull(v value) bool {
	if v.node < 0 {
		return s.new.raw[v.start] == 'n'
	}
	if s.new.raw[v.start] == '[' {
		return false
	}
	for c := s.new.cursor(v); ; {
		m, ok := c.next()
		if !ok || s.holdsNull(m.value) {
			return ok
		}
	}
}
