package proxy

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"

	"pollbridge/client/js"
	"pollbridge/config"
)

// reserved reports whether a request is for what is below config.Reserved, and
// for which name there.
func reserved(r *http.Request) (name string, ok bool) {
	return strings.CutPrefix(r.URL.Path, config.Reserved)
}

func wayOfReserved(r *http.Request, name string) Way {
	if name == "socket" && isUpgrade(r) {
		return WaySocket
	}
	return WayReserved
}

// serveReserved answers below config.Reserved, of which nothing is passed on:
// the browser's side, and a socket that starts with no subscription, which is
// there whatever the configuration calls socket.
func (p *Proxy) serveReserved(w *answer, r *http.Request, name string) {
	w.way = wayOfReserved(r, name)
	switch {
	case w.way == WaySocket:
		p.serveReservedSocket(w, r)
	case name == "socket":
		w.Header().Set("Upgrade", "websocket")
		http.Error(w, "this is a WebSocket: see docs/protocol.md", http.StatusUpgradeRequired)
	case name == "identity":
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		io.WriteString(w, p.identity(r))
	default:
		js.Serve(w, r, name)
	}
}

// serveReservedSocket opens a socket that starts with no subscription. One that
// names an identity is opened to nobody else: a browser may have got other
// cookies since it asked for it.
func (p *Proxy) serveReservedSocket(w *answer, r *http.Request) {
	if asked := r.URL.Query().Get("identity"); asked != "" && !hmac.Equal([]byte(asked), []byte(p.identity(r))) {
		http.Error(w, "identity: these are not the credentials that it was given for", http.StatusForbidden)
		return
	}
	p.serveSocket(w, r, nil, "")
}

// identity names the credentials of a request by which any rule tells users
// apart, so that tabs which have the same may share a socket. It is a keyed
// hash: nothing can be read from it, and it means nothing after a restart.
func (p *Proxy) identity(r *http.Request) string {
	h := hmac.New(sha256.New, p.secret[:])
	now := p.now()
	kept := now.only(r.Header)
	for _, name := range now.credentials {
		fmt.Fprintf(h, "%q %q\n", name, kept[name])
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:16])
}
