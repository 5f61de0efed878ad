package docs

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"pollbridge/config"
	"pollbridge/internal/pipe"
	"pollbridge/proxy"
)

var update = flag.Bool("update", false, "write what is sent now into protocol.md")

// TestConversations plays the conversations of protocol.md with a real proxy,
// in simulated time. Every message has to be as it stands there, but for its
// times, which only have to look as times do.
func TestConversations(t *testing.T) {
	blocks := regexp.MustCompile("(?ms)^```conversation\n.*?^```$")
	text, n := read(t, "protocol.md"), 0
	now := blocks.ReplaceAllStringFunc(text, func(block string) (played string) {
		n++
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { played = converse(t, block) })
		})
		return played
	})
	if n == 0 {
		t.Fatal("protocol.md has no conversations")
	}
	if *update && now != text {
		if err := os.WriteFile("protocol.md", []byte(now), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// A conversation is one block being played: with an API that answers every
// request alike, a proxy in front of it, and one client.
type conversation struct {
	proxy  *proxy.Proxy
	front  *pipe.Listener
	client *websocket.Conn

	mu                sync.Mutex // guards the fields below
	status            int
	contentType, body string
}

const rules = `
upstream: http://api.test
drain: 0s
endpoints: [{path: /api/, interval: 2s, vary: [Authorization]}]
`

// converse plays a block and returns it with the messages that were sent in it.
func converse(t *testing.T, block string) string {
	time.Sleep(time.Until(time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC))) // no year is far away here
	cfg, err := config.Parse("test.yaml", []byte(rules), nil)
	if err != nil {
		t.Fatal(err)
	}
	c := &conversation{front: pipe.Listen(), status: 200}
	back := pipe.Listen()
	transport := back.Transport()
	quiet := slog.NewLogLogger(slog.DiscardHandler, 0)
	api := &http.Server{Handler: c, ErrorLog: quiet}
	go api.Serve(back)
	if c.proxy, err = proxy.New(cfg, proxy.Options{Transport: transport}); err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: c.proxy, ErrorLog: quiet}
	go server.Serve(c.front)
	lines := strings.Split(block, "\n")
	for i, line := range lines[1 : len(lines)-1] {
		got, err := c.step(line)
		if err != nil {
			t.Errorf("%s\n%v", line, err)
			break
		}
		lines[i+1] = got
	}
	if c.client != nil {
		c.client.CloseNow()
	}
	c.proxy.Drain(t.Context())
	c.proxy.Close()
	server.Close()
	transport.CloseIdleConnections()
	api.Close()
	time.Sleep(time.Minute) // until the last timers are over
	return strings.Join(lines, "\n")
}

// ServeHTTP is the API's.
func (c *conversation) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w.Header().Set("Content-Type", c.contentType)
	w.WriteHeader(c.status)
	io.WriteString(w, c.body)
}

// step does what a line says and returns it. A message that differs is an
// error, unless it is to be written: then it is returned.
func (c *conversation) step(line string) (string, error) {
	verb, rest, _ := strings.Cut(line, " ")
	rest = strings.TrimSpace(rest)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	switch verb {
	case "":
		return line, nil
	case "api":
		return line, c.answer(rest)
	case "open":
		return line, c.open(ctx, rest)
	case ">":
		return line, c.client.Write(ctx, websocket.MessageText, []byte(rest))
	case "<":
		_, got, err := c.client.Read(ctx)
		if err == nil && !*update {
			return line, equal(string(got), rest)
		}
		return "<     " + string(got), err
	case "drain":
		go c.proxy.Drain(context.Background())
		return line, nil
	case "closed":
		_, got, err := c.client.Read(ctx)
		var closed websocket.CloseError
		if !errors.As(err, &closed) || fmt.Sprintf("%d %s", closed.Code, closed.Reason) != rest {
			return line, fmt.Errorf("got %s, %v", got, err)
		}
		return line, nil
	}
	return line, fmt.Errorf("unknown step %q", verb)
}

// answer makes the API answer from now on with a status and, if there is one, a
// body: JSON, or text quoted as in Go.
func (c *conversation) answer(rest string) (err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	status, body, _ := strings.Cut(rest, " ")
	c.status, err = strconv.Atoi(status)
	c.body, c.contentType = body, "application/json"
	if quoted, ok := strings.CutPrefix(body, "text "); ok && err == nil {
		c.contentType = "text/csv"
		c.body, err = strconv.Unquote(quoted)
	}
	return err
}

// open opens a socket in the place of the one before.
func (c *conversation) open(ctx context.Context, path string) (err error) {
	if c.client != nil {
		c.client.CloseNow()
	}
	c.client, _, err = websocket.Dial(ctx, "ws://pollbridge.test"+path, &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: &http.Transport{DialContext: c.front.Dial}},
	})
	return err
}

var timestamp = regexp.MustCompile(`"(at|since)":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"`)

// equal compares two messages member by member, times by their form.
func equal(got, want string) error {
	var a, b any
	for v, text := range map[*any]string{&a: got, &b: want} {
		if err := json.Unmarshal([]byte(timestamp.ReplaceAllString(text, `"$1":"time"`)), v); err != nil {
			return fmt.Errorf("%w: %s", err, text)
		}
	}
	if !reflect.DeepEqual(a, b) {
		return fmt.Errorf("got %s", got)
	}
	return nil
}

// codes are the error codes that the code declares: the values of constants
// that are called code… or Code….
func codes(t *testing.T) (found []string) {
	t.Helper()
	inspect(t, func(n ast.Node) {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Names) != 1 || len(spec.Values) != 1 || !regexp.MustCompile("^[cC]ode[A-Z]").MatchString(spec.Names[0].Name) {
			return
		}
		if value, ok := spec.Values[0].(*ast.BasicLit); ok && value.Kind == token.STRING {
			text, _ := strconv.Unquote(value.Value)
			found = append(found, text)
		}
	})
	if len(found) < 10 {
		t.Fatalf("found only %q", found)
	}
	return found
}

// inspect visits all that a client or an operator may be told by: the sources
// of the server, without tests.
func inspect(t *testing.T, visit func(ast.Node)) {
	t.Helper()
	for _, folder := range []string{"..", "../config", "../listen", "../passthrough", "../poller", "../proxy", "../tracing"} {
		files, _ := filepath.Glob(folder + "/*.go")
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(f, func(n ast.Node) bool {
				visit(n)
				return true
			})
		}
	}
}

// TestCodes holds that every code is explained, once for who writes a client
// and once for who is looking for what is wrong.
func TestCodes(t *testing.T) {
	for _, file := range []string{"protocol.md", "troubleshooting.md"} {
		text := read(t, file)
		for _, code := range codes(t) {
			if !strings.Contains(text, "`"+code+"`") {
				t.Errorf("%s does not mention %s", file, code)
			}
		}
	}
}
