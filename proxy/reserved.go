package proxy

import (
	"net/http"

	"pollbridge/client/js"
)

// serveReserved answers below config.Reserved, of which nothing is passed on:
// the browser's side, and a socket that starts with no subscription, which is
// there whatever the configuration calls socket.
func (p *Proxy) serveReserved(w *answer, r *http.Request, name string) {
	w.way = WayReserved
	switch {
	case name != "socket":
		js.Serve(w, r, name)
	case isUpgrade(r):
		p.serveSocket(w, r, nil, "")
	default:
		w.Header().Set("Upgrade", "websocket")
		http.Error(w, "this is a WebSocket: see docs/protocol.md", http.StatusUpgradeRequired)
	}
}
