package probe

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// users says whether the answer is another for another user, where it is
// shared, and whether it could be shared where it is not.
func (t *trial) users() {
	shared := !t.decision.Private
	switch {
	case len(t.o.Header) == 0 && shared && t.decision.AskRule == nil && len(t.Rule.Vary) == 0:
		t.find(Note, "vary", "", "whether the answer differs by user was not tried: give one user's credentials, -H 'Authorization: Bearer ${TOKEN}' or -b 'sid=${SID}'")
	case t.decision.AskRule != nil:
		t.authorized()
	case t.with != nil:
		t.compareWith()
	}
	if t.without != nil && t.with == nil {
		t.compareWithout()
	}
}

// compareWith holds what the rule polls against what a user is given.
func (t *trial) compareWith() {
	if t.with.first.Err != nil {
		t.find(Warning, "", "", "with all the given credentials there is no answer: %s", reason(t.with.first))
		return
	}
	where, differ := t.between(t.plain, *t.with)
	names := slices.Sorted(maps.Keys(t.o.Header))
	switch {
	case differ && len(t.Rule.Vary) == 0:
		t.find(Error, "vary", "vary: "+list(names), "vary: [] shows everybody one answer, and with the given credentials it is another%s", where)
	case differ:
		unnamed := slices.DeleteFunc(names, func(name string) bool { return slices.Equal(t.decision.Poll.Header[name], t.o.Header[name]) })
		t.find(Error, "vary", "vary: "+list(slices.Concat(t.Rule.Vary, unnamed)), "the answer depends on what vary does not name, %s%s", strings.Join(unnamed, ", "), where)
	}
}

// compareWithout says whether those who are polled for one by one could share.
func (t *trial) compareWithout() {
	if t.without.first.Err != nil {
		return // the API asks who it is: as vary has it
	}
	where, differ := t.between(t.plain, *t.without)
	if !differ && t.plain.first.Snapshot.Lines {
		return // perhaps a page that is the same for all who are not let in
	}
	if !differ {
		t.find(Tip, "vary", "vary: []", "the answer is the same with the given credentials and without any: if it is so for all, one poll can serve everybody")
		return
	}
	t.find(Note, "vary", "", "the answer depends on the credentials, as vary says%s", where)
}

// authorized says whether a rule with authorize lets in whom it should.
func (t *trial) authorized() {
	if t.entrance.first.Err == nil {
		t.find(Error, "authorize", "", "the API lets in who has no credentials at all: asking it protects nothing. Is this the URL that it guards?")
	}
	switch {
	case t.with == nil:
		t.find(Note, "authorize", "", "whether users are shown their own answer was not tried: give one user's credentials, -H 'Authorization: Bearer ${TOKEN}' or -b 'sid=${SID}'")
		return
	case t.with.first.Err != nil:
		t.find(Warning, "authorize", "", "the API does not let in who has the given credentials: %s", reason(t.with.first))
		return
	}
	where, differ := t.between(t.plain, *t.with)
	switch {
	case differ && t.Rule.Authorize == "true":
		t.find(Error, "authorize", "authorize: same", "everybody is shown the answer to the rule's own headers, and with the given credentials it is another%s", where)
	case differ:
		t.find(Note, "authorize", "", "with the given credentials the answer is another%s: this user is polled for alone", where)
	}
}

// between reports whether two askers are given different documents, beyond
// what changes between two answers to one of them, and where.
func (t *trial) between(a, b asker) (where string, differ bool) {
	x, y := a.first.Snapshot, b.first.Snapshot
	if x.Lines != y.Lines {
		return "", true
	}
	moving := map[string]bool{}
	for _, one := range []asker{a, b} {
		for _, c := range t.survey(one).Changes {
			moving[c.Pointer] = true
		}
	}
	var pointers []string
	for _, c := range t.differ().Survey(x.Doc, y.Doc).Changes {
		if !moving[c.Pointer] {
			pointers = append(pointers, c.Pointer)
		}
	}
	if x.Lines {
		return "", len(pointers) > 0
	}
	return at(pointers), len(pointers) > 0
}

// at says where, for a sentence.
func at(pointers []string) string {
	const most = 3
	if len(pointers) == 0 || slices.Contains(pointers, "") {
		return ""
	}
	more := ""
	if n := len(pointers) - most; n > 0 {
		pointers, more = pointers[:most], fmt.Sprintf(" and %d more", n)
	}
	return " (" + strings.Join(pointers, ", ") + more + ")"
}
