package config

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
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
