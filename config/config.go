// Package config reads pollbridge's one YAML file into a [Config].
//
// It is strict: a key that nobody knows, a value that is not of its kind and a rule
// that no request can match are errors, each with
// file, line, key, what was found and what is allowed, and all of them are reported at once,
// so that a file is mended in one go and a running proxy never means something else than its file says.
//
// The file is not unmarshalled into structs, because then the first wrong type hides
// the other errors, most of which would have no line. Instead one table (fields.go) names every
// key with the shape of its value, and the tree of YAML nodes is walked along it. What a value
// may be is said once, beside its reading: the same words are what a message calls "allowed".
//
// Every scalar is read from its text, whatever type YAML sees in it, so that `${PORT}` can stand for a
// number and a header's value 1.10 stays 1.10. Anchors, aliases, merge keys and tags are refused: a rule
// says everything that it means, and a small file cannot stand for a huge one.
//
// Values that come from the environment or stand under `headers` may be secrets
// and are printed neither in errors nor by [Config.Describe].
package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"time"
)

// Reserved is what the paths begin with that pollbridge answers itself, whatever the configuration says.
const Reserved = "/.pollbridge/"

// Config is one configuration file, validated, with its defaults filled in. It is not changed after Parse.
type Config struct {
	Listen           string         // host:port, unix:/path, or systemd
	ListenMode       fs.FileMode    // of the socket's file, where Listen or Admin names one
	Upstream         *url.URL       // http or https; its path, if any, is put before that of each request and does not end in "/"
	Admin            string         // host:port; "" turns the private listener off
	AdminHosts       []string       // in lower case: names by which Admin is asked, beside its own, this machine's and addresses
	AdminBodies      bool           // the dashboard shows what documents say
	Socket           string         // clean path, begins with "/"
	Origins          []string       // scheme://host[:port] as a browser writes it in Origin
	TLS              *TLS           // nil: none
	TrustedProxies   []netip.Prefix // masked
	ProxyProtocol    []netip.Prefix // masked; who begins connections with its header
	Compression      bool
	AnswerTimeout    time.Duration // 0: none
	IdleTimeout      time.Duration // 0: none
	DrainDelay       time.Duration
	Drain            time.Duration
	MaxConnectionAge time.Duration // 0: unlimited
	Log              Log
	Tracing          *Tracing   // nil: none
	Endpoints        []Endpoint // in the file's order, at least one; no two paths conflict in a net/http ServeMux
	Limits           Limits
}

// TLS names the PEM files that the listener serves with.
type TLS struct{ Cert, Key string }

// Log says what is logged and how.
type Log struct {
	Level  slog.Level
	Format string // "text" or "json"
	Access bool   // one line per request
}

// Tracing says where spans are sent, as OTLP over HTTP.
type Tracing struct {
	Endpoint *url.URL // http or https; /v1/traces is appended to its path, which does not end in "/"
	Sample   float64  // the part of traces begun here that is recorded, from 0 to 1
	Headers  map[string]string
}

// Endpoint is one rule: which requests it names, how they are polled and what is pushed.
type Endpoint struct {
	Path          string              // net/http ServeMux pattern without method and host
	Interval      time.Duration       // at least 10ms
	MaxInterval   time.Duration       // 0: never stretched; else at least Interval
	Timeout       time.Duration       // of one whole exchange
	Linger        time.Duration       // 0: polling stops with the last watcher
	Vary          []string            // canonical header names, or "Cookie:name" for one cookie; empty: shared by all
	Authorize     string              // "false", "true" or "same"
	Reauthorize   time.Duration       //
	Touch         time.Duration       // 0: off
	Headers       map[string]string   // by canonical name; disjoint from Vary
	DropQuery     []string            // names of query parameters, decoded
	Keys          map[string][]string // by JSON Pointer of an array, "*" for any one; member names, or pointers that begin with "/"
	ConfirmShrink float64             // 0: off; below 1
	Confirm       int                 // at least 1, at most 10
	Ignore        []string            // JSON Pointers, "*" for any one; none is ""
	Format        string              // "json-patch", "merge-patch" or "snapshot"
	MaxBody       int64               // bytes, at most 1 GiB
	Serve         bool                //
	RefreshOn     []string            // "METHOD /path", METHOD a write, /path a ServeMux pattern
	Line          int                 // of its path in the file, for messages
}

// Limits bounds what clients and rules may use. All but UpstreamRate are at least 1.
type Limits struct {
	Connections                int
	ConnectionsPerClient       int // per remote address
	SubscriptionsPerConnection int
	Resources                  int
	ResourcesPerClient         int // per remote address
	UpstreamConcurrency        int
	UpstreamRate               float64 // requests per second; 0: unlimited
}

// Default returns what an empty file would mean if it were allowed to leave out
// upstream and endpoints: the two are nil.
func Default() *Config {
	return &Config{
		Listen:        ":8080",
		ListenMode:    0o660,
		Admin:         "127.0.0.1:9090",
		Socket:        "/",
		Compression:   true,
		AnswerTimeout: time.Minute,
		IdleTimeout:   10 * time.Minute,
		Drain:         10 * time.Second,
		Log:           Log{Level: slog.LevelInfo, Format: "text"},
		Limits: Limits{
			Connections:                100_000,
			ConnectionsPerClient:       1000,
			SubscriptionsPerConnection: 100,
			Resources:                  10_000,
			ResourcesPerClient:         2500,
			UpstreamConcurrency:        64,
		},
	}
}

// defaultEndpoint returns a rule as it is before its keys are read.
func defaultEndpoint() Endpoint {
	return Endpoint{
		Timeout:     10 * time.Second,
		Linger:      30 * time.Second,
		Vary:        []string{"Authorization", "Cookie"},
		Authorize:   "false",
		Reauthorize: 5 * time.Minute,
		DropQuery:   []string{"_"},
		Confirm:     1,
		Format:      "json-patch",
		MaxBody:     8 << 20,
		Serve:       true,
	}
}

// maxFile bounds a configuration file, in bytes: some ten thousand rules.
const maxFile = 1 << 20

// Load reads and parses the file, with the process's environment. Its errors are those of the
// file system and of [Parse].
func Load(file string) (*Config, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	return Parse(file, data, os.LookupEnv)
}

// Parse parses a configuration. The name is the file's in messages; getenv looks up what
// `${NAME}` stands for, nil being an empty environment. The error's text has one line for each thing that is wrong,
// "name:line: key: found …, allowed: …", in the order of lines; [errors.Join] made it, so
// that Unwrap() []error gives them one by one.
func Parse(name string, data []byte, getenv func(string) (string, bool)) (*Config, error) {
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s:1: found a file of more than %d bytes, allowed: at most that", name, maxFile)
	}
	root, line, err := document(data)
	if err != nil {
		return nil, fmt.Errorf("%s:%d: %w", name, line, err)
	}
	if getenv == nil {
		getenv = func(string) (string, bool) { return "", false }
	}
	d := decoder{getenv: getenv, seen: map[string]place{}}
	c := Default()
	d.value(c.fields(), place{line: 1}, root)
	d.check(c)
	if errs := d.report(name); errs != nil {
		return nil, errors.Join(errs...)
	}
	return c, nil
}
