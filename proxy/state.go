package proxy

import (
	"net/http"

	"pollbridge/config"
	"pollbridge/passthrough"
	"pollbridge/poller"
)

// A state is what a configuration makes of the proxy. It is immutable: a
// request that has found it goes by it, whatever has taken its place since.
type state struct {
	*routes
	cfg  *config.Config
	pass http.Handler
}

// now returns the state in force.
func (p *Proxy) now() *state { return p.state.Load() }

func (p *Proxy) newState(cfg *config.Config) (*state, error) {
	rt, err := newRoutes(cfg)
	if err != nil {
		return nil, err
	}
	s := &state{routes: rt, cfg: cfg}
	s.pass = passthrough.New(passthrough.Options{
		Upstream: cfg.Upstream, TrustedProxies: cfg.TrustedProxies, Transport: p.transport,
		Answer: cfg.AnswerTimeout, Idle: cfg.IdleTimeout,
		OnResponse: p.wrote, OnError: p.passFailed, OnRequest: injectSpan,
	})
	return s, nil
}

// pollerOptions are those that a configuration decides.
func pollerOptions(cfg *config.Config) poller.Options {
	return poller.Options{
		Resources: cfg.Limits.Resources, ResourcesPerClient: cfg.Limits.ResourcesPerClient,
		Concurrency: cfg.Limits.UpstreamConcurrency, Rate: cfg.Limits.UpstreamRate,
	}
}
