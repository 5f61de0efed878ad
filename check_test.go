package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// mend is a configuration with several mistakes, which only the API can tell.
const mend = `upstream: "%s"
endpoints:
  - path: /api/orders
    interval: 1s
    vary: []
  - path: /api/me
    interval: 1s
    vary: []
  - path: /api/stations/{region}
    interval: 1s
    vary: []
    max_body: 2KiB
`

// TestCheckProbe probes an API with credentials from a file, writes into the
// configuration what it is told to write, and finds nothing wrong any more.
func TestCheckProbe(t *testing.T) {
	t.Parallel()
	legacy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Path {
		case "/api/orders":
			fmt.Fprintf(w, `{"generated_at":%q,"orders":[{"number":"a1","state":"open"},{"number":"a2","state":"open"}]}`, time.Now().Format(time.RFC3339Nano))
		case "/api/me":
			fmt.Fprintf(w, `{"name":%q}`, r.Header.Get("Authorization"))
		case "/api/stations/oslo":
			fmt.Fprintf(w, `"%s"`, strings.Repeat("x", 3000))
		default:
			http.NotFound(w, r)
		}
	}))
	defer legacy.Close()
	dir := writeConfig(t, fmt.Sprintf(mend, legacy.URL))
	if err := os.WriteFile(filepath.Join(dir, "secrets"), []byte("# one of our users\nAuthorization: Bearer s3cret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	probe := func() string {
		out, err := command(t, dir, "check", "--probe", "-H", "@secrets", "--url", "/api/stations/oslo?_=1").CombinedOutput()
		wrong := regexp.MustCompile(`(?m)^  error `).Match(out)
		if _, failed := err.(*exec.ExitError); failed != wrong {
			t.Errorf("the exit code does not tell of errors: %v", err)
		}
		if strings.Contains(string(out), "s3cret") {
			t.Error("a secret is shown")
		}
		return string(out)
	}
	said := probe()
	for _, want := range []string{
		`(?m)^/api/orders: 200, \d+ bytes in `,
		`(?m)^  warning  config.yaml:3: each poll would push a change, .*: /generated_at\n +write  ignore: \["/generated_at"\]$`,
		`(?m)^  tip      config.yaml:3: the elements of /orders are told apart by number.*\n +write  keys: \{"/orders": "number"\}$`,
		`(?m)^  error    config.yaml:8: vary: \[\] shows everybody one answer.*\(/name\)\n +write  vary: \[Authorization\]$`,
		`(?m)^  error    config.yaml:12: the answer is larger than 2KiB\n +write  max_body: 4KiB$`,
		`(?m)^3 probed, 0 not; 2 errors, 1 warnings$`,
	} {
		if !regexp.MustCompile(want).MatchString(said) {
			t.Errorf("not said: %s", want)
		}
	}
	mended := strings.NewReplacer(
		"interval: 1s\n    vary: []\n  - path: /api/me", "interval: 1s\n    vary: []\n    ignore: [\"/generated_at\"]\n    keys: {\"/orders\": \"number\"}\n  - path: /api/me",
		"vary: []\n  - path: /api/stations", "vary: [Authorization]\n  - path: /api/stations",
		"max_body: 2KiB", "max_body: 8KiB").Replace(fmt.Sprintf(mend, legacy.URL))
	if err := os.WriteFile(filepath.Join(dir, "config.yaml"), []byte(mended), 0o600); err != nil {
		t.Fatal(err)
	}
	if again := probe(); !strings.Contains(again, "\n3 probed, 0 not; 0 errors, 0 warnings\n") {
		t.Errorf("after all was mended:\n%s", again)
	}
	if t.Failed() {
		t.Log(said)
	}
}
