package config

import (
	"io/fs"
	"log/slog"
	"time"
)

// A field is one key of a mapping. All the keys that there are stand below.
type field struct {
	name     string
	value    shape
	required bool
}

func (c *Config) fields() object {
	return object{
		{name: "listen", value: scalar[string]{&c.Listen, address}},
		{name: "listen_mode", value: scalar[fs.FileMode]{&c.ListenMode, fileMode}},
		{name: "upstream", value: upstreamURL(&c.Upstream), required: true},
		{name: "admin", value: scalar[string]{&c.Admin, addressOrNone}},
		{name: "admin_hosts", value: texts(&c.AdminHosts, hostName)},
		{name: "admin_bodies", value: scalar[bool]{&c.AdminBodies, boolean}},
		{name: "socket", value: scalar[string]{&c.Socket, socketPath}},
		{name: "origins", value: texts(&c.Origins, origin)},
		{name: "tls", value: optional[TLS]{&c.TLS, (*TLS).fields}},
		{name: "trusted_proxies", value: texts(&c.TrustedProxies, network)},
		{name: "proxy_protocol", value: texts(&c.ProxyProtocol, network)},
		{name: "compression", value: scalar[bool]{&c.Compression, boolean}},
		{name: "answer_timeout", value: scalar[time.Duration]{&c.AnswerTimeout, duration(0)}},
		{name: "idle_timeout", value: scalar[time.Duration]{&c.IdleTimeout, duration(0)}},
		{name: "drain_delay", value: scalar[time.Duration]{&c.DrainDelay, duration(0)}},
		{name: "drain", value: scalar[time.Duration]{&c.Drain, duration(0)}},
		{name: "max_connection_age", value: scalar[time.Duration]{&c.MaxConnectionAge, duration(0)}},
		{name: "log", value: c.Log.fields()},
		{name: "tracing", value: optional[Tracing]{&c.Tracing, (*Tracing).fields}},
		{name: "endpoints", value: endpoints(&c.Endpoints), required: true},
		{name: "limits", value: c.Limits.fields()},
	}
}

func (t *TLS) fields() object {
	return object{
		{name: "cert", value: scalar[string]{&t.Cert, pemFile}, required: true},
		{name: "key", value: scalar[string]{&t.Key, pemFile}, required: true},
	}
}

func (l *Log) fields() object {
	return object{
		{name: "level", value: scalar[slog.Level]{&l.Level, level}},
		{name: "format", value: scalar[string]{&l.Format, oneOf("text", "json")}},
		{name: "access", value: scalar[bool]{&l.Access, boolean}},
	}
}

func (t *Tracing) fields() object {
	t.Sample = 0.01
	return object{
		{name: "endpoint", value: baseURL(&t.Endpoint), required: true},
		{name: "sample", value: scalar[float64]{&t.Sample, share}},
		{name: "headers", value: headers(&t.Headers)},
	}
}

func (e *Endpoint) fields() object {
	return object{
		{name: "path", value: scalar[string]{&e.Path, rulePath}, required: true},
		{name: "interval", value: scalar[time.Duration]{&e.Interval, duration(10 * time.Millisecond)}, required: true},
		{name: "max_interval", value: scalar[time.Duration]{&e.MaxInterval, duration(0)}},
		{name: "timeout", value: scalar[time.Duration]{&e.Timeout, duration(time.Millisecond)}},
		{name: "linger", value: scalar[time.Duration]{&e.Linger, duration(0)}},
		{name: "vary", value: texts(&e.Vary, varyName)},
		{name: "authorize", value: scalar[string]{&e.Authorize, oneOf("false", "true", "same")}},
		{name: "reauthorize", value: scalar[time.Duration]{&e.Reauthorize, duration(time.Second)}},
		{name: "touch", value: scalar[time.Duration]{&e.Touch, duration(0)}},
		{name: "headers", value: headers(&e.Headers)},
		{name: "drop_query", value: texts(&e.DropQuery, parameter)},
		{name: "keys", value: keys(&e.Keys)},
		{name: "confirm_shrink", value: scalar[float64]{&e.ConfirmShrink, fraction}},
		{name: "confirm", value: scalar[int]{&e.Confirm, few}},
		{name: "ignore", value: texts(&e.Ignore, memberPointer)},
		{name: "format", value: scalar[string]{&e.Format, oneOf("json-patch", "merge-patch", "snapshot")}},
		{name: "max_body", value: scalar[int64]{&e.MaxBody, size}},
		{name: "serve", value: scalar[bool]{&e.Serve, boolean}},
		{name: "refresh_on", value: texts(&e.RefreshOn, writePattern)},
	}
}

func (l *Limits) fields() object {
	return object{
		{name: "connections", value: scalar[int]{&l.Connections, count}},
		{name: "connections_per_client", value: scalar[int]{&l.ConnectionsPerClient, count}},
		{name: "subscriptions_per_connection", value: scalar[int]{&l.SubscriptionsPerConnection, count}},
		{name: "resources", value: scalar[int]{&l.Resources, count}},
		{name: "resources_per_client", value: scalar[int]{&l.ResourcesPerClient, count}},
		{name: "upstream_concurrency", value: scalar[int]{&l.UpstreamConcurrency, count}},
		{name: "upstream_rate", value: scalar[float64]{&l.UpstreamRate, rate}},
	}
}
