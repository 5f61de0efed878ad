package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
)

// TestConversations plays every script of testdata/wire: the whole proxy
// between an upstream and clients that do what the script says, in simulated
// time. A script is the endpoints of a configuration, a line "---", and then
// steps. What the upstream does:
//
//	answer /path 200 json {"n":1}   its answer from now on; a request that hangs gets it too
//	answer /path 200 text/csv "a\n" the same with another type; the body is quoted as in Go
//	with Name: value                the answer before has this header too
//	hang /path                      it does not answer
//	polls /path 3                   it has been asked three times
//	asked /path Name: value         the last request had this header
//	asked /path no Name             and not this one
//
// What the clients do, here one named a:
//
//	a opens /path | Name: value     with these headers
//	a cannot open /path 403         the handshake is refused
//	a sends {...}                   also: a sends-binary ...
//	a gets {...}                    the next message: "*" is any value, "$x" the same value as wherever $x stands
//	a hears nothing 5s              no message in that time
//	a stops reading, a reads on     a message may be under way
//	a is closed 1001 reason         a is cut off, without a goodbye
//	a leaves
//
// And: wait 2s; drain; {pad} anywhere stands for 300 letters. A client that is
// sent more than the script says fails it.
func TestConversations(t *testing.T) {
	files, _ := filepath.Glob("../testdata/wire/*.txt")
	if len(files) == 0 {
		t.Fatal("no conversations")
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			yaml, steps, ok := strings.Cut(string(text), "\n---\n")
			if !ok {
				t.Fatal("no line --- in the script")
			}
			first := strings.Count(yaml, "\n") + 3
			within(t, yaml+"\n", func(w *world) { play(w, first, strings.ReplaceAll(steps, "{pad}", big)) })
		})
	}
}

// A conversation is one script being played.
type conversation struct {
	w         *world
	upstream  *scripted
	clients   map[string]*scriptedClient
	variables map[string]any
}

func play(w *world, first int, steps string) {
	c := &conversation{w: w, upstream: newScripted(), clients: map[string]*scriptedClient{}, variables: map[string]any{}}
	w.answer(c.upstream.ServeHTTP)
	defer c.upstream.releaseAll()
	for i, line := range strings.Split(steps, "\n") {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		if err := c.step(line); err != nil {
			w.t.Errorf("line %d: %s\n%v", first+i, line, err)
			break
		}
	}
	synctest.Wait()
	for name, cl := range c.clients {
		select {
		case m, ok := <-cl.messages:
			if ok && !w.t.Failed() {
				w.t.Errorf("%s was sent what the script does not have: %s %v", name, m.text, m.err)
			}
		default:
		}
		cl.resume()
		cl.ws.CloseNow()
	}
}

func (c *conversation) step(line string) error {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "answer", "with", "hang", "polls", "asked":
		return c.upstream.step(word, rest)
	case "wait":
		d, err := time.ParseDuration(rest)
		time.Sleep(d)
		return err
	case "drain":
		go c.w.proxy.Drain(context.Background())
		return nil
	}
	verb, rest, _ := strings.Cut(rest, " ")
	cl := c.clients[word]
	if cl == nil && verb != "opens" && verb != "cannot" {
		return fmt.Errorf("there is no client or word %q", word)
	}
	switch verb {
	case "opens":
		ws, res, err := c.dial(rest)
		if err != nil {
			return fmt.Errorf("%w %v", err, res)
		}
		c.clients[word] = listen(ws)
		return nil
	case "cannot":
		rest, status, _ := strings.Cut(strings.TrimPrefix(rest, "open "), " ")
		status, headers, _ := strings.Cut(status, " ")
		ws, res, err := c.dial(rest + " " + headers)
		switch {
		case err == nil:
			ws.CloseNow()
			return errors.New("it can")
		case res == nil || strconv.Itoa(res.StatusCode) != status:
			return fmt.Errorf("refused with %v", res)
		}
		return nil
	}
	return c.act(cl, verb, rest)
}

// act has an open client do something.
func (c *conversation) act(cl *scriptedClient, verb, rest string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	switch verb {
	case "sends":
		return cl.ws.Write(ctx, websocket.MessageText, []byte(c.filled(rest)))
	case "sends-binary":
		return cl.ws.Write(ctx, websocket.MessageBinary, []byte(rest))
	case "gets":
		got, err := cl.next(2 * time.Minute)
		if err != nil {
			return err
		}
		return c.match(got, rest)
	case "hears":
		d, err := time.ParseDuration(strings.TrimPrefix(rest, "nothing "))
		if err != nil {
			return err
		}
		if got, err := cl.next(d); err != errSilence {
			return fmt.Errorf("it hears %s %v", got, err)
		}
		return nil
	case "stops":
		<-cl.reading
		return nil
	case "reads":
		cl.resume()
		return nil
	case "is":
		got, err := cl.next(2 * time.Minute)
		if err == nil {
			return fmt.Errorf("it was sent %s", got)
		}
		var closed websocket.CloseError
		if errors.As(err, &closed) == (rest == "cut off") {
			return err
		}
		if got := fmt.Sprintf("%d %s", closed.Code, closed.Reason); closed.Code != 0 && "closed "+got != rest {
			return fmt.Errorf("it was closed with %q: %v", got, err)
		}
		return nil
	case "leaves":
		cl.ws.CloseNow()
		for m := range cl.messages {
			if m.err == nil {
				return fmt.Errorf("it was sent %s", m.text)
			}
		}
		return nil
	}
	return fmt.Errorf("there is no word %q", verb)
}

func (c *conversation) dial(rest string) (*websocket.Conn, *http.Response, error) {
	parts := strings.Split(rest, "|")
	o := &websocket.DialOptions{HTTPClient: c.w.http, HTTPHeader: http.Header{}}
	for _, p := range parts[1:] {
		name, value, _ := strings.Cut(strings.TrimSpace(p), ": ")
		o.HTTPHeader.Add(name, value)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ws, res, err := websocket.Dial(ctx, "ws://proxy.test"+strings.TrimSpace(parts[0]), o)
	if ws != nil {
		ws.SetReadLimit(-1)
	}
	return ws, res, err
}

// filled puts in what the variables stand for.
func (c *conversation) filled(text string) string {
	for name, v := range c.variables {
		if s, ok := v.(string); ok {
			text = strings.ReplaceAll(text, `"`+name+`"`, `"`+s+`"`)
		}
	}
	return text
}

// match compares a message with what the script has.
func (c *conversation) match(got []byte, like string) error {
	g, err := decoded(got)
	if err != nil {
		return fmt.Errorf("it gets %q: %w", got, err)
	}
	want, err := decoded([]byte(like))
	if err != nil {
		return err
	}
	if where := c.differs(g, want); where != "" {
		return fmt.Errorf("it gets %s\nwhich differs at %s", got, where)
	}
	return nil
}

// differs says where got is not like want; empty where it is.
func (c *conversation) differs(got, want any) string {
	if s, ok := want.(string); ok && s == "*" {
		return ""
	} else if ok && strings.HasPrefix(s, "$") {
		if known, ok := c.variables[s]; ok {
			want = known
		} else {
			c.variables[s] = got
			return ""
		}
	}
	g, isObject := got.(map[string]any)
	w, wantObject := want.(map[string]any)
	if !isObject || !wantObject {
		if reflect.DeepEqual(got, want) {
			return ""
		}
		return fmt.Sprint(want)
	}
	for name, v := range w {
		if _, ok := g[name]; !ok {
			return name + ", which is missing"
		}
		if where := c.differs(g[name], v); where != "" {
			return name + ": " + where
		}
	}
	for name := range g {
		if _, ok := w[name]; !ok {
			return name + ", which is not wanted"
		}
	}
	return ""
}

// decoded reads JSON with numbers as written.
func decoded(text []byte) (v any, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	err = d.Decode(&v)
	return v, err
}

// A scriptedClient reads all the time, as browsers do.
type scriptedClient struct {
	ws       *websocket.Conn
	messages chan frameRead
	reading  chan struct{} // holds one token; without it nothing is read
}

type frameRead struct {
	text []byte
	err  error
}

func listen(ws *websocket.Conn) *scriptedClient {
	cl := &scriptedClient{ws: ws, messages: make(chan frameRead, 10_000), reading: make(chan struct{}, 1)}
	cl.reading <- struct{}{}
	go func() {
		defer close(cl.messages)
		for {
			<-cl.reading
			cl.reading <- struct{}{}
			kind, text, err := ws.Read(context.Background())
			if err == nil && kind != websocket.MessageText {
				err = fmt.Errorf("a frame that is not text: %q", text)
			}
			cl.messages <- frameRead{text, err}
			if err != nil {
				return
			}
		}
	}()
	return cl
}

func (cl *scriptedClient) resume() {
	select {
	case cl.reading <- struct{}{}:
	default:
	}
}

var errSilence = errors.New("it is sent nothing")

func (cl *scriptedClient) next(within time.Duration) ([]byte, error) {
	select {
	case m, ok := <-cl.messages:
		if !ok {
			return nil, errors.New("the connection has ended before")
		}
		return m.text, m.err
	case <-time.After(within):
		return nil, errSilence
	}
}

// A scripted upstream answers by path and query.
type scripted struct {
	last    *answered // what "with" adds to
	answers chan map[string]*answered
}

// An answered path; change is closed when there is another answer.
type answered struct {
	status   int
	header   http.Header
	body     string
	hangs    bool
	change   chan struct{}
	requests []*http.Request
}

func newScripted() *scripted {
	s := &scripted{answers: make(chan map[string]*answered, 1)} // a mutex that simulated time can pass by
	s.answers <- map[string]*answered{}
	return s
}

func (s *scripted) step(word, rest string) error {
	all := <-s.answers
	defer func() { s.answers <- all }()
	if word == "with" {
		name, value, _ := strings.Cut(rest, ": ")
		s.last.header.Add(name, value)
		return nil
	}
	path, rest, _ := strings.Cut(rest, " ")
	old := all[path]
	if old == nil {
		old = &answered{change: make(chan struct{})}
	}
	switch word {
	case "answer", "hang":
		a := &answered{status: 200, header: http.Header{}, hangs: word == "hang", change: make(chan struct{}), requests: old.requests}
		if word == "answer" {
			if err := a.parse(rest); err != nil {
				return err
			}
		}
		all[path], s.last = a, a
		close(old.change)
	case "polls":
		if got := strconv.Itoa(len(old.requests)); got != rest {
			return fmt.Errorf("it was asked %s times", got)
		}
	case "asked":
		if len(old.requests) == 0 {
			return errors.New("it was not")
		}
		return carries(old.requests[len(old.requests)-1].Header, rest)
	}
	return nil
}

func carries(h http.Header, rest string) error {
	if name, ok := strings.CutPrefix(rest, "no "); ok {
		if v, ok := h[name]; ok {
			return fmt.Errorf("with %s: %q", name, v)
		}
		return nil
	}
	name, value, _ := strings.Cut(rest, ": ")
	if got := strings.Join(h[name], " / "); got != value {
		return fmt.Errorf("with %s: %s", name, got)
	}
	return nil
}

func (a *answered) parse(rest string) (err error) {
	status, rest, _ := strings.Cut(rest, " ")
	if a.status, err = strconv.Atoi(status); err != nil {
		return err
	}
	kind, body, _ := strings.Cut(rest, " ")
	switch kind {
	case "":
	case "json":
		a.header.Set("Content-Type", "application/json")
		a.body = body
		return nil
	default:
		a.header.Set("Content-Type", kind)
		a.body, err = strconv.Unquote(body)
	}
	return err
}

// releaseAll answers what hangs.
func (s *scripted) releaseAll() {
	all := <-s.answers
	for path, a := range all {
		if a.hangs {
			all[path] = &answered{status: 500, change: make(chan struct{}), requests: a.requests}
			close(a.change)
		}
	}
	s.answers <- all
}

func (s *scripted) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for first := true; ; first = false {
		all := <-s.answers
		a := all[r.URL.RequestURI()]
		if a == nil {
			a = &answered{status: 404, change: make(chan struct{})}
			all[r.URL.RequestURI()] = a
		}
		if first {
			a.requests = append(a.requests, r)
		}
		hangs, change := a.hangs, a.change
		status, header, body := a.status, a.header.Clone(), a.body
		s.answers <- all
		if hangs {
			select {
			case <-change:
				continue
			case <-r.Context().Done():
				return
			}
		}
		for name, values := range header {
			w.Header()[name] = values
		}
		w.WriteHeader(status)
		io.WriteString(w, body)
		return
	}
}
