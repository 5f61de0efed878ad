package poller

import (
	"context"
	"io"
	"net/http"
)

// Touch sends one request for what req names with the headers of identity, all
// of them, within the limits that polls have, and returns the upstream's
// status. The answer is not looked at otherwise, and nobody is shown it.
func (p *Poller) Touch(ctx context.Context, req Request, identity http.Header) (int, *Error) {
	slot, ok := p.acquire(ctx)
	if !ok {
		return 0, exchangeError(ctx.Err(), req.Rule)
	}
	defer func() { <-slot }()
	ctx, cancel := context.WithTimeout(ctx, req.Rule.timeout())
	defer cancel()
	out, err := p.fetch.request(ctx, req, identity, validators{})
	if err != nil {
		return 0, exchangeError(err, req.Rule)
	}
	res, err := p.fetch.client.Do(out)
	if err != nil {
		return 0, exchangeError(err, req.Rule)
	}
	defer res.Body.Close()
	io.Copy(io.Discard, io.LimitReader(res.Body, req.Rule.maxBody())) // so that the connection can be used again
	return res.StatusCode, nil
}
