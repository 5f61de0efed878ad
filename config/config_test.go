package config

import (
	"bytes"
	"errors"
	"flag"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write what the parser says now as what is expected")

const testdata = "../testdata/config"

// environment is what the files under testdata are parsed with.
func environment(name string) (string, bool) {
	value, set := map[string]string{
		"KEY":      "s3cret",
		"PORT":     "9000",
		"INTERVAL": "5s",
		"BAD":      "s3cret value",
		"LINES":    "s3cret\n",
		"PATTERN":  "/s3cret/{a}/{s3cret}/{s3cret}",
		"EMPTY":    "",
	}[name]
	return value, set
}

// TestFiles parses every file of testdata/config. Beside a good one, X.yaml, stands how it is understood, X.described,
// beside a bad one its exact errors, X.errors.
func TestFiles(t *testing.T) {
	files, _ := filepath.Glob(testdata + "/*.yaml")
	if len(files) < 20 {
		t.Fatalf("found %d files in %s", len(files), testdata)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			base := strings.TrimSuffix(file, ".yaml")
			c, err := Parse(filepath.Base(file), data, environment)
			if err != nil {
				compare(t, base+".errors", err.Error()+"\n")
				checkErrors(t, err)
				return
			}
			var b bytes.Buffer
			c.Describe(&b)
			compare(t, base+".described", b.String())
		})
	}
}

// compare holds what is said against the file, and against there being one of the other kind.
func compare(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v; got:\n%s", err, got)
	}
	if got != string(want) {
		t.Errorf("%s:\ngot:\n%s\nwant:\n%s", file, got, want)
	}
	if strings.Contains(got, "s3cret") {
		t.Errorf("a secret is shown:\n%s", got)
	}
}

// checkErrors holds errors to their form: one line each, with the file and a line.
func checkErrors(t *testing.T, err error) {
	t.Helper()
	lines := strings.Split(err.Error(), "\n")
	var joined interface{ Unwrap() []error }
	if errors.As(err, &joined) && len(joined.Unwrap()) != len(lines) {
		t.Errorf("%d errors on %d lines:\n%v", len(joined.Unwrap()), len(lines), err)
	}
	for _, line := range lines {
		if !messageForm.MatchString(line) {
			t.Errorf("not of the form file:line: text: %q", line)
		}
	}
}

var messageForm = regexp.MustCompile(`^[^:]+:[1-9][0-9]*: \S.*$`)

// TestValues holds what a file with every key set means.
func TestValues(t *testing.T) {
	data, err := os.ReadFile(testdata + "/good-everything.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got, err := Parse("good-everything.yaml", data, environment)
	if err != nil {
		t.Fatal(err)
	}
	second, third := defaultEndpoint(), defaultEndpoint()
	second.Path, second.Line = "/api/stations/{region}/{$}", 37
	second.Interval, second.Vary, second.DropQuery, second.MaxBody = 5*time.Second, nil, nil, 1500
	third.Path, third.Line, third.Interval = "/files/", 42, time.Minute
	want := &Config{
		Listen:     "[::1]:8443",
		ListenMode: 0o660,
		Upstream:   &url.URL{Scheme: "https", Host: "api.example.com:8443", Path: "/base/v1"},
		Socket:     "/.push/socket", AdminHosts: []string{"pollbridge", "admin.example.com"}, AdminBodies: true,
		Origins: []string{"https://app.example.com", "http://localhost:3000", "capacitor://localhost"},
		TrustedProxies: []netip.Prefix{
			netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8"), netip.MustParsePrefix("192.0.2.7/32"),
		},
		AnswerTimeout: 90 * time.Second,
		Log:           Log{Level: slog.LevelDebug, Format: "json"},
		Tracing:       &Tracing{Endpoint: &url.URL{Scheme: "https", Host: "collector.example.com", Path: "/otlp"}, Sample: 1, Headers: map[string]string{"Authorization": "Bearer s3cret"}},
		Endpoints: []Endpoint{{
			Path:        "/api/stations/{region}",
			Interval:    500 * time.Millisecond,
			MaxInterval: 30 * time.Second,
			Timeout:     time.Minute,
			Vary:        []string{"Authorization", "Cookie:SID", "X-Tenant"},
			Authorize:   "false",
			Reauthorize: 5 * time.Minute,
			Headers:     map[string]string{"X-Api-Key": "s3cret", "X-Version": "1.10", "X-Literal": "a${KEY}b", "X-Empty": ""},
			DropQuery:   []string{"_", "ts"},
			Keys: map[string][]string{
				"/data/stations": {"station_id"}, "/data/*/rows": {"region", "/properties/url"}, "": {"id"},
			},
			Confirm:   3,
			Ignore:    []string{"/last_updated", "/data/stations/*/last_reported", "/a~1b"},
			Format:    "merge-patch",
			MaxBody:   64 << 10,
			RefreshOn: []string{"POST /api/orders", "DELETE /api/orders/{id}"},
			Line:      17,
		}, second, third},
		Limits: Limits{10, 2, 3, 4, 4, 5, 2.5},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	t.Setenv("POLLBRIDGE_TEST_KEY", "abc")
	least := "upstream: http://127.0.0.1:9000\nendpoints: [{path: /a, interval: 1s, headers: {X-A: \"${POLLBRIDGE_TEST_KEY}\"}}]\n"
	c, err := Load(write("good.yaml", least))
	if err != nil || c.Endpoints[0].Headers["X-A"] != "abc" {
		t.Errorf("got %+v, %v", c, err)
	}
	bad := write("bad.yaml", "x: 1\n"+least)
	if _, err := Load(bad); err == nil || !strings.HasPrefix(err.Error(), bad+":1: x: unknown key") {
		t.Errorf("got %v", err)
	}
	if _, err := Load(write("fits.yaml", least+strings.Repeat("#", maxFile-len(least)))); err != nil {
		t.Error(err)
	}
	if _, err := Load(write("large.yaml", least+strings.Repeat("#", maxFile))); err == nil || !strings.Contains(err.Error(), "large.yaml:1: found a file of more than") {
		t.Errorf("got %v", err)
	}
	for _, file := range []string{dir, filepath.Join(dir, "absent.yaml")} {
		if c, err := Load(file); err == nil {
			t.Errorf("%s: got %+v", file, c)
		}
	}
}

// TestNoEnvironment parses without a getenv, which is an empty environment.
func TestNoEnvironment(t *testing.T) {
	_, err := Parse("c.yaml", []byte("upstream: \"http://${HOST}\"\nendpoints: [{path: /a, interval: 1s}]\n"), nil)
	if err == nil || !strings.Contains(err.Error(), "not set in the environment: HOST") {
		t.Errorf("got %v", err)
	}
}

// FuzzParse holds, for any file, that nothing panics, that errors have their form and tell no
// secret, and that a Config keeps what its type promises.
func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob(testdata + "/*.yaml")
	for _, file := range append(files, example) {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("fuzz.yaml", data, environment)
		if err != nil {
			checkErrors(t, err)
			if !bytes.Contains(data, []byte("s3cret")) && strings.Contains(err.Error(), "s3cret") {
				t.Errorf("a secret is shown: %v", err)
			}
			return
		}
		checkConfig(t, c)
	})
}

func checkConfig(t *testing.T, c *Config) {
	t.Helper()
	c.Describe(new(bytes.Buffer))
	if c.Upstream.Host == "" || strings.HasSuffix(c.Upstream.Path, "/") || len(c.Endpoints) == 0 {
		t.Errorf("upstream %q, %d endpoints", c.Upstream, len(c.Endpoints))
	}
	mux := http.NewServeMux()
	for _, e := range c.Endpoints {
		mux.Handle(e.Path, http.NotFoundHandler())
		if e.Interval < 10*time.Millisecond || e.Timeout <= 0 || e.MaxInterval != 0 && e.MaxInterval < e.Interval || e.MaxBody < 1 || e.Line < 1 {
			t.Errorf("endpoint %+v", e)
		}
		for _, write := range e.RefreshOn {
			http.NewServeMux().Handle(write, http.NotFoundHandler())
		}
		for name := range e.Headers {
			if name != http.CanonicalHeaderKey(name) {
				t.Errorf("header %q", name)
			}
		}
	}
}
