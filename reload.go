package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"os"
	"reflect"
	"strings"
	"time"

	"pollbridge/config"
	"pollbridge/listen"
	"pollbridge/metrics"
	"pollbridge/systemd"
)

const notReloaded = "configuration not reloaded: the one before stays in force"

// reload reads the configuration again and puts it in force: all of it or,
// where anything is wrong, nothing.
func (s *server) reload() error {
	started := time.Now()
	s.notify(systemd.Reloading()...)
	defer func() { s.notify(systemd.Ready, s.status()) }()
	err := s.readAgain()
	if err != nil {
		s.loaded.Store(&metrics.Reload{At: s.loaded.Load().At})
		s.log.Error(notReloaded, "errors", err)
		return err
	}
	s.loaded.Store(&metrics.Reload{OK: true, At: time.Now()})
	s.log.Info("configuration reloaded", "listen", s.public.addr(), "upstream", config.Shown(s.cfg.Upstream), "endpoints", len(s.cfg.Endpoints), "took", time.Since(started).Round(time.Microsecond))
	return nil
}

func (s *server) readAgain() error {
	if s.o.file == "" {
		return errors.New("the configuration is from no file, so it cannot be read again")
	}
	cfg, err := config.Load(s.o.file)
	if err != nil {
		return err
	}
	opened, err := s.prepare(cfg)
	if err != nil {
		return err
	}
	if err := s.proxy.Reload(cfg); err != nil {
		opened.close()
		return err
	}
	s.commit(cfg, opened)
	return nil
}

// errDraining is why nobody should come any more.
var errDraining = errors.New("draining")

// askReload has run reload, and waits for what becomes of it.
func (s *server) askReload(ctx context.Context) error {
	answer := make(chan error, 1)
	select {
	case s.reloads <- answer:
		return <-answer
	case <-s.draining:
		return errDraining
	case <-ctx.Done():
		return ctx.Err()
	}
}

// opened is what a configuration needs that may not be had.
type opened struct {
	public, admin net.Listener // nil: that in use goes on
	pair          *tls.Certificate
}

func (o opened) close() {
	for _, l := range []net.Listener{o.public, o.admin} {
		if l != nil {
			l.Close()
		}
	}
}

// prepare does all of what putting a configuration in force may fail at, but
// for what is the proxy's. The error says everything that is in the way.
func (s *server) prepare(cfg *config.Config) (o opened, err error) {
	was := s.cfg
	if was == nil {
		was = &config.Config{Tracing: cfg.Tracing}
	}
	var errs []error
	try := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	if !reflect.DeepEqual(cfg.Tracing, was.Tracing) {
		try(errors.New("tracing: cannot be changed while the program runs: restart it, or leave it as it was"))
	}
	if cfg.TLS != nil {
		o.pair, err = listen.LoadPair(cfg.TLS.Cert, cfg.TLS.Key)
		try(err)
	}
	if cfg.Listen != was.Listen {
		o.public, err = listen.Open("listen", cfg.Listen, cfg.ListenMode)
		try(err)
	}
	if cfg.Admin != was.Admin && cfg.Admin != "" {
		o.admin, err = listen.Open("admin", cfg.Admin, cfg.ListenMode)
		try(err)
	}
	if errs != nil {
		o.close()
		return opened{}, errors.Join(errs...)
	}
	return o, nil
}

// commit puts a configuration in force that the proxy goes by already. It
// cannot fail.
func (s *server) commit(cfg *config.Config, o opened) {
	s.log.set(cfg.Log)
	settings := listen.Settings{Proxies: cfg.ProxyProtocol, TurnedAway: s.proxy.TurnedAway, NoMemory: s.proxy.Crowded}
	if cfg.TLS != nil {
		s.useCertificate(o.pair, cfg.TLS.Cert)
		settings.TLS = s.certificate.Config()
	}
	operator := s.newOperator(cfg)
	s.operator.Store(&operator)
	if o.public != nil {
		s.public.open(listen.New(o.public, settings))
	} else {
		s.public.listener.Set(settings)
	}
	if s.cfg == nil || cfg.Admin != s.cfg.Admin {
		s.openAdmin(o.admin)
	}
	if s.cfg != nil && cfg.ListenMode != s.cfg.ListenMode {
		s.changeMode(cfg)
	}
	s.cfg = cfg
	s.watched = s.filesNow()
}

// openAdmin has the operator come in by another listener, and by that alone: who
// was let in by an address that is given up is not let do more. Nil: by none.
func (s *server) openAdmin(l net.Listener) {
	if old := s.admin; old != nil {
		old.shut() // whoever is told of the reload finds it done
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), drainGrace)
			defer cancel()
			old.retire(ctx)
		}()
	}
	s.admin = s.newAdminDoor()
	if l != nil {
		s.admin.open(listen.New(l, listen.Settings{}))
	}
}

// changeMode gives sockets that stay open another mode.
func (s *server) changeMode(cfg *config.Config) {
	for _, address := range []string{cfg.Listen, cfg.Admin} {
		if path, ok := strings.CutPrefix(address, "unix:"); ok {
			if err := os.Chmod(path, cfg.ListenMode); err != nil {
				s.log.Warn("listen_mode is not in force", "err", err)
			}
		}
	}
}

// lookEvery is how often files are looked at that may have changed. That is all
// there is to it: it costs nothing, and works on every file system and with
// whatever takes the place of a file, such as the links of Kubernetes.
const lookEvery = time.Second

// watched are files and what they were when they were read.
type watched struct {
	config, pair []os.FileInfo // nil where there is none
	latest       *watched      // what they were then
}

// filesNow returns what the files are now that are read again when they change.
func (s *server) filesNow() *watched {
	w := new(watched)
	if s.o.watch {
		w.config = infos(s.o.file)
	}
	if s.cfg != nil && s.cfg.TLS != nil {
		w.pair = infos(s.cfg.TLS.Cert, s.cfg.TLS.Key)
	}
	return w
}

func infos(files ...string) (all []os.FileInfo) {
	for _, f := range files {
		info, _ := os.Stat(f) // of where links lead; nil: there is none for now
		all = append(all, info)
	}
	return all
}

func same(a, b []os.FileInfo) bool {
	for i := range a {
		if (a[i] == nil) != (b[i] == nil) || a[i] != nil && (!os.SameFile(a[i], b[i]) || a[i].Size() != b[i].Size() || !a[i].ModTime().Equal(b[i].ModTime())) {
			return false
		}
	}
	return len(a) == len(b)
}

func (w *watched) same(o *watched) bool { return same(w.config, o.config) && same(w.pair, o.pair) }

// look is called every second. It reads again what has changed, once it has not
// for a moment.
func (s *server) look() {
	s.memory.look()
	now := s.filesNow()
	if now.same(s.watched) {
		s.watched.latest = nil
		return
	}
	if s.watched.latest == nil || !now.same(s.watched.latest) {
		s.watched.latest = now
		return
	}
	was := s.watched
	s.watched = now
	if !same(now.config, was.config) {
		s.reload()
		return
	}
	pair, err := listen.LoadPair(s.cfg.TLS.Cert, s.cfg.TLS.Key)
	if err != nil {
		s.log.Error("certificate not reloaded: the one before stays in use", "errors", err)
		return
	}
	s.useCertificate(pair, s.cfg.TLS.Cert)
	s.log.Info("certificate reloaded", "cert", s.cfg.TLS.Cert, "ends", s.certificate.Ends())
}

// useCertificate has connections to come be given one, which was read from file.
func (s *server) useCertificate(pair *tls.Certificate, file string) {
	s.certificate.Set(pair)
	if doubt := listen.Doubt(pair, time.Now()); doubt != "" {
		s.log.Warn("certificate: clients refuse it, or soon will", "cert", file, "reason", doubt)
	}
}
