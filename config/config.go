package config

import (
	"log/slog"
	"net/netip"
	"net/url"
	"time"
)

// Config is one configuration file, validated, with its defaults filled in.
type Config struct {
	Listen           string   // host:port
	Upstream         *url.URL // absolute, http or https
	Admin            string   // host:port, "" for none
	Socket           string   // path, begins with "/"
	Origins          []string // scheme://host[:port]
	TLS              *TLS     // nil: none
	TrustedProxies   []netip.Prefix
	Compression      bool
	Drain            time.Duration
	MaxConnectionAge time.Duration // 0: unlimited
	Log              Log
	Endpoints        []Endpoint
	Limits           Limits
}

// TLS names the PEM files that the listener serves with.
type TLS struct{ Cert, Key string }

// Log says what is logged and how.
type Log struct {
	Level  slog.Level
	Format string // "text" or "json"
	Access bool
}

// Endpoint is one rule: which requests it names and how they are polled.
type Endpoint struct {
	Path                                   string
	Interval, MaxInterval, Timeout, Linger time.Duration
	Vary                                   []string
	Authorize                              string // "false", "true" or "same"
	Reauthorize, Touch                     time.Duration
	Headers                                map[string]string
	DropQuery                              []string
	Keys                                   map[string][]string
	ConfirmShrink                          float64
	Ignore                                 []string
	Format                                 string // "json-patch", "merge-patch" or "snapshot"
	MaxBody                                int64  // bytes
	Serve                                  bool
	RefreshOn                              []string
	Line                                   int // of its path in the file, for messages
}

// Limits bounds what clients and rules may use.
type Limits struct {
	Connections                int
	ConnectionsPerClient       int
	SubscriptionsPerConnection int
	Resources                  int
	UpstreamConcurrency        int
	UpstreamRate               float64 // requests per second, 0: unlimited
}
