package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	neturl "net/url"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
)

const (
	defaultReadLimit = 64 << 20 // bytes
	defaultKeepAlive = 30 * time.Second
	pongTimeout      = 10 * time.Second
)

// Options say how to connect. The zero value, and nil, work.
type Options struct {
	// Header is sent with the handshake: cookies, credentials, an Origin.
	Header http.Header

	// ReadLimit bounds a message, in bytes, after decompression: 64 MiB if 0,
	// nothing if negative.
	ReadLimit int64

	// Compression offers permessage-deflate (RFC 7692). It makes patches and
	// snapshots several times smaller and costs about 40 KiB of memory.
	Compression bool

	// KeepAlive is how long it may be quiet before the server is pinged; one
	// that does not answer within 10 s is given up. 30 s if 0, never if negative.
	KeepAlive time.Duration

	// NetDial makes the connection, if set. It is ignored where HTTPClient is set.
	NetDial func(ctx context.Context, network, address string) (net.Conn, error)

	// HTTPClient makes the handshake, if set, with its own transport, cookies
	// and redirects. Otherwise redirects to another host are not followed,
	// since Header would go there too.
	HTTPClient *http.Client

	// What follows is for Watch only.

	// Resume is an update that was kept from an earlier watch of the same URL:
	// only what has changed since is sent, where the server still knows.
	// Its Data, Version and Lines are used.
	Resume Update

	// Throttle asks for at most one message per this time, the newest.
	Throttle time.Duration

	// SocketPath is the server's socket path, "/" if empty. A watch that
	// resumes or throttles goes there first, and where nobody answers to
	// its own URL, which always works but begins with a snapshot.
	SocketPath string
}

// A Conn is one WebSocket that holds any number of subscriptions. One
// goroutine may call Next while others subscribe, unsubscribe and close.
type Conn struct {
	ws        *websocket.Conn
	keepAlive time.Duration
	timer     *time.Timer                             // calls check; runs during Next
	giveUp    atomic.Pointer[context.CancelCauseFunc] // ends the newest Next
}

// Dial connects to a ws, wss, http or https URL: one that a rule of the server
// matches, and then it is subscribed to, or the server's socket path, and
// then nothing is yet. ctx is for the handshake only.
//
// When the server answers but does not make a WebSocket of it, the error
// is a *HandshakeError. A WebSocket that does not select Subprotocol is the
// upstream's own, and an error too.
func Dial(ctx context.Context, url string, o *Options) (*Conn, error) {
	if o == nil {
		o = &Options{}
	}
	ws, resp, err := websocket.Dial(ctx, url, o.dialOptions())
	if err != nil {
		if resp != nil && resp.StatusCode != http.StatusSwitchingProtocols {
			return nil, newHandshakeError(url, resp)
		}
		var exchange *neturl.Error
		if errors.As(err, &exchange) {
			err = exchange.Err // what is around it says the URL once more
		}
		return nil, fmt.Errorf("connecting to %s: %w", url, err)
	}
	if ws.Subprotocol() != Subprotocol {
		_ = ws.CloseNow() // nothing was said on it
		return nil, fmt.Errorf("connecting to %s: %w", url, errForeign)
	}
	ws.SetReadLimit(o.readLimit())
	c := &Conn{ws: ws, keepAlive: o.KeepAlive}
	if c.keepAlive == 0 {
		c.keepAlive = defaultKeepAlive
	}
	c.timer = time.AfterFunc(time.Hour, c.check)
	c.timer.Stop()
	return c, nil
}

var errForeign = errors.New("the server does not speak " + Subprotocol)

func (o *Options) dialOptions() *websocket.DialOptions {
	d := &websocket.DialOptions{
		HTTPClient:   o.httpClient(),
		HTTPHeader:   o.Header,
		Subprotocols: []string{Subprotocol},
	}
	if o.Compression {
		d.CompressionMode = websocket.CompressionContextTakeover
	}
	return d
}

func (o *Options) readLimit() int64 {
	switch {
	case o.ReadLimit == 0:
		return defaultReadLimit
	case o.ReadLimit < 0:
		return -1
	}
	return o.ReadLimit
}

func (o *Options) httpClient() *http.Client {
	if o.HTTPClient != nil {
		return o.HTTPClient
	}
	c := &http.Client{CheckRedirect: sameHost}
	if o.NetDial != nil {
		c.Transport = &http.Transport{DialContext: o.NetDial}
	}
	return c
}

// sameHost stops at a redirect to another host; the handshake then fails with
// that redirect's status.
func sameHost(req *http.Request, via []*http.Request) error {
	if req.URL.Host != via[0].URL.Host || len(via) > 5 {
		return http.ErrUseLastResponse
	}
	return nil
}

// SubscribeOptions are the optional parts of a subscription.
type SubscribeOptions struct {
	// Version of the document that the client holds: the answer is a patch
	// from it, or current, where the server can, else a snapshot.
	Version string

	// Headers that tell this user apart, as the rule's vary names them.
	Headers map[string]string

	// Throttle asks for at most one message per this time, the newest.
	// It is sent in whole milliseconds.
	Throttle time.Duration
}

// Subscribe asks for url, a path and query on the server, or starts a
// subscription to it again with other options. The answer comes from Next.
func (c *Conn) Subscribe(ctx context.Context, url string, o SubscribeOptions) error {
	return c.send(ctx, request{
		Type:     "subscribe",
		URL:      url,
		Version:  o.Version,
		Headers:  o.Headers,
		Throttle: o.Throttle.Milliseconds(),
	})
}

// Unsubscribe stops a subscription; Next returns its end.
func (c *Conn) Unsubscribe(ctx context.Context, url string) error {
	return c.send(ctx, request{Type: "unsubscribe", URL: url})
}

func (c *Conn) send(ctx context.Context, r request) error {
	text, err := json.Marshal(r)
	if err == nil {
		err = c.ws.Write(ctx, websocket.MessageText, text)
	}
	if err != nil {
		return fmt.Errorf("sending %s of %s: %w", r.Type, r.URL, err)
	}
	return nil
}

var errNoPong = fmt.Errorf("the server did not answer a ping within %s", pongTimeout)

// Next returns the next message. An error is the end of the connection, and so
// is the end of ctx: a message can not be left half-read.
//
// While nobody calls Next, nothing is read: the server sees a slow client,
// and once there is room sends the newest state instead of all that was missed.
func (c *Conn) Next(ctx context.Context) (Message, error) {
	alive, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	c.giveUp.Store(&giveUp)
	if c.keepAlive > 0 {
		c.timer.Reset(c.keepAlive)
		defer c.timer.Stop()
	}
	kind, text, err := c.ws.Read(alive)
	if err != nil {
		if cause := context.Cause(alive); errors.Is(cause, errNoPong) {
			err = cause
		}
		return Message{}, fmt.Errorf("reading from the server: %w", err)
	}
	if kind != websocket.MessageText {
		return Message{}, fmt.Errorf("the server sent %d bytes of binary data, want text", len(text))
	}
	return parseMessage(text)
}

// check pings, and ends the call of Next that is waiting if no pong comes. A
// pong is seen only while somebody reads, so the timer runs during calls of
// Next only; a check that outlives its call ends nothing.
func (c *Conn) check() {
	giveUp := *c.giveUp.Load()
	if c.ping() == nil {
		c.timer.Reset(c.keepAlive)
	} else {
		giveUp(errNoPong)
	}
}

func (c *Conn) ping() error {
	ctx, cancel := context.WithTimeout(context.Background(), pongTimeout)
	defer cancel()
	return c.ws.Ping(ctx)
}

// Close says goodbye and waits a few seconds at most for the server to do the same.
func (c *Conn) Close() error {
	return c.ws.Close(websocket.StatusNormalClosure, "")
}

// CloseNow closes without a goodbye.
func (c *Conn) CloseNow() error { return c.ws.CloseNow() }
