// Command pollers shows what old pollers cost a backend: directly, through
// nginx's cache and through pollbridge, one after the other on this machine's
// loopback.
//
//	cd bench && go run ./pollers
//
// Pollers and upstream are this process, whose work is the same for all. It
// exits with 1 where pollbridge sends the upstream more than one request in an
// interval, or where a poller is given anything but what the upstream said.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"
)

// A run is what all measurements have in common.
type run struct {
	ctx                 context.Context
	dir                 string
	pollbridge, nginx   string // binaries; nginx may be missing
	pollers             int
	interval            time.Duration // of the pollers, of pollbridge and of nginx's cache
	work                time.Duration
	rows                int
	warmUp, measurement time.Duration
}

func main() {
	r := run{warmUp: 3 * time.Second, interval: time.Second}
	flag.IntVar(&r.pollers, "pollers", 1000, "how many poll, each once a second")
	flag.DurationVar(&r.measurement, "for", 10*time.Second, "how long each contender is measured")
	flag.DurationVar(&r.work, "work", 10*time.Millisecond, "how long the upstream takes for an answer")
	flag.IntVar(&r.rows, "rows", 600, "of the document, about 85 bytes each")
	flag.StringVar(&r.pollbridge, "pollbridge", "", "`binary` (default: built from the directory above)")
	flag.Parse()
	if err := r.main(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "pollers:", err)
		os.Exit(1)
	}
}

func (r *run) main(out io.Writer) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	dir, err := os.MkdirTemp("", "pollbridge-pollers")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	r.ctx, r.dir = ctx, dir
	if r.pollbridge == "" {
		if r.pollbridge, err = build(ctx, "..", dir); err != nil {
			return err
		}
	}
	if r.nginx, err = exec.LookPath("nginx"); err != nil {
		fmt.Fprintln(out, "nginx is not on this machine and is left out; on Debian: apt-get install nginx-light")
	}
	return r.all(out)
}

// all measures everything. The error says what did not hold.
func (r *run) all(out io.Writer) error {
	var failed []error
	for _, part := range []struct {
		title      string
		manner     manner
		every      time.Duration
		contenders []contender
	}{
		{"plain GETs, a change every 500 ms", plain, 500 * time.Millisecond, []contender{direct, nginx, nginxStale, pollbridge}},
		{"with If-None-Match, a change every 5 s", conditional, 5 * time.Second, []contender{direct, nginx, pollbridge}},
		{"with A-IM: json-patch as well, a change every 500 ms", deltas, 500 * time.Millisecond, []contender{pollbridge}},
	} {
		fmt.Fprintf(out, "\n%d pollers, %s\n%-17s %s\n%-17s %s\n", r.pollers, part.title,
			"", "   to the upstream |                   to the pollers                    |  proxy  |  behind, ms", "", "  req/s       KB/s | answers/s     KB/s   304   226   p50   p99    max ms | CPU s/s |   p99    max | errors")
		for _, c := range part.contenders {
			if r.nginx == "" && (c.name == nginx.name || c.name == nginxStale.name) {
				continue
			}
			m, err := r.measure(c, part.manner, part.every)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			fmt.Fprintln(out, m)
			failed = append(failed, m.check())
		}
	}
	fmt.Fprintln(out, "\nbehind: for how long the upstream had said something newer when a poller got its answer")
	return errors.Join(failed...)
}

// A measurement is what one contender made of the pollers' requests.
type measurement struct {
	tally
	contender string
	interval  time.Duration
	took      time.Duration
	requests  int64 // to the upstream
	upstream  int64 // bytes of its bodies
	cpu       time.Duration
}

func (r *run) measure(c contender, m manner, every time.Duration) (*measurement, error) {
	up, err := newUpstream(every, r.work, r.rows)
	if err != nil {
		return nil, err
	}
	defer up.close()
	p, err := c.start(r, up.address())
	if err != nil {
		return nil, err
	}
	defer p.stop()
	from := time.Now().Add(r.warmUp)
	until := from.Add(r.measurement)
	result := &measurement{contender: c.name, interval: r.interval}
	counted := make(chan struct{})
	go func() {
		defer close(counted)
		time.Sleep(time.Until(from))
		began, requests, sent, cpu := time.Now(), up.requests.Load(), up.sent.Load(), p.cpu()
		time.Sleep(time.Until(until))
		result.took = time.Since(began)
		result.requests, result.upstream, result.cpu = up.requests.Load()-requests, up.sent.Load()-sent, p.cpu()-cpu
	}()
	tally := pollAll(r.ctx, r.pollers, r.interval, "http://"+p.address+"/api/orders", m, up, from, until)
	<-counted
	result.tally = tally
	return result, r.ctx.Err()
}

// check says what did not hold.
func (m *measurement) check() error {
	switch most := int64(m.took/m.interval) + 1; {
	case m.errors > 0:
		return fmt.Errorf("%s: %d polls failed, the first with: %w", m.contender, m.errors, m.firstError)
	case m.answers == 0:
		return fmt.Errorf("%s: no answers", m.contender)
	case m.contender == pollbridge.name && m.requests > most:
		return fmt.Errorf("%s: %d requests to the upstream in %v, want at most one in %v, which is %d", m.contender, m.requests, m.took, m.interval, most)
	}
	return nil
}

func (m *measurement) String() string {
	s := m.took.Seconds()
	return fmt.Sprintf("%-17s %7.1f %10.1f | %9.0f %8.0f  %3.0f%%  %3.0f%% %5.1f %5.1f %6.1f    | %7.3f | %5.0f  %5.0f | %6d", m.contender,
		float64(m.requests)/s, float64(m.upstream)/1e3/s, float64(m.answers)/s, float64(m.bytes)/1e3/s,
		m.share(m.notModified), m.share(m.patches), quantile(m.latencies, 0.5), quantile(m.latencies, 0.99), quantile(m.latencies, 1),
		m.cpu.Seconds()/s, quantile(m.behind, 0.99), quantile(m.behind, 1), m.errors)
}

// share of the answers, in per cent.
func (m *measurement) share(n int) float64 { return 100 * float64(n) / float64(max(1, m.answers)) }
