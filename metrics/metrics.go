// Package metrics shows Prometheus what the proxy is at. It counts nothing
// itself: at each scrape it reads the one status that the dashboard reads too.
//
// Labels are bounded by the configuration: a rule, a word of this program's, a
// class of status. No URL and no client is one.
package metrics

import (
	"fmt"
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"pollbridge/poller"
	"pollbridge/proxy"
)

// Options are what there is to show. Status must be given.
type Options struct {
	Version    string
	Status     func() proxy.Status
	LogLost    func() uint64 // lines of the log that were lost so far; nil: none
	LiveMemory func() int64  // bytes in use; nil: not known
	Reloaded   func() Reload // nil: the configuration was read once, and that is not shown

	// CertificateEnds is when that of TLS ends; zero: there is none. Nil: not known.
	CertificateEnds func() time.Time
}

// Reload is what became of the configuration.
type Reload struct {
	OK bool      // the latest attempt to read it has succeeded
	At time.Time // when the one in force was read
}

// scrapes is how many may be answered at once: one status is a look at every
// resource.
const scrapes = 4

// New returns the handler of /metrics.
func New(o Options) http.Handler {
	registry := prometheus.NewRegistry()
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "pollbridge_build_info", Help: "Always 1; the labels say what is running.",
		ConstLabels: prometheus.Labels{"version": o.Version, "goversion": runtime.Version()},
	})
	build.Set(1)
	registry.MustRegister(
		build, &collector{o},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: scrapes})
}

// class names a class of status: 2 is 2xx.
func class(n int) string { return fmt.Sprintf("%dxx", n) }

// histogram returns times as a metric.
func histogram(d *prometheus.Desc, t *poller.Times, labels ...string) prometheus.Metric {
	buckets := make(map[float64]uint64, len(poller.Within))
	n := uint64(0)
	for i, bound := range poller.Within {
		n += t.Classes[i]
		buckets[bound.Seconds()] = n
	}
	return prometheus.MustNewConstHistogram(d, t.Count(), t.Sum.Seconds(), buckets, labels...)
}
