package passthrough

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// plainAnswer says that the connection ends, as a rawUpstream's does: a client that has to find out may lose a request.
const plainAnswer = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"

// requests are sent as they stand, once to the upstream and once through the handler. What the upstream sees must
// be equal but for the lines in differs, and for the three X-Forwarded headers.
var requests = []struct {
	name    string
	bytes   string
	differs []string
}{
	{name: "plain", bytes: lines("GET /a/b?c=d HTTP/1.1", "Host: api.example", "User-Agent: curl/8", "Accept: */*")},
	{name: "no user agent, no accept-encoding", bytes: lines("GET / HTTP/1.1", "Host: h")},
	{name: "accept-encoding", bytes: lines("GET / HTTP/1.1", "Host: h", "Accept-Encoding: br;q=1, gzip;q=0.5")},
	{name: "host with port", bytes: lines("GET / HTTP/1.1", "Host: Example.COM:8443")},

	{name: "query with semicolon and bad percent", bytes: lines("GET /q?a=1;b=2&c=%zz&%&d=%u1234 HTTP/1.1", "Host: h")},
	{name: "query with odd bytes", bytes: lines("GET /q?\"<>|^`{}\\[]#x\xff\xc3\xa9?=& HTTP/1.1", "Host: h")},
	{name: "question marks", bytes: lines("GET /q??a?b? HTTP/1.1", "Host: h")},
	{name: "empty query", bytes: lines("GET /q? HTTP/1.1", "Host: h")},
	{name: "encoded slash", bytes: lines("GET /a%2Fb%2f/c HTTP/1.1", "Host: h")},
	{name: "needless and lower-case escapes", bytes: lines("GET /%61%7e~%c3%A9/%3b;x=%3D HTTP/1.1", "Host: h")},
	{name: "doubled slashes", bytes: lines("GET /a//b/// HTTP/1.1", "Host: h")},
	{name: "leading slashes", bytes: lines("GET //evil.example/a%2F?b=;c HTTP/1.1", "Host: h")},
	{name: "more leading slashes", bytes: lines("GET ///a HTTP/1.1", "Host: h")},
	{name: "leading slashes, empty query", bytes: lines("GET //? HTTP/1.1", "Host: h")},
	{name: "leading slashes, odd bytes", bytes: lines(`GET //a|b HTTP/1.1`, "Host: h"),
		differs: []string{`start: "GET //a|b HTTP/1.1" -> "GET //a%7Cb HTTP/1.1"`}},
	{name: "dots", bytes: lines("GET /a/./b/../c/.. HTTP/1.1", "Host: h")},
	{name: "dots beyond the root", bytes: lines("GET /../../etc HTTP/1.1", "Host: h")},
	{name: "encoded dots", bytes: lines("GET /%2e%2e/%2E./x HTTP/1.1", "Host: h")},
	{name: "backslash", bytes: lines(`GET /a\..\b%5c HTTP/1.1`, "Host: h")},
	{name: "odd bytes in the path", bytes: lines("GET /\"<>|^`{}[]'()*!@:$&+,=#\xff\xc3\xa9 HTTP/1.1", "Host: h")},
	{name: "encoded space, NUL and CRLF", bytes: lines("GET /a%20b%00%0d%0aX:%20y HTTP/1.1", "Host: h")},
	{name: "a URL in the path", bytes: lines("GET /http://evil.example:80/x HTTP/1.1", "Host: h")},
	{name: "at sign", bytes: lines("GET /@evil.example HTTP/1.1", "Host: h")},

	{name: "OPTIONS *", bytes: lines("OPTIONS * HTTP/1.1", "Host: h")},
	{name: "absolute form", bytes: lines("GET http://api.example:81/a%2Fb/../c?d;e HTTP/1.1", "Host: other"),
		differs: []string{
			`start: "GET http://api.example:81/a%2Fb/../c?d;e HTTP/1.1" -> "GET /a%2Fb/../c?d;e HTTP/1.1"`,
			`host: ["other"] -> ["api.example:81"]`}},
	{name: "absolute form without path", bytes: lines("OPTIONS http://h HTTP/1.1", "Host: h"),
		differs: []string{`start: "OPTIONS http://h HTTP/1.1" -> "OPTIONS * HTTP/1.1"`}},

	{name: "HEAD", bytes: lines("HEAD /x HTTP/1.1", "Host: h")},
	{name: "TRACE", bytes: lines("TRACE /x HTTP/1.1", "Host: h", "Max-Forwards: 3")},
	{name: "custom method", bytes: lines("X-PURGE_it!~ /x HTTP/1.1", "Host: h")},
	{name: "lower-case method", bytes: lines("get /x HTTP/1.1", "Host: h")},
	{name: "POST", bytes: lines("POST /x HTTP/1.1", "Host: h", "Content-Type: text/plain", "Content-Length: 5") + "hello"},
	{name: "POST of nothing", bytes: lines("POST /x HTTP/1.1", "Host: h", "Content-Length: 0")},
	{name: "DELETE of nothing", bytes: lines("DELETE /x HTTP/1.1", "Host: h", "Content-Length: 0")},
	{name: "MKCOL of nothing", bytes: lines("MKCOL /x HTTP/1.1", "Host: h", "Content-Length: 0")},
	{name: "POST without length", bytes: lines("POST /x HTTP/1.1", "Host: h"),
		differs: []string{`content-length: [] -> ["0"]`}},
	{name: "GET of nothing", bytes: lines("GET /x HTTP/1.1", "Host: h", "Content-Length: 0"),
		differs: []string{`content-length: ["0"] -> []`}},
	{name: "GET with a body", bytes: lines("GET /x HTTP/1.1", "Host: h", "Content-Length: 2") + "{}"},
	{name: "chunked", bytes: lines("PUT /x HTTP/1.1", "Host: h", "Transfer-Encoding: chunked") + "2;ext=1\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"},
	{name: "chunked GET", bytes: lines("GET /x HTTP/1.1", "Host: h", "Transfer-Encoding: chunked") + "2\r\nhe\r\n0\r\n\r\n"},
	{name: "chunked and empty", bytes: lines("REPORT /x HTTP/1.1", "Host: h", "Transfer-Encoding: chunked") + "0\r\n\r\n"},
	{name: "encoded body", bytes: lines("POST /x HTTP/1.1", "Host: h", "Content-Encoding: gzip", "Content-Length: 3") + "\x1f\x8b\x00"},
	{name: "trailers", bytes: lines("POST /x HTTP/1.1", "Host: h", "Transfer-Encoding: chunked", "Trailer: X-Sum") +
		"2\r\nhe\r\n0\r\nX-Sum: 1\r\nX-Sum: 2\r\n\r\n"},
	{name: "trailers not announced", bytes: lines("POST /x HTTP/1.1", "Host: h", "Transfer-Encoding: chunked") +
		"2\r\nhe\r\n0\r\nX-Sum: 1\r\n\r\n"},
	{name: "trailers after nothing", bytes: lines("GET /x HTTP/1.1", "Host: h", "Transfer-Encoding: chunked", "Trailer: X-Sum") +
		"0\r\nX-Sum: 1\r\n\r\n"},
	{name: "trailers that pretend to be headers", bytes: lines("POST /x HTTP/1.1", "Host: h", "Transfer-Encoding: chunked") +
		"0\r\nX-Forwarded-For: 6.6.6.6\r\nAuthorization: Basic eA==\r\nX-Sum: 1\r\n\r\n",
		differs: []string{`trailer authorization: ["Basic eA=="] -> []`, `trailer x-forwarded-for: ["6.6.6.6"] -> []`}},

	{name: "conditions and ranges", bytes: lines("GET /x HTTP/1.1", "Host: h", `If-None-Match: W/"a", "b"`,
		"If-Modified-Since: Mon, 02 Jan 2006 15:04:05 GMT", "Range: bytes=0-5,-1", "Cache-Control: max-age=0, no-cache")},
	{name: "credentials", bytes: lines("GET /x HTTP/1.1", "Host: h", "Authorization: Bearer a.b.c", "Cookie: a=1; b=2", "Cookie: c=\"3\"")},
	{name: "repeated, empty, odd", bytes: lines("GET /x HTTP/1.1", "Host: h", "X-A: 2", "X-A: 1", "X-A:", "X_Under: u", "x.dot!: d",
		"X-Latin: caf\xe9", "X-Spaces:   a  b \t ", "Via: 1.0 fred", "Origin: null", "Sec-Fetch-Mode: cors", "Pragma: x")},
	{name: "pragma", bytes: lines("GET /x HTTP/1.1", "Host: h", "Pragma: no-cache"),
		differs: []string{`cache-control: [] -> ["no-cache"]`}},
	{name: "user agents", bytes: lines("GET /x HTTP/1.1", "Host: h", "User-Agent: a", "User-Agent: b"),
		differs: []string{`user-agent: ["a" "b"] -> ["a"]`}},

	{name: "hop by hop", bytes: lines("GET /x HTTP/1.1", "Host: h", "Connection: close, X-Hop", "X-Hop: 1", "Keep-Alive: 5",
		"TE: gzip, deflate", "Proxy-Authorization: Basic eA==", "Proxy-Connection: close"),
		differs: []string{`connection: ["close, X-Hop"] -> []`, `keep-alive: ["5"] -> []`, `proxy-authorization: ["Basic eA=="] -> []`,
			`proxy-connection: ["close"] -> []`, `te: ["gzip, deflate"] -> []`, `x-hop: ["1"] -> []`}},
	{name: "te trailers", bytes: lines("GET /x HTTP/1.1", "Host: h", "Connection: TE", "TE: trailers, gzip"),
		differs: []string{`connection: ["TE"] -> []`, `te: ["trailers, gzip"] -> ["trailers"]`}},
	{name: "h2c", bytes: lines("GET /x HTTP/1.1", "Host: h", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"),
		differs: []string{`connection: ["Upgrade, HTTP2-Settings"] -> []`, `http2-settings: ["AAMAAABkAAQAAP__"] -> []`, `upgrade: ["h2c"] -> []`}},
	{name: "upgrade without connection", bytes: lines("GET /x HTTP/1.1", "Host: h", "Upgrade: websocket"),
		differs: []string{`upgrade: ["websocket"] -> []`}},
	{name: "length and chunks", bytes: lines("POST /x HTTP/1.1", "Host: h", "Content-Length: 3", "Transfer-Encoding: chunked") + "2\r\nhe\r\n0\r\n\r\n",
		differs: []string{`content-length: ["3"] -> []`}},
	{name: "HTTP/1.0", bytes: lines("GET /x HTTP/1.0", "Host: h"),
		differs: []string{`start: "GET /x HTTP/1.0" -> "GET /x HTTP/1.1"`}},
}

func TestRequestArrivesAsSent(t *testing.T) {
	t.Parallel()
	upstream := newRawUpstream(t, func(message) string { return plainAnswer })
	proxy := through(t, upstream.url)
	for _, c := range requests {
		t.Run(c.name, func(t *testing.T) {
			ask(t, upstream.url, c.bytes)
			direct := upstream.take()
			ask(t, proxy, c.bytes)
			seen := upstream.take()
			if len(direct) != 1 || len(seen) != 1 {
				t.Fatalf("upstream saw %d requests directly, %d through", len(direct), len(seen))
			}
			checkForwarded(t, seen[0], "http")
			if d := difference(direct[0], seen[0]); !slices.Equal(d, c.differs) {
				t.Errorf("the upstream saw a difference:\n\t%s\nwant:\n\t%s", strings.Join(d, "\n\t"), strings.Join(c.differs, "\n\t"))
			}
		})
	}
}

// checkForwarded looks at the headers that the handler adds to every request of a client on loopback, and takes them out.
func checkForwarded(t *testing.T, m message, scheme string) {
	t.Helper()
	want := map[string]string{"x-forwarded-for": "127.0.0.1", "x-forwarded-host": m.header["host"][0], "x-forwarded-proto": scheme}
	for name, value := range want {
		if got := m.header[name]; len(got) != 1 || got[0] != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
		delete(m.header, name)
	}
}

const (
	ok   = "HTTP/1.1 200 OK"
	date = "Date: Mon, 02 Jan 2006 15:04:05 GMT"
)

// answers are what the upstream sends as it stands. What the client sees must be equal, directly and through
// the handler, but for the lines in differs.
var answers = []struct {
	name    string
	method  string // "" is GET
	bytes   string
	differs []string
}{
	{name: "plain", bytes: lines(ok, date, "Content-Type: application/json", "Content-Length: 2", "Server: legacy/1.0") + "{}"},
	{name: "no content type", bytes: lines(ok, date, "Content-Length: 6") + "<html>"},
	{name: "empty content type", bytes: lines(ok, date, "Content-Type:", "Content-Length: 6") + "<html>"},
	{name: "chunked", bytes: lines(ok, date, "Transfer-Encoding: chunked") + "2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"},
	{name: "chunked, no content type", bytes: lines(ok, date, "Transfer-Encoding: chunked") + "6\r\n<html>\r\n0\r\n\r\n"},
	{name: "empty", bytes: lines(ok, date, "Content-Length: 0")},
	{name: "HEAD", method: "HEAD", bytes: lines(ok, date, "Content-Type: text/html", "Content-Length: 12345", `ETag: "x"`)},
	{name: "HEAD without length", method: "HEAD", bytes: lines(ok, date, "Content-Type: text/html")},
	{name: "204", bytes: lines("HTTP/1.1 204 No Content", date, "X-A: 1")},
	{name: "205", bytes: lines("HTTP/1.1 205 Reset Content", date, "Content-Length: 0")},
	{name: "304", bytes: lines("HTTP/1.1 304 Not Modified", date, `ETag: "x"`, "Cache-Control: max-age=5", "Vary: A")},
	{name: "304 with length", bytes: lines("HTTP/1.1 304 Not Modified", date, "Content-Type: a/b", "Content-Length: 7"),
		differs: []string{`content-length: ["7"] -> []`, `content-type: ["a/b"] -> []`}},
	{name: "206", bytes: lines("HTTP/1.1 206 Partial Content", date, "Content-Range: bytes 0-1/9", "Content-Length: 2") + "ab"},
	{name: "gzip stays gzip", bytes: lines(ok, date, "Content-Encoding: gzip", "Content-Length: 4") + "\x1f\x8b\x08\x00"},
	{name: "cookies", bytes: lines(ok, date, "Content-Length: 0", "Set-Cookie: b=2; Path=/; HttpOnly", "Set-Cookie: a=1, x", "Set-Cookie: b=3")},
	{name: "repeated, empty, odd", bytes: lines(ok, date, "Content-Length: 0", "X-A: 2", "X-A: 1", "X-A:", "X_Under: u", "Link: <a>", "Link: <b>",
		"X-Latin: caf\xe9", "X-Forwarded-For: echo", "Alt-Svc: h3=\":443\"", "Via: 1.1 x", "Www-Authenticate: Basic", "Www-Authenticate: Digest")},
	{name: "redirect", bytes: lines("HTTP/1.1 302 Found", date, "Location: //elsewhere.example/%2F?a;b", "Content-Length: 0")},
	{name: "401", bytes: lines("HTTP/1.1 401 Unauthorized", date, "WWW-Authenticate: Basic realm=\"x\"", "Content-Length: 3") + "no\n"},
	{name: "500", bytes: lines("HTTP/1.1 500 Internal Server Error", date, "Content-Length: 3") + "oh\n"},
	{name: "503", bytes: lines("HTTP/1.1 503 Service Unavailable", date, "Retry-After: 7", "Content-Length: 0")},
	{name: "unknown status", bytes: lines("HTTP/1.1 799 status code 799", date, "Content-Length: 0")},
	{name: "reason", bytes: lines("HTTP/1.1 200 Fine, thanks", date, "Content-Length: 0"),
		differs: []string{`start: "HTTP/1.1 200 Fine, thanks" -> "HTTP/1.1 200 OK"`}},
	{name: "trailers", bytes: lines(ok, date, "Transfer-Encoding: chunked", "Trailer: X-Sum") + "2\r\nab\r\n0\r\nX-Sum: 1\r\nX-Sum: 2\r\n\r\n"},
	{name: "trailers not announced", bytes: lines(ok, date, "Transfer-Encoding: chunked") + "2\r\nab\r\n0\r\nX-Sum: 1\r\n\r\n"},
	{name: "trailers after nothing", bytes: lines(ok, date, "Transfer-Encoding: chunked", "Trailer: Grpc-Status") + "0\r\nGrpc-Status: 0\r\n\r\n"},
	{name: "hop by hop", bytes: lines(ok, date, "Content-Length: 0", "Connection: X-Hop", "X-Hop: 1", "Keep-Alive: timeout=5", "Proxy-Authenticate: Basic"),
		differs: []string{`connection: ["X-Hop"] -> []`, `keep-alive: ["timeout=5"] -> []`, `proxy-authenticate: ["Basic"] -> []`, `x-hop: ["1"] -> []`}},
	{name: "until close", bytes: lines(ok, date) + "all of it",
		differs: []string{`transfer-encoding: [] -> ["chunked"]`}},
	{name: "HTTP/1.0", bytes: lines("HTTP/1.0 200 OK", date, "Content-Length: 1") + "x",
		differs: []string{`start: "HTTP/1.0 200 OK" -> "HTTP/1.1 200 OK"`}},
}

func TestAnswerArrivesAsSent(t *testing.T) {
	t.Parallel()
	for _, c := range answers {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			method := c.method
			if method == "" {
				method = "GET"
			}
			upstream := newRawUpstream(t, func(message) string { return c.bytes })
			request := lines(method+" / HTTP/1.1", "Host: h")
			_, direct := ask(t, upstream.url, request)
			_, seen := ask(t, through(t, upstream.url), request)
			if d := difference(direct, seen); !slices.Equal(d, c.differs) {
				t.Errorf("the client saw a difference:\n\t%s\nwant:\n\t%s", strings.Join(d, "\n\t"), strings.Join(c.differs, "\n\t"))
			}
		})
	}
}

func TestDateIsAddedWhereMissing(t *testing.T) {
	t.Parallel()
	upstream := newRawUpstream(t, func(message) string { return lines(ok, "Content-Length: 0") })
	_, m := ask(t, through(t, upstream.url), lines("GET / HTTP/1.1", "Host: h"))
	if len(m.header["date"]) != 1 {
		t.Errorf("date: %q, want one", m.header["date"])
	}
}

// What net/http refuses, it refuses in front of the upstream just as the upstream would, were it made of net/http.
func TestRefusedByNetHTTPAlike(t *testing.T) {
	t.Parallel()
	upstream := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	proxy := through(t, upstream)
	for _, request := range []string{
		lines("GET /a b HTTP/1.1", "Host: h"),
		lines("GET /%zz HTTP/1.1", "Host: h"),
		lines("GET /%2 HTTP/1.1", "Host: h"),
		lines("GET a HTTP/1.1", "Host: h"),
		lines("GET ?a HTTP/1.1", "Host: h"),
		lines("GET /\x01 HTTP/1.1", "Host: h"),
		lines("GET /\x7f HTTP/1.1", "Host: h"),
		lines("GET http://a b/ HTTP/1.1", "Host: h"),
		lines("GET http://[::1/ HTTP/1.1", "Host: h"),
		lines("GET / HTTP/1.1"),
		lines("GET / HTTP/1.1", "Host: a", "Host: b"),
		lines("GET / HTTP/1.1", "Host: a/b"),
		lines("GET / HTTP/1.1", "Host: h", "X A: 1"),
		lines("GET / HTTP/1.1", "Host: h", "X-A : 1"),
		lines("GET / HTTP/1.1", "Host: h", "X-A: a\x00b"),
		lines("G(T / HTTP/1.1", "Host: h"),
		lines("GET / HTTP/3.0", "Host: h"),
		lines("GET / http/1.1", "Host: h"),
		lines("POST / HTTP/1.1", "Host: h", "Content-Length: 1", "Content-Length: 2") + "a",
		lines("POST / HTTP/1.1", "Host: h", "Content-Length: -1"),
		lines("POST / HTTP/1.1", "Host: h", "Content-Length: +1") + "a",
		lines("POST / HTTP/1.1", "Host: h", "Transfer-Encoding: gzip, chunked") + "0\r\n\r\n",
		lines("POST / HTTP/1.1", "Host: h", "Transfer-Encoding: chunked", "Transfer-Encoding: chunked") + "0\r\n\r\n",
		lines("POST / HTTP/1.1", "Host: h", "Transfer-Encoding: chunked", "Trailer: Content-Length") + "0\r\n\r\n",
		lines("POST / HTTP/1.1", "Host: h", "Expect: a miracle", "Content-Length: 1") + "a",
	} {
		_, direct := ask(t, upstream, request)
		_, seen := ask(t, proxy, request)
		if direct.start != seen.start || strings.Contains(direct.start, "418") {
			t.Errorf("%q: %q directly, %q through", request, direct.start, seen.start)
		}
	}
}

// What this package refuses itself never reaches the upstream, and neither do bytes that follow it.
func TestRefused(t *testing.T) {
	t.Parallel()
	upstream := newRawUpstream(t, func(message) string { return plainAnswer })
	proxy := through(t, upstream.url)
	for _, c := range []struct{ request, status string }{
		{lines("CONNECT evil.example:443 HTTP/1.1", "Host: evil.example:443") + lines("GET /smuggled HTTP/1.1", "Host: h"), "HTTP/1.1 501 Not Implemented"},
		{lines("CONNECT /path HTTP/1.1", "Host: h"), "HTTP/1.1 501 Not Implemented"},
		{lines("GET mailto:someone HTTP/1.1", "Host: h"), "HTTP/1.1 400 Bad Request"},
		{lines("GET http:/path HTTP/1.1", "Host: h"), "HTTP/1.1 400 Bad Request"},
		{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/1.1 505 HTTP Version Not Supported"},
		{lines("GET / HTTP/1.1", "Host: h", "Connection: Upgrade", "Upgrade: caf\xe9"), "HTTP/1.1 400 Bad Request"},
	} {
		_, m := ask(t, proxy, c.request)
		if m.start != c.status || m.header["content-type"][0] != "text/plain; charset=utf-8" {
			t.Errorf("%q: got %q %q, want %q", c.request, m.start, m.header, c.status)
		}
	}
	if seen := upstream.take(); seen != nil {
		t.Errorf("upstream saw %q", seen)
	}
}

func TestBasePathIsJoinedAsText(t *testing.T) {
	t.Parallel()
	upstream := newRawUpstream(t, func(message) string { return plainAnswer })
	for _, base := range []string{"/api%2Fv1/b", "/api%2Fv1/b/"} {
		u := upstream.url.JoinPath() // a copy
		u.Path, u.RawPath = "/api/v1/b"+base[len("/api%2Fv1/b"):], base
		proxy := through(t, u)
		for target, want := range map[string]string{
			"/":              "/api%2Fv1/b/",
			"/x?y;z":         "/api%2Fv1/b/x?y;z",
			`//x|y`:          `/api%2Fv1/b//x|y`,
			"/../x":          "/api%2Fv1/b/../x",
			"http://h/a%2Fb": "/api%2Fv1/b/a%2Fb",
			"http://h?a":     "/api%2Fv1/b/?a",
			"http://h":       "/api%2Fv1/b/",
			"*":              "*",
		} {
			ask(t, proxy, lines("GET "+target+" HTTP/1.1", "Host: h"))
			if got := upstream.take()[0].start; got != "GET "+want+" HTTP/1.1" {
				t.Errorf("base %s, target %s: upstream saw %q, want target %q", base, target, got, want)
			}
		}
	}
}

// OnResponse comes once per answer of the upstream, before the client has any of it, with the request as it arrived.
func TestOnResponse(t *testing.T) {
	t.Parallel()
	upstream := newRawUpstream(t, func(message) string {
		return lines("HTTP/1.1 201 Created", date, "Content-Length: 0")
	})
	var calls []string
	rec := httptest.NewRecorder()
	h := newHandler(t, Options{Upstream: upstream.url, OnResponse: func(in *http.Request, status int, _ http.Header) {
		if status != http.StatusCreated {
			t.Errorf("status %d, want 201", status)
		}
		calls = append(calls, in.Method+" "+in.RequestURI+" "+in.Host+" "+in.Header.Get("X-Forwarded-For")+" "+in.Header.Get("Connection"))
		if len(rec.Header()) != 0 {
			t.Errorf("header %v was written before", rec.Header())
		}
	}})
	in := httptest.NewRequest("DELETE", "/orders/1;x", nil)
	in.Header.Set("X-Forwarded-For", "6.6.6.6")
	in.Header.Set("Connection", "close")
	h.ServeHTTP(rec, in)
	if want := []string{"DELETE /orders/1;x example.com 6.6.6.6 close"}; !slices.Equal(calls, want) {
		t.Errorf("called with %q, want %q", calls, want)
	}
	if rec.Code != http.StatusCreated {
		t.Errorf("status %d, want 201", rec.Code)
	}
}
