package poller

import (
	"context"
	"net/http"
)

// Preview returns the request that polls what req names, credentials included,
// without sending it, and whether its answer is for one identity alone. The
// error is that of a URL that cannot be sent.
func (p *Poller) Preview(req Request) (out *http.Request, private bool, err error) {
	who, private := identity(req)
	out, err = p.fetch.request(context.Background(), req, who, validators{})
	return out, private, err
}
