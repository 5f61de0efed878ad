package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"

	"pollbridge/systemd"
)

// ready says whether new clients are welcome.
func (s *server) ready() error {
	select {
	case <-s.draining:
		return errDraining
	default:
		return nil
	}
}

// drainGrace is what requests under way get on top of the drain time.
const drainGrace = 10 * time.Second

// farewell is for what remains to be done then: the last lines of the log and the last spans are sent.
const farewell = 5 * time.Second

// Why a drain ends before everybody is gone.
var (
	errTime   = errors.New("the time for it is over")
	errSignal = errors.New("a second signal came")
)

// drain says goodbye to everybody, at most until the time is over or another
// signal to end comes.
func (s *server) drain(signals <-chan os.Signal) error {
	s.log.Info("draining", "delay", s.cfg.DrainDelay, "over", s.cfg.Drain)
	most := s.cfg.DrainDelay + s.cfg.Drain + drainGrace
	s.notify(systemd.Stopping, systemd.Status("draining"), systemd.Extend(most+farewell))
	close(s.draining)
	timed, release := context.WithTimeoutCause(context.Background(), most, errTime)
	defer release()
	ctx, cancel := context.WithCancelCause(timed)
	defer cancel(nil)
	go func() {
		for {
			select {
			case sig := <-signals:
				if sig != syscall.SIGHUP {
					cancel(errSignal)
					return
				}
				s.log.Error(notReloaded, "errors", errDraining)
			case <-ctx.Done():
				return
			}
		}
	}()
	select {
	case <-time.After(s.cfg.DrainDelay): // balancers see /readyz fail, and go on to send until they have
	case <-ctx.Done():
	}
	s.proxy.Drain(ctx)
	err := s.public.retire(ctx)
	if why := context.Cause(ctx); why != nil {
		err = why
	}
	if err != nil {
		s.log.Warn("ended before everything was finished", "err", err)
		return nil
	}
	s.log.Info("drained")
	return nil
}

// A birth is when a connection was opened, and how much of max_connection_age
// is its own.
type birth struct {
	at    time.Time
	share float64
}

type birthKey struct{}

func withBirth(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, birthKey{}, birth{time.Now(), 0.9 + 0.2*rand.Float64()})
}

// rotating has connections that requests come over end with an answer, when
// they are older than max_connection_age or the program is to end. Sockets and
// event streams, whose answers do not end, are the proxy's.
func (s *server) rotating(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" && (s.ready() != nil || s.outlived(r)) {
			w.Header().Set("Connection", "close")
		}
		next.ServeHTTP(w, r)
	})
}

func (s *server) outlived(r *http.Request) bool {
	age := s.proxy.MaxConnectionAge()
	if age <= 0 {
		return false
	}
	b, ok := r.Context().Value(birthKey{}).(birth)
	return ok && time.Since(b.at) > time.Duration(b.share*float64(age))
}
