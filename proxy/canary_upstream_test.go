package proxy

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ServeHTTP is the upstream.
func (a *aviary) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := strings.Split(r.URL.Path, "/")[1]
	passed := r.Header.Get("X-Forwarded-For") != ""
	operator := r.Header.Get("X-Key") != ""
	a.checkSent(name, r, passed, operator)
	if r.Method == http.MethodPost {
		a.tried.add("POST", 1)
		return
	}

	a.mu.Lock()
	mood, n, revoked, tag, late := a.mood, a.n, maps.Clone(a.revoked), a.r.IntN(3) > 0, time.Duration(a.r.IntN(200))*time.Millisecond
	a.mu.Unlock()
	time.Sleep(late)
	who := secretWord.FindAllString(fmt.Sprint(r.Header), -1)
	letter := ""
	if len(who) > 0 {
		letter = who[0][len("canary"):][:1]
	}
	guarded := name == "asked" || name == "same"
	switch {
	case passed:
		a.tried.add("passed through", 1)
	case operator:
		a.tried.add("poll for all", 1)
	case guarded:
		a.tried.add("probe", 1)
	case name == "touched" && letter != "":
		a.tried.add("touch", 1)
	case letter != "":
		a.tried.add("poll for a user", 1)
	default:
		a.tried.add("poll for all", 1)
	}
	if guarded && !operator && (letter == "" || letter == "E" || !revoked[letter].IsZero()) {
		a.tried.add("answer 401", 1)
		http.Error(w, strings.Join(who, " "), http.StatusUnauthorized)
		return
	}
	words, _ := json.Marshal(who)
	body := fmt.Sprintf(`{"for":%s,"n":%d,"list":[1,2,3,%d],"pad":"%0200d"}`, words, n, n%3, 0)
	switch {
	case guarded && name == "asked" && operator:
		body = a.shared("$", n)
	case guarded && name == "same" && (operator || letter == "A" || letter == "B"):
		body = a.shared("=", n)
		tag = false
	}
	shared := operator || letter == "" && !passed // seen by many
	if a.answerBadly(w, r, mood, who, shared) {
		return
	}
	if mood == "private" && shared && name != "same" {
		body = fmt.Sprintf(`{"for":"canary!x","n":%d}`, n)
	}
	w.Header().Set("Content-Type", "application/json")
	if tag { // the same for everybody, which is allowed: a validator belongs to a resource and its Vary
		etag := fmt.Sprintf(`"%d"`, n)
		w.Header().Set("Etag", etag)
		if got := r.Header.Get("If-None-Match"); got != "" && !passed {
			a.tried.add("conditional poll", 1)
			if got == etag && mood != "private" {
				w.WriteHeader(http.StatusNotModified)
				return
			}
		}
	}
	io.WriteString(w, body)
}

// shared is the document that some may see, with the time of it.
func (a *aviary) shared(sign string, n int) string {
	return fmt.Sprintf(`{"word":"canary%sshared","made":"at%d.","n":%d,"pad":"%0200d"}`, sign, int(time.Since(a.began)/time.Second)/3*3, n, 0)
}

// answerBadly answers as the mood is, where that is a whole answer.
func (a *aviary) answerBadly(w http.ResponseWriter, r *http.Request, mood string, who []string, shared bool) bool {
	text := strings.Join(who, " ")
	switch mood {
	case "":
		return false
	case "private":
		a.tried.add("answer marked as private", 1)
		cookie := "canary!cookie"
		if !shared {
			cookie = text
		}
		for name, value := range []map[string]string{{"Cache-Control": "private"}, {"Cache-Control": "no-store, max-age=1"}, {"Vary": "X-Other"}, {"Set-Cookie": "sid=" + cookie}}[len(r.URL.Path)%4] {
			w.Header().Set(name, value)
		}
		return false
	case "Set-Cookie":
		a.tried.add("answer Set-Cookie", 1)
		if !shared {
			w.Header().Set("Set-Cookie", "session="+text)
		}
		return false
	case "slow":
		select {
		case <-time.After(3 * time.Second):
		case <-r.Context().Done():
		}
	case "redirected":
		if r.URL.Path == "/default/who" || r.URL.Query().Get("again") != "" {
			return false
		}
		a.tried.add("answer redirected", 1)
		http.Redirect(w, r, r.URL.Path+"?again=1&"+r.URL.RawQuery, http.StatusFound)
		return true
	case "elsewhere":
		a.tried.add("answer elsewhere", 1)
		http.Redirect(w, r, "http://elsewhere.test/?"+strings.ReplaceAll(text, " ", "&"), http.StatusFound)
		return true
	case "malformed":
		a.tried.add("answer malformed", 1)
		conn, _, err := w.(http.Hijacker).Hijack()
		if err == nil {
			io.WriteString(conn, "HTTP/1.1 200 OK\r\n"+text+"\r\n\r\n"+text)
			conn.Close()
		}
		return true
	case "cut":
		w.Header().Set("Content-Length", "1000")
		io.WriteString(w, text)
		panic(http.ErrAbortHandler)
	case "image":
		w.Header().Set("Content-Type", `image/png; name="`+text+`"`)
		io.WriteString(w, text)
		return true
	default:
		a.tried.add("answer "+mood, 1)
		status, _ := strconv.Atoi(mood)
		http.Error(w, text, status)
		return true
	}
	return false
}

// checkSent looks at a request that has reached the upstream.
func (a *aviary) checkSent(name string, r *http.Request, passed, operator bool) {
	if r.Host != "upstream.test" && !passed {
		a.t.Errorf("a poll for %s at %s", r.Host, r.URL)
	}
	if operator && passed {
		a.t.Errorf("the operator's key was sent with a user's request: %v", r.Header)
	}
	if passed {
		return
	}
	found := secretWord.FindAllStringSubmatch(fmt.Sprint(r.Header), -1)
	owners := make(map[string]bool)
	for _, f := range found {
		if f[1] == "#" {
			continue
		}
		owners[f[1]] = true
		if kind := f[2]; operator || !slices.Contains(kinds[name], kind) {
			a.t.Errorf("%s %s was polled with %s: %v", name, r.URL, f[0], r.Header)
		}
	}
	if u := secretWord.FindStringSubmatch(r.URL.RawQuery); u != nil && len(owners) > 0 {
		owners[u[1]] = true
	}
	if len(owners) > 1 {
		a.t.Errorf("one request for several: %v", r.Header)
	}
}
