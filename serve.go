package main

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"pollbridge/admin"
	"pollbridge/config"
	"pollbridge/listen"
	"pollbridge/metrics"
	"pollbridge/proxy"
	"pollbridge/systemd"
	"pollbridge/tracing"
)

func newServeCommand() *cobra.Command {
	var o serveOptions
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the proxy",
		Long: `Run the proxy that the configuration file describes.

SIGHUP, POST /reload on the admin listener and, with --watch, a change of the file
reload the configuration: all of it or, where anything is wrong, nothing. What
has not changed goes on without a gap.

SIGTERM and SIGINT drain: /readyz of the admin listener fails for drain_delay,
sockets are closed spread over the time that drain gives, requests under way are
finished. A second signal ends at once.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := loadConfig(o.file)
			if err != nil {
				return err
			}
			log := openLogs(c.ErrOrStderr(), cfg.Log)
			defer log.queue.Flush()
			return serve(c.Context(), cfg, log, o)
		},
	}
	configFlag(c, &o.file)
	c.Flags().BoolVarP(&o.watch, "watch", "w", false, "reload the configuration when its file changes")
	return c
}

func configFlag(c *cobra.Command, file *string) {
	c.Flags().StringVarP(file, "config", "c", "config.yaml", "configuration `file`")
	c.MarkFlagFilename("config", "yaml", "yml")
}

// serveOptions are what serve needs beside a configuration. The zero value
// works.
type serveOptions struct {
	file  string                       // that the configuration is from; empty: it cannot be read again
	watch bool                         // it is read again when it changes
	ready func(public, admin net.Addr) // called once these are open; admin is nil where that is turned off
}

// A server is what serve runs: the public listener, and the admin one unless
// it is turned off.
type server struct {
	o             serveOptions
	log           *logs
	proxy         *proxy.Proxy
	public, admin *door
	operator      atomic.Pointer[http.Handler] // of the admin listener
	live          *live                        // what pushes the documents of its pages
	started       time.Time
	certificate   listen.Certificate
	memory        *memory
	loaded        atomic.Pointer[metrics.Reload]
	reloads       chan chan<- error // who asks for one, and waits for what becomes of it
	failed        chan error        // a listener has ended by itself
	draining      chan struct{}     // closed when it begins

	// Only run and what it calls use these.
	cfg     *config.Config // in force; nil: none is yet
	watched *watched       // files, by what they were when they were last read
}

// serve runs until ctx ends or a signal comes, and then drains.
func serve(ctx context.Context, cfg *config.Config, log *logs, o serveOptions) error {
	options := proxy.Options{Log: log.Logger, Access: log.access}
	if cfg.Tracing != nil {
		t, err := newTracer(ctx, cfg.Tracing, log.Logger)
		if err != nil {
			return err
		}
		defer t.Close()
		options.Tracer = t
	}
	p, err := proxy.New(cfg, options)
	if err != nil {
		return err
	}
	defer p.Close()
	s := newServer(p, log, o)
	s.memory = newMemory(log.Logger, p.Forget, p.SetCrowded)
	defer s.live.Close()
	defer func() { s.admin.Close() }() // it may be another by then
	defer s.public.Close()
	opened, err := s.prepare(cfg)
	if err != nil {
		return err
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer signal.Stop(signals)
	s.commit(cfg, opened)
	s.loaded.Store(&metrics.Reload{OK: true, At: time.Now()})
	log.Info("serving", "listen", s.public.addr(), "upstream", config.Shown(cfg.Upstream), "endpoints", len(cfg.Endpoints), "admin", s.admin.addr())
	if o.ready != nil {
		var adminAddr net.Addr
		if s.admin.listener != nil {
			adminAddr = s.admin.listener.Addr()
		}
		o.ready(s.public.listener.Addr(), adminAddr)
	}
	return s.run(ctx, signals)
}

func newServer(p *proxy.Proxy, log *logs, o serveOptions) *server {
	s := &server{o: o, log: log, proxy: p, live: newLive(), started: time.Now(), reloads: make(chan chan<- error), failed: make(chan error, 1), draining: make(chan struct{})}
	s.public = newDoor(newHTTPServer(s.rotating(p), newServerLog(log.Logger)), s.failed)
	s.public.server.ConnContext = withBirth
	s.admin = s.newAdminDoor()
	return s
}

func (s *server) newAdminDoor() *door {
	return newDoor(newHTTPServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		(*s.operator.Load()).ServeHTTP(w, r)
	}), newServerLog(s.log.Logger)), s.failed)
}

// newOperator returns the handler of the admin listener.
func (s *server) newOperator(cfg *config.Config) http.Handler {
	certificateEnds := s.certificate.Ends
	if cfg.TLS == nil {
		certificateEnds = func() time.Time { return time.Time{} } // of whatever was in use before
	}
	return admin.New(admin.Options{
		Listen: cfg.Admin, Hosts: cfg.AdminHosts, Ready: s.ready, Refresh: s.proxy.Refresh, Reload: s.askReload,
		Metrics: metrics.New(metrics.Options{
			Version: version(), Status: s.proxy.Status, LogLost: s.log.queue.Lost, LiveMemory: s.memory.live.Load, Reloaded: func() metrics.Reload { return *s.loaded.Load() },
			CertificateEnds: certificateEnds,
		}),
		Status: s.proxy, Bodies: cfg.AdminBodies, Version: version(), Started: s.started, Upstream: config.Shown(cfg.Upstream), Push: s.live.push,
	})
}

// run does what signals and others ask for, until one asks for the end.
func (s *server) run(ctx context.Context, signals <-chan os.Signal) error {
	s.notify(systemd.Ready, s.status())
	defer s.keepWatchdog()()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		select {
		case err := <-s.failed:
			return fmt.Errorf("serve: %w", err)
		case sig := <-signals:
			if sig != syscall.SIGHUP {
				return s.drain(signals)
			}
			s.reload()
		case answer := <-s.reloads:
			answer <- s.reload()
		case <-look.C:
			s.look()
		case <-ctx.Done():
			return s.drain(signals)
		}
	}
}

func newTracer(ctx context.Context, c *config.Tracing, log *slog.Logger) (*tracing.Tracer, error) {
	return tracing.New(ctx, tracing.Options{
		Endpoint: c.Endpoint.String(), Headers: c.Headers, Sample: c.Sample, Version: version(), Log: log,
	})
}

// newHTTPServer bounds what a client can hold by saying nothing, or too much. A
// body that nobody wants has as long as a header; bodies and answers that pass
// through have limits of their own.
func newHTTPServer(h http.Handler, errorLog *log.Logger) *http.Server {
	return &http.Server{
		Handler: h, ErrorLog: errorLog, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 64 << 10, DisableGeneralOptionsHandler: true,
	}
}

// A serverLog takes what net/http has to say. What clients do wrong is no news;
// that a request ended in a panic is.
type serverLog struct{ *slog.Logger }

func newServerLog(to *slog.Logger) *log.Logger { return log.New(serverLog{to}, "", 0) }

// Write implements io.Writer.
func (l serverLog) Write(p []byte) (int, error) {
	level := slog.LevelDebug
	if bytes.HasPrefix(p, []byte("http: panic serving")) {
		level = slog.LevelError
	}
	l.Log(context.Background(), level, string(bytes.TrimSpace(p)))
	return len(p), nil
}

// notify tells systemd, if it has started this, of a state.
func (s *server) notify(lines ...string) {
	if err := systemd.Notify(lines...); err != nil {
		s.log.Warn("systemd was not told", "err", err)
	}
}

func (s *server) status() string {
	text := fmt.Sprintf("serving %d endpoints on %s", len(s.cfg.Endpoints), s.public.addr())
	if !s.loaded.Load().OK {
		text += "; the latest reload failed: the log says why"
	}
	return systemd.Status(text)
}

// keepWatchdog tells systemd that all is well, if it wants to know, for as long
// as locks that everything needs are to be had. It returns what ends that.
func (s *server) keepWatchdog() (end func()) {
	every := systemd.Watchdog()
	if every <= 0 {
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		for {
			s.proxy.Poller().Watched()
			s.notify(systemd.Alive)
			select {
			case <-ticker.C:
			case <-done:
				return
			}
		}
	}()
	return func() { close(done) }
}
