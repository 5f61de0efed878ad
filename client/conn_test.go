package client

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// echo tells the client what it sent, as the data of snapshots, and about the
// handshake before that.
func echo(t *testing.T) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{
			Subprotocols:    []string{Subprotocol},
			CompressionMode: websocket.CompressionContextTakeover,
		})
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.CloseNow()
		say := func(data string) {
			conn.Write(r.Context(), websocket.MessageText, []byte(`{"type":"snapshot","url":"/x","data":`+data+`}`))
		}
		say(`["` + r.Header.Get("X-Key") + `","` + r.Header.Get("Sec-WebSocket-Extensions") + `"]`)
		for {
			_, text, err := conn.Read(r.Context())
			if err != nil {
				return
			}
			say(string(text))
		}
	}
}

func expectData(t *testing.T, c *Conn, want string) {
	t.Helper()
	m, err := c.Next(t.Context())
	if err != nil || m.Type != TypeSnapshot || string(m.Data) != want {
		t.Fatalf("got %q with %s, %v; want %s", m.Type, m.Data, err, want)
	}
}

func TestConn(t *testing.T) {
	server := httptest.NewServer(echo(t))
	defer server.Close()
	// The handshake's context ends with the handshake; the connection does not.
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	c, err := Dial(ctx, server.URL+"/x", &Options{Header: http.Header{"X-Key": {"secret"}}, Compression: true})
	cancel()
	if err != nil {
		t.Fatal(err)
	}
	expectData(t, c, `["secret","permessage-deflate"]`)
	for _, s := range []struct {
		o    SubscribeOptions
		want string
	}{
		{SubscribeOptions{}, `{"type":"subscribe","url":"/a?b=\u003c"}`},
		{SubscribeOptions{Version: "v1"}, `{"type":"subscribe","url":"/a?b=\u003c","version":"v1"}`},
		{SubscribeOptions{Headers: map[string]string{"Authorization": "x"}, Throttle: 2 * time.Second}, `{"type":"subscribe","url":"/a?b=\u003c","headers":{"Authorization":"x"},"throttle":2000}`},
	} {
		if err := c.Subscribe(t.Context(), "/a?b=<", s.o); err != nil {
			t.Fatal(err)
		}
		expectData(t, c, s.want)
	}
	if err := c.Unsubscribe(t.Context(), "/a"); err != nil {
		t.Fatal(err)
	}
	expectData(t, c, `{"type":"unsubscribe","url":"/a"}`)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	if _, err := c.Next(t.Context()); err == nil {
		t.Error("Next after Close has no error")
	}
	if err := c.Subscribe(t.Context(), "/a", SubscribeOptions{}); err == nil || !strings.HasPrefix(err.Error(), "sending subscribe of /a: ") {
		t.Errorf("Subscribe after Close: %v", err)
	}
}

func TestNextEndsWithContext(t *testing.T) {
	server := httptest.NewServer(echo(t))
	defer server.Close()
	c, err := Dial(t.Context(), strings.Replace(server.URL, "http", "ws", 1)+"/x", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	expectData(t, c, `["",""]`)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := c.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the context's error", err)
	}
}

// TestRedirects: the client follows within a host, and does not carry its
// headers to another.
func TestRedirects(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("the other host was asked for %s, with %s", r.URL, r.Header)
	}))
	defer other.Close()
	mux := http.NewServeMux()
	mux.Handle("/new", echo(t))
	mux.Handle("/old", http.RedirectHandler("/new", http.StatusTemporaryRedirect))
	mux.Handle("/away", http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	mux.Handle("/round", http.RedirectHandler("/round", http.StatusTemporaryRedirect))
	server := httptest.NewServer(mux)
	defer server.Close()
	o := &Options{Header: http.Header{"X-Key": {"secret"}}}
	c, err := Dial(t.Context(), server.URL+"/old", o)
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	expectData(t, c, `["secret",""]`)
	for _, path := range []string{"/away", "/round"} {
		var h *HandshakeError
		if _, err := Dial(t.Context(), server.URL+path, o); !errors.As(err, &h) || h.Status != http.StatusTemporaryRedirect || h.Temporary() {
			t.Errorf("%s: got %v, want a HandshakeError with 307", path, err)
		}
	}
}

func TestDialUnreachable(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	if _, err := Dial(t.Context(), server.URL, nil); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("got %v, want connection refused", err)
	}
}
