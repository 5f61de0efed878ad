package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// An Update is the state of a watched document after something happened to it.
type Update struct {
	URL     string    // path and query, as the server spells them; what was asked for until it has said so
	Data    []byte    // the whole document, JSON text; nil before the first one came
	Version string    // its name; opaque
	At      time.Time // when the upstream was seen to say it

	// Stale is why Data may be old, nil when it is not; Since is since when.
	// Its code is CodeDisconnected when the server can not be reached.
	Stale *Error
	Since time.Time

	// Patch is what has changed since the update before: a JSON Patch, or
	// with Merge a JSON Merge Patch. nil when the whole document was sent, or
	// nothing has changed.
	Patch []byte
	Merge bool

	Lines bool // Data is the array of the lines of a text document
	Bytes int  // the size of the message that told it, before compression
}

// Text returns the document as the upstream sent it if it is text, and
// its JSON otherwise.
func (u Update) Text() string {
	var lines []string
	if !u.Lines || json.Unmarshal(u.Data, &lines) != nil {
		return string(u.Data)
	}
	return strings.Join(lines, "")
}

// Watch follows the document at rawURL, a ws, wss, http or https URL that a
// rule of the server matches. Each update holds the whole document:
//
//	for u, err := range client.Watch(ctx, "https://example.com/api/stations", nil) {
//		if err != nil {
//			return err
//		}
//		show(u.Data)
//	}
//
// Documents come in the order in which the upstream gave them, each whole, and
// the newest always comes; those between may be left out when the loop is slow.
//
// A lost connection is made again, after a random time of at most 1 s at first,
// doubling to 30 s while it fails, and asked only for what has changed
// since; meanwhile there is one update that says so in Stale. A patch that
// does not fit what is held is answered by asking for the whole.
//
// The sequence ends when the loop does; when ctx does, with its error; and
// when trying again can not help, with the reason: the server has ended the
// subscription (an *Error), it refuses the handshake (a *HandshakeError), a
// message is larger than ReadLimit.
func Watch(ctx context.Context, rawURL string, o *Options) iter.Seq2[Update, error] {
	return func(yield func(Update, error) bool) {
		w, err := newWatcher(rawURL, o, yield)
		if err == nil {
			err = w.run(ctx)
		}
		if err != nil && !errors.Is(err, errBroke) {
			yield(Update{}, err)
		}
	}
}

const (
	handshakeTimeout = 30 * time.Second
	stableAfter      = maxDelay // a connection that lasted this long was a good one
)

// errBroke says that the loop over the sequence was left.
var errBroke = errors.New("the loop ended")

// A final error ends the sequence; all others end a connection. Without an
// error inside, the subscription has ended as it should.
type final struct{ error }

// A watcher is the state of one Watch, used by one goroutine.
type watcher struct {
	url      *url.URL
	options  Options
	yield    func(Update, error) bool
	last     Update // what was yielded last
	base     string // the version of last.Data; "" while a snapshot is awaited
	noSocket bool   // nobody answers at the socket path
	backoff  backoff
}

func newWatcher(rawURL string, o *Options, yield func(Update, error) bool) (*watcher, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, err
	}
	if u.Host == "" {
		return nil, fmt.Errorf("the URL %q has no host", rawURL)
	}
	if !slices.Contains([]string{"ws", "wss", "http", "https"}, u.Scheme) {
		return nil, fmt.Errorf("the URL %q is none of ws, wss, http and https", rawURL)
	}
	w := &watcher{url: u, yield: yield}
	if o != nil {
		w.options = *o
	}
	if w.options.SocketPath == "" {
		w.options.SocketPath = "/"
	}
	w.last.URL = u.RequestURI()
	if r := w.options.Resume; r.Data != nil {
		w.last.Data, w.last.Version, w.last.Lines = r.Data, r.Version, r.Lines
		w.base = r.Version
	}
	return w, nil
}

// run goes from connection to connection until there is no sense in another.
func (w *watcher) run(ctx context.Context) error {
	for {
		err := w.connection(ctx)
		var f final
		switch {
		case errors.Is(err, errBroke):
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.As(err, &f):
			return f.error
		}
		if err := w.disconnected(err); err != nil {
			return err
		}
		if !sleep(ctx, w.backoff.next(err)) {
			return context.Cause(ctx)
		}
	}
}

// connection makes one and follows it to its end.
func (w *watcher) connection(ctx context.Context) error {
	conn, err := w.connect(ctx)
	if err != nil {
		return err
	}
	since := time.Now()
	err = w.follow(ctx, conn)
	if time.Since(since) >= stableAfter {
		w.backoff.reset()
	}
	if errors.Is(err, errBroke) {
		_ = conn.Close() // nobody is left who would care
	} else {
		_ = conn.CloseNow() // it has failed already
	}
	return err
}

func (w *watcher) follow(ctx context.Context, conn *Conn) error {
	for {
		m, err := conn.Next(ctx)
		if errors.Is(err, websocket.ErrMessageTooBig) {
			return final{err}
		}
		if err == nil {
			err = w.handle(ctx, conn, m)
		}
		if err != nil {
			return err
		}
	}
}

// connect opens the URL itself, or the socket path where there is something
// to say that a handshake can not: the version to resume from.
func (w *watcher) connect(ctx context.Context) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
	defer cancel()
	if (w.base != "" || w.options.Throttle > 0) && !w.noSocket {
		conn, err := w.subscribe(ctx)
		if err == nil || !hopeless(err) {
			return conn, err
		}
		w.noSocket = true
	}
	conn, err := Dial(ctx, w.url.String(), &w.options)
	if hopeless(err) {
		return nil, final{err}
	}
	return conn, err
}

func (w *watcher) subscribe(ctx context.Context) (*Conn, error) {
	socket := url.URL{Scheme: w.url.Scheme, User: w.url.User, Host: w.url.Host, Path: w.options.SocketPath}
	conn, err := Dial(ctx, socket.String(), &w.options)
	if err != nil {
		return nil, err
	}
	o := SubscribeOptions{Version: w.base, Throttle: w.options.Throttle}
	if err := conn.Subscribe(ctx, w.url.RequestURI(), o); err != nil {
		_ = conn.CloseNow()
		return nil, err
	}
	return conn, nil
}

// hopeless tells whether dialling the same URL again can not help.
func hopeless(err error) bool {
	var h *HandshakeError
	if errors.As(err, &h) {
		return !h.Temporary()
	}
	return errors.Is(err, errForeign)
}

// handle takes one message in. An error ends the connection.
func (w *watcher) handle(ctx context.Context, conn *Conn, m Message) error {
	switch m.Type {
	case TypeSnapshot:
		u := Update{Data: m.Data, Version: m.Version, At: m.At, Lines: m.Format == FormatLines}
		return w.update(m, u)
	case TypePatch:
		return w.patch(ctx, conn, m)
	case TypeCurrent:
		if w.base == "" || m.Version != w.base {
			return w.resync(ctx, conn, m)
		}
		u := w.last
		u.At = m.At
		return w.update(m, u.fresh())
	case TypeStale:
		u := w.last.fresh()
		u.Stale, u.Since = m.Error, m.Since
		if u.Stale == nil {
			u.Stale = &Error{}
		}
		return w.emit(m, u)
	case TypeEnd:
		return ended(m)
	case TypeError:
		return fmt.Errorf("the server answered a request with %w", errorOf(m))
	}
	return nil // an alias, whose URL comes again with what follows it, or a type of a later version
}

// patch applies a patch to what is held, or asks for the whole.
func (w *watcher) patch(ctx context.Context, conn *Conn, m Message) error {
	if w.base == "" || m.From != w.base {
		return w.resync(ctx, conn, m)
	}
	apply := Apply
	if m.Format == FormatMergePatch {
		apply = ApplyMerge
	}
	data, err := apply(w.last.Data, m.Patch)
	if err != nil {
		return w.resync(ctx, conn, m)
	}
	return w.update(m, Update{
		Data:    data,
		Version: m.Version,
		At:      m.At,
		Patch:   m.Patch,
		Merge:   m.Format == FormatMergePatch,
		Lines:   w.last.Lines,
	})
}

// resync asks for a snapshot, once.
func (w *watcher) resync(ctx context.Context, conn *Conn, m Message) error {
	if w.base == "" {
		return nil // it is on its way
	}
	w.base = ""
	return conn.Subscribe(ctx, m.URL, SubscribeOptions{Throttle: w.options.Throttle})
}

// update yields a document that is as the upstream says it is.
func (w *watcher) update(m Message, u Update) error {
	w.base = u.Version
	return w.emit(m, u)
}

func (w *watcher) emit(m Message, u Update) error {
	u.URL, u.Bytes = w.last.URL, m.Size
	if m.URL != "" {
		u.URL = m.URL
	}
	w.last = u
	if !w.yield(u, nil) {
		return errBroke
	}
	return nil
}

// disconnected yields that what is held may be old, once per outage.
func (w *watcher) disconnected(cause error) error {
	if w.last.Stale != nil && w.last.Stale.Code == CodeDisconnected {
		return nil
	}
	u := w.last.fresh()
	u.Stale, u.Since = &Error{Code: CodeDisconnected, Message: cause.Error()}, time.Now()
	return w.emit(Message{}, u)
}

// fresh returns the state in u without what happened to it.
func (u Update) fresh() Update {
	u.Stale, u.Since, u.Patch, u.Merge, u.Bytes = nil, time.Time{}, nil, false, 0
	return u
}

// ended returns what the end of a subscription means for the watch.
func ended(m Message) error {
	if m.Error == nil {
		return final{}
	}
	switch m.Error.Code {
	case "shutting_down", "limit": // another node, or later, will do
		return m.Error
	}
	return final{m.Error}
}

// errorOf returns a message's error, which a faulty server may leave out.
func errorOf(m Message) *Error {
	if m.Error == nil {
		return &Error{Code: "unknown"}
	}
	return m.Error
}

// sleep returns false if ctx ended it.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
