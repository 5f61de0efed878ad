package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"pollbridge/config"
)

// An accessLine is a line of the access log.
type accessLine struct {
	Msg, Method, Path, Client, Rule, Transport, Cache, Closed string
	Status                                                    int
	Bytes                                                     int64
	Duration                                                  float64 `json:"duration_ms"`
	Trace                                                     string  `json:"trace_id"`
}

func accessLines(t *testing.T, log string) (lines []accessLine) {
	t.Helper()
	for text := range strings.Lines(log) {
		var l accessLine
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		if l.Msg == "request" {
			lines = append(lines, l)
		}
	}
	return lines
}

// exchange sends a request as it stands on a connection of its own and returns
// what comes back until that is over, or until it contains a text.
func exchange(t *testing.T, address, request, until string) string {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	io.WriteString(c, strings.ReplaceAll(request, "\n", "\r\n"))
	var got bytes.Buffer
	for b := make([]byte, 4<<10); until == "" || !strings.Contains(got.String(), until); {
		n, err := c.Read(b)
		got.Write(b[:n])
		if err == io.EOF && until == "" {
			break
		}
		if err != nil {
			t.Fatalf("%v after %q", err, got.String())
		}
	}
	return got.String()
}

// TestAccessLog holds what the line says about a request of each kind, and that
// nothing secret is in the log at all.
func TestAccessLog(t *testing.T) {
	t.Parallel()
	const secret = "hunter2"
	legacy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Upgrade") != "":
			conn, _, _ := http.NewResponseController(w).Hijack()
			io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello")
			conn.Close()
		case r.URL.Path == "/drip": // what is flushed has to arrive before the answer ends
			w.Header().Set("Content-Length", "10")
			io.WriteString(w, "first")
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		case r.URL.Path == "/api/orders":
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, `["order"]`)
		case r.Method == http.MethodPost:
			body, _ := io.ReadAll(r.Body)
			w.WriteHeader(http.StatusCreated)
			w.Write(body)
		default:
			http.Error(w, "no "+secret, http.StatusNotFound)
		}
	}))
	t.Cleanup(legacy.Close)
	dir := writeConfig(t, "listen: 127.0.0.1:0\nadmin: ''\nupstream: "+legacy.URL+"\ntrusted_proxies: [127.0.0.0/8]\nlog: {level: debug, format: json, access: true}\n"+
		"endpoints: [{path: '/api/{what}', interval: 1h, vary: [], headers: {X-Key: "+secret+"}}]\ncompression: false\n")
	p := start(t, dir, "serve")
	address := p.errors.wait(t, `"listen":"([^"]+)"`)[1]
	const common = "Host: example.com\nCookie: sid=" + secret + "\nAuthorization: Bearer " + secret + "\nX-Forwarded-For: 192.0.2.7\n"
	const upgrade = "Connection: Upgrade\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: aHVudGVyMmh1bnRlcjIhIQ==\nUpgrade: websocket\n"
	for _, c := range []struct {
		request, until string
		want           accessLine
		bytes          bool // some, and not said how many
	}{
		{request: "POST /plain?key=" + secret + " HTTP/1.1\nConnection: close\nContent-Length: 5\nTraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\n" + common + "\nhello",
			want: accessLine{Method: "POST", Path: "/plain?…", Status: 201, Bytes: 5, Transport: "pass", Trace: "0af7651916cd43dd8448eb211c80319c"}},
		{request: "GET /api/nothing HTTP/1.1\nConnection: close\n" + common + "\n",
			want: accessLine{Method: "GET", Path: "/api/nothing", Status: 404, Bytes: 11, Transport: "pass", Rule: "/api/{what}"}},
		{request: "GET /api/orders HTTP/1.1\nConnection: close\n" + common + "\n",
			want: accessLine{Method: "GET", Path: "/api/orders", Status: 200, Bytes: 9, Transport: "get", Rule: "/api/{what}", Cache: "uri-miss"}},
		{request: "GET /api/orders?_=" + secret + " HTTP/1.1\nConnection: close\n" + common + "\n",
			want: accessLine{Method: "GET", Path: "/api/orders?…", Status: 200, Bytes: 9, Transport: "get", Rule: "/api/{what}", Cache: "hit"}},
		{request: "HEAD /api/orders HTTP/1.1\nConnection: close\n" + common + "\n",
			want: accessLine{Method: "HEAD", Path: "/api/orders", Status: 200, Transport: "get", Rule: "/api/{what}", Cache: "hit"}},
		{request: "GET /api/orders HTTP/1.1\nConnection: close\nPrefer: wait=1\nIf-None-Match: \"x\"\n" + common + "\n",
			want: accessLine{Method: "GET", Path: "/api/orders", Status: 200, Bytes: 9, Transport: "longpoll", Rule: "/api/{what}", Cache: "hit"}},
		{request: "GET /api/orders HTTP/1.1\nAccept: text/event-stream\n" + common + "\n", until: `["order"]`, bytes: true,
			want: accessLine{Method: "GET", Path: "/api/orders", Status: 200, Transport: "events", Rule: "/api/{what}"}},
		{request: "GET /api/orders HTTP/1.1\n" + upgrade + common + "\n", until: `["order"]`, bytes: true,
			want: accessLine{Method: "GET", Path: "/api/orders", Status: 101, Closed: "client", Transport: "websocket", Rule: "/api/{what}"}},
		{request: "GET / HTTP/1.1\n" + upgrade + common + "\n", until: "\r\n\r\n",
			want: accessLine{Method: "GET", Path: "/", Status: 101, Closed: "client", Transport: "websocket"}},
		{request: "GET / HTTP/1.1\nConnection: close\nOrigin: https://" + secret + "@app.example/" + secret + "\n" + upgrade + common + "\n", bytes: true,
			want: accessLine{Method: "GET", Path: "/", Status: 403, Transport: "websocket"}},
		{request: "GET /chat HTTP/1.1\n" + upgrade + common + "\n",
			want: accessLine{Method: "GET", Path: "/chat", Status: 101, Bytes: 5, Transport: "pass"}},
		{request: "GET /drip HTTP/1.1\n" + common + "\n", until: "first",
			want: accessLine{Method: "GET", Path: "/drip", Status: 200, Bytes: 5, Transport: "pass"}},
	} {
		before := len(accessLines(t, whole(p.errors.String())))
		exchange(t, address, c.request, c.until)
		p.errors.wait(t, fmt.Sprintf(`(?s)("msg":"request".*){%d}\n`, before+1))
		got := accessLines(t, whole(p.errors.String()))[before]
		if c.bytes && got.Bytes > 0 {
			got.Bytes = 0
		}
		if got.Duration <= 0 || got.Duration > 60e3 {
			t.Errorf("%.40q: duration_ms is %g", c.request, got.Duration)
		}
		got.Duration, got.Msg = 0, ""
		c.want.Client = "192.0.2.7"
		if got != c.want {
			t.Errorf("%.60q:\ngot  %+v\nwant %+v", c.request, got, c.want)
		}
	}
	if log := p.errors.String(); strings.Contains(log, secret) {
		t.Errorf("the log has %q:\n%s", secret, log)
	}
	checkAccessFields(t, p.errors.wait(t, `(?m)^.*"msg":"request".*$`)[0])
}

// checkAccessFields holds that the documentation has every field of a line of
// the access log, and no other.
func checkAccessFields(t *testing.T, line string) {
	t.Helper()
	page, err := os.ReadFile("docs/observability.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "## Access log")
	table, _, _ = strings.Cut(table, "\n## ")
	var documented, fields []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|").FindAllStringSubmatch(table, -1) {
		documented = append(documented, m[1])
	}
	for _, m := range regexp.MustCompile(`"([a-z_]+)":`).FindAllStringSubmatch(line, -1) {
		fields = append(fields, m[1])
	}
	if fields = fields[3:]; !slices.Equal(documented, fields) { // time, level and msg are any line's
		t.Errorf("docs/observability.md has %v, and the line %v", documented, fields)
	}
}

// whole is those of a text's lines that are complete.
func whole(text string) string { return text[:strings.LastIndexByte(text, '\n')+1] }

// TestAccessLogLevel holds that the lines of the access log are written whatever
// the level of the others, and that there are none unless they are asked for.
func TestAccessLogLevel(t *testing.T) {
	var out transcript
	l := openLogs(&out, config.Log{Level: slog.LevelError, Format: "text", Access: true})
	l.Warn("unwanted")
	l.access.Info("wanted")
	l.queue.Flush()
	if got := out.String(); !strings.Contains(got, "msg=wanted") || strings.Contains(got, "msg=unwanted") {
		t.Errorf("got %s", got)
	}
	l.set(config.Log{Level: slog.LevelDebug, Format: "json"})
	l.access.Error("unwanted")
	l.Debug("now wanted", "after", 1500*time.Microsecond)
	l.queue.Flush()
	if got := out.String(); !strings.Contains(got, `"msg":"now wanted","after":"1.5ms"`) || strings.Contains(got, "msg=unwanted") || strings.Contains(got, `"unwanted"`) {
		t.Errorf("after a reload got %s", got)
	}
}

// TestLogThatNobodyReads holds that the proxy goes on where whoever reads its log
// has stopped to, and tells how much of it was lost when it is read again.
func TestLogThatNobodyReads(t *testing.T) {
	t.Parallel()
	legacy := newAPI(t)
	c := command(t, writeConfig(t, "listen: 127.0.0.1:0\nadmin: ''\nupstream: "+legacy.URL+"\nlog: {access: true}\n"), "serve")
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	c.Stderr = write
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	defer func() {
		c.Process.Kill()
		c.Wait()
	}()
	log := bufio.NewScanner(read)
	log.Scan()
	listening := regexp.MustCompile(`msg=serving listen=(\S+)`).FindStringSubmatch(log.Text())
	if listening == nil {
		t.Fatalf("it began with %q", log.Text())
	}
	const requests = 3000 // of 1 KiB each in the log, and so more than the queue and the pipe hold
	for range requests {
		res, err := http.Get("http://" + listening[1] + "/" + strings.Repeat("x", 1000))
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
	seen, lost := 0, regexp.MustCompile(`level=WARN msg="lines of the log are lost.*" lines=(\d+)$`)
	for log.Scan() {
		if strings.Contains(log.Text(), "msg=request") {
			seen++
		}
		if m := lost.FindStringSubmatch(log.Text()); m != nil {
			if missing, _ := strconv.Atoi(m[1]); missing == 0 || seen+missing != requests {
				t.Errorf("%d lines were seen and %d lost, of %d", seen, missing, requests)
			}
			return
		}
	}
	t.Errorf("%d lines were seen, and nothing was told of others", seen)
}

// TestUnaskedAnswerIsNotLogged: what an upstream sends beyond an answer is a
// document, or a part of one, and net/http would have it in the log.
func TestUnaskedAnswerIsNotLogged(t *testing.T) {
	t.Parallel()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}{\"owner\":\"canary\"}")
		t.Cleanup(func() { conn.Close() })
	}))
	t.Cleanup(api.Close)
	r := serveBinary(t, api.URL, "")
	if got := exchange(t, r.address, "GET /other HTTP/1.1\nHost: h\nConnection: close\n\n", ""); !strings.HasSuffix(got, "{}") {
		t.Errorf("%q", got)
	}
	r.errors.wait(t, `level=WARN msg="connection to the upstream" reason="Unsolicited response .*\n`)
	r.signal(syscall.SIGTERM)
	r.code()
	if log := r.errors.String(); strings.Contains(log, "canary") {
		t.Errorf("the log says %s", log)
	}
}
