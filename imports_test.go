package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// allowed says, for every package of the product, which packages beside the
// standard library it imports. Paths that begin with a dot are our own. The
// direction is main -> proxy -> poller -> diff: what is on the right does not
// know what is on its left, and what stands beside that line knows nothing of
// it. Tests may import more.
var allowed = map[string][]string{
	".": {
		"./admin", "./advise", "./client", "./config", "./demo", "./listen", "./metrics", "./passthrough", "./probe", "./proxy", "./systemd", "./tracing",
		"github.com/spf13/cobra", "github.com/spf13/pflag",
	},
	"./proxy": {
		"./client/js", "./config", "./diff", "./internal/field", "./passthrough", "./poller",
		"github.com/coder/websocket", // the wire is known here, and in the client, only
		"golang.org/x/net/http/httpguts",
	},
	"./advise": {"./config", "./diff", "./probe"},
	"./probe":  {"./config", "./diff", "./internal/field", "./poller", "./proxy"}, // asks as the proxy would
	"./poller": {"./diff", "./internal/field", "./internal/reuse", "github.com/hashicorp/golang-lru/v2", "golang.org/x/time/rate"},
	"./diff":   {},

	"./admin":       {"./poller"},
	"./client":      {"github.com/coder/websocket"},
	"./client/js":   {"./internal/field"},
	"./config":      {"./internal/unixhost", "gopkg.in/yaml.v3"}, // and nobody else knows YAML
	"./demo":        {},
	"./listen":      {"./systemd", "github.com/pires/go-proxyproto"},
	"./passthrough": {"./internal/reuse", "golang.org/x/net/http/httpguts"},
	"./systemd":     {"golang.org/x/sys/unix"},
	"./metrics": { // and nobody else knows Prometheus
		"./poller", "./proxy", // whose status it shows
		"github.com/prometheus/client_golang/prometheus", "github.com/prometheus/client_golang/prometheus/collectors",
		"github.com/prometheus/client_golang/prometheus/promhttp",
	},
	"./tracing": { // and nobody else knows OpenTelemetry
		"./poller", // whose interfaces it implements
		"go.opentelemetry.io/otel/attribute", "go.opentelemetry.io/otel/codes", "go.opentelemetry.io/otel/exporters/otlp/otlptrace",
		"go.opentelemetry.io/otel/propagation", "go.opentelemetry.io/otel/sdk/resource", "go.opentelemetry.io/otel/sdk/trace",
		"go.opentelemetry.io/otel/trace", "go.opentelemetry.io/proto/otlp/trace/v1", "google.golang.org/protobuf/proto",
	},
	"./internal/field":    {},
	"./internal/pipe":     {}, // for tests
	"./internal/reuse":    {"./internal/unixhost"},
	"./internal/unixhost": {},
}

func TestImports(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range productPackages(t) {
		name := strings.Replace(p.ImportPath, "pollbridge", ".", 1)
		may, known := allowed[name]
		if !known {
			t.Errorf("package %s is new: say in imports_test.go what it may import, or better, that it imports nothing", name)
			continue
		}
		seen[name] = true
		var outside []string
		for _, path := range p.Imports {
			if short := strings.Replace(path, "pollbridge/", "./", 1); short != path || strings.Contains(path, ".") {
				outside = append(outside, short)
			}
		}
		for _, path := range outside {
			if !slices.Contains(may, path) {
				t.Errorf("package %s imports %s, but may import only the standard library and %q: the direction is main -> proxy -> poller -> diff", name, path, may)
			}
		}
		for _, path := range may {
			if !slices.Contains(outside, path) {
				t.Errorf("package %s does not import %s any more: take it out of the table in imports_test.go", name, path)
			}
		}
	}
	for name := range allowed {
		if !seen[name] {
			t.Errorf("there is no package %s any more: take it out of the table in imports_test.go", name)
		}
	}
}

// TestModules holds that the product is built from the libraries that the table
// allows and what these need: neither what only tests use nor a nested module
// (benchmarks beside peers, say) is in it.
func TestModules(t *testing.T) {
	for _, p := range listPackages(t, "-deps", ".") {
		switch {
		case p.Standard || p.Module == nil || p.Module.Path == "pollbridge":
		case slices.Contains([]string{
			"github.com/spf13/cobra", "github.com/spf13/pflag", "github.com/coder/websocket", "gopkg.in/yaml.v3",
			"github.com/hashicorp/golang-lru/v2", "golang.org/x/net", "golang.org/x/time", "golang.org/x/text",
			"google.golang.org/protobuf", "golang.org/x/sys", "github.com/pires/go-proxyproto",
			"github.com/prometheus/client_golang", "github.com/prometheus/client_model", "github.com/prometheus/common", "github.com/prometheus/procfs",
			"github.com/beorn7/perks", "github.com/munnerz/goautoneg",
			"go.opentelemetry.io/otel", "go.opentelemetry.io/otel/sdk", "go.opentelemetry.io/otel/trace", "go.opentelemetry.io/otel/metric",
			"go.opentelemetry.io/otel/log", "go.opentelemetry.io/otel/exporters/otlp/otlptrace", "go.opentelemetry.io/proto/otlp",
			"go.opentelemetry.io/auto/sdk", "github.com/go-logr/logr", "github.com/go-logr/stdr",
			"github.com/google/uuid", "github.com/cespare/xxhash/v2",
		}, p.Module.Path):
		default:
			t.Errorf("the binary contains %s of module %s, which is for tests only or unknown to imports_test.go", p.ImportPath, p.Module.Path)
		}
	}
}

// A goPackage is what this test reads of `go list -json`.
type goPackage struct {
	ImportPath string
	Dir        string
	Standard   bool
	Module     *struct{ Path string }
	GoFiles    []string // without tests
	Imports    []string // of GoFiles
}

// productPackages are the packages of this module that consist of more than
// tests.
func productPackages(t *testing.T) []goPackage {
	t.Helper()
	return slices.DeleteFunc(listPackages(t, "./..."), func(p goPackage) bool { return len(p.GoFiles) == 0 })
}

func listPackages(t *testing.T, args ...string) (packages []goPackage) {
	t.Helper()
	c := exec.Command("go", append([]string{"list", "-json=ImportPath,Dir,Standard,Module,GoFiles,Imports"}, args...)...)
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%s: %v", c, stderrOf(err))
	}
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		if err := d.Decode(&p); err == io.EOF {
			return packages
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

// stderrOf is what a command that failed had to say.
func stderrOf(err error) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.String() + ": " + strings.TrimSpace(string(exit.Stderr))
	}
	return err.Error()
}
