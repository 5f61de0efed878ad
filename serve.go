package main

import (
	"bytes"
	"context"
	"errors"
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
	"pollbridge/metrics"
	"pollbridge/proxy"
	"pollbridge/tracing"
)

func newServeCommand() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the proxy",
		Long: `Run the proxy that the configuration file describes.

SIGTERM and SIGINT drain: /readyz of the admin listener fails, sockets are
closed spread over the time that drain gives, requests under way are finished.
A second signal ends at once.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := loadConfig(file)
			if err != nil {
				return err
			}
			log := openLogs(c.ErrOrStderr(), cfg.Log)
			defer log.queue.Flush()
			return serve(c.Context(), cfg, log, nil)
		},
	}
	configFlag(c, &file)
	return c
}

func configFlag(c *cobra.Command, file *string) {
	c.Flags().StringVarP(file, "config", "c", "config.yaml", "configuration `file`")
	c.MarkFlagFilename("config", "yaml", "yml")
}

// A server is what serve runs: the public listener, and the admin one unless
// it is turned off.
type server struct {
	cfg           *config.Config
	log           *logs
	proxy         *proxy.Proxy
	public, admin *http.Server
	draining      atomic.Bool
}

// serve runs until ctx ends or a signal comes, and then drains. Once it
// listens it calls ready, if given, with its addresses; that of the admin listener
// is nil where that is turned off.
func serve(ctx context.Context, cfg *config.Config, log *logs, ready func(public, admin net.Addr)) error {
	o := proxy.Options{Log: log.Logger, Access: log.access}
	if cfg.Tracing != nil {
		t, err := newTracer(ctx, cfg.Tracing, log.Logger)
		if err != nil {
			return err
		}
		defer t.Close()
		o.Tracer = t
	}
	p, err := proxy.New(cfg, o)
	if err != nil {
		return err
	}
	defer p.Close()
	s := &server{cfg: cfg, log: log, proxy: p}
	errorLog := newServerLog(log.Logger)
	s.public = newHTTPServer(p, errorLog)
	loaded := metrics.Reload{OK: true, At: time.Now()}
	live := newLive()
	defer live.Close()
	s.admin = newHTTPServer(admin.New(admin.Options{
		Listen: cfg.Admin, Hosts: cfg.AdminHosts, Ready: s.ready, Refresh: p.Refresh,
		Metrics: metrics.New(metrics.Options{
			Version: version(), Status: p.Status, LogLost: log.queue.Lost, Reloaded: func() metrics.Reload { return loaded },
		}),
		Status: p, Bodies: cfg.AdminBodies, Version: version(), Upstream: cfg.Upstream.Redacted(), Push: live.push,
	}), errorLog)

	listener, err := listen("listen", cfg.Listen)
	if err != nil {
		return err
	}
	var adminAddr net.Addr
	adminAddress := ""
	failed := make(chan error, 2)
	if cfg.Admin != "" {
		l, err := listen("admin", cfg.Admin)
		if err != nil {
			listener.Close()
			return err
		}
		adminAddr, adminAddress = l.Addr(), l.Addr().String()
		go func() { failed <- s.admin.Serve(l) }()
		defer s.admin.Close()
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer signal.Stop(signals)
	go func() { failed <- s.public.Serve(listener) }()
	log.Info("serving", "listen", listener.Addr().String(), "upstream", cfg.Upstream.Redacted(), "endpoints", len(cfg.Endpoints), "admin", adminAddress)
	if ready != nil {
		ready(listener.Addr(), adminAddr)
	}
	for {
		select {
		case err := <-failed:
			return fmt.Errorf("serve: %w", err)
		case sig := <-signals:
			if sig == syscall.SIGHUP {
				log.Warn("reload is not yet supported: restart to apply a changed configuration")
				continue
			}
			return s.drain(signals)
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

// newHTTPServer bounds what a client can hold by saying nothing, or too much.
// Bodies and answers take the time that they take.
func newHTTPServer(h http.Handler, errorLog *log.Logger) *http.Server {
	return &http.Server{
		Handler: h, ErrorLog: errorLog, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
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

// listen binds the address of a key of the configuration.
func listen(key, address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	switch {
	case err == nil:
		return l, nil
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, &busyError{key, address}
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%s: %s is not permitted to this user: ports below 1024 often are not", key, address)
	}
	return nil, fmt.Errorf("%s: %w", key, err)
}

// A busyError says that the address of a key is taken.
type busyError struct{ key, address string }

func (e *busyError) Error() string {
	return fmt.Sprintf("%s: %s is in use by another program: stop that one, or give another address", e.key, e.address)
}

func (s *server) ready() error {
	if s.draining.Load() {
		return errors.New("draining")
	}
	return nil
}

// drainGrace is what requests under way get on top of the drain time.
const drainGrace = 10 * time.Second

// drain says goodbye to everybody, at most until the time is over or another
// signal comes.
func (s *server) drain(signals <-chan os.Signal) error {
	s.log.Info("draining", "over", s.cfg.Drain)
	s.draining.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), s.cfg.Drain+drainGrace)
	defer cancel()
	go func() {
		select {
		case <-signals:
			cancel()
		case <-ctx.Done():
		}
	}()
	s.proxy.Drain(ctx)
	if err := s.public.Shutdown(ctx); err != nil {
		s.public.Close()
		s.log.Warn("ended before everything was finished", "err", err)
		return nil
	}
	s.log.Info("drained")
	return nil
}
