package main

import (
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// section returns what stands under a heading of a document, up to the next.
func section(t *testing.T, file, heading string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, after, found := strings.Cut(string(text), "\n## "+heading+"\n")
	if !found {
		t.Fatalf("%s has no heading %q", file, heading)
	}
	text2, _, _ := strings.Cut(after, "\n## ")
	return text2
}

const operations = "docs/operations.md"

// firstCells are the first cells of the rows of a table, where they are code.
func firstCells(text string) (cells []string) {
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)`").FindAllStringSubmatch(text, -1) {
		cells = append(cells, m[1])
	}
	return cells
}

// TestOperationsCommands holds that the commands that there are, and no others,
// are documented, with the options that they have.
func TestOperationsCommands(t *testing.T) {
	t.Parallel()
	var have []string
	for _, c := range newCommand().Commands() {
		if c.Name() != "help" {
			have = append(have, c.Name())
		}
	}
	have = append(have, "completion") // cobra adds it when it runs
	documented := firstCells(section(t, operations, "Commands and exit codes"))
	slices.Sort(have)
	slices.Sort(documented)
	if have = slices.Compact(have); !slices.Equal(documented, have) {
		t.Errorf("documented are %v, there are %v", documented, have)
	}
	table := section(t, "docs/configuration.md", "Command line")
	for _, name := range have {
		if !strings.Contains(table, "`pollbridge "+name) {
			t.Errorf("docs/configuration.md does not have the command %s", name)
		}
	}
	for _, m := range regexp.MustCompile("(?m)^pollbridge ([a-z]+)([^#\n]*)").FindAllStringSubmatch(strings.Join(blocks(t, operations, "sh"), ""), -1) {
		out, err := command(t, t.TempDir(), append([]string{m[1]}, strings.Fields(m[2])...)...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), "no such file") { // it was understood, and misses its configuration
			t.Errorf("%s: %s", m[0], out)
		}
	}
}

// TestOperationsEndpoints holds that every documented endpoint of the admin
// listener is there, and answers to that method.
func TestOperationsEndpoints(t *testing.T) {
	t.Parallel()
	r := serveBinary(t, newAPI(t).URL, "")
	cells := firstCells(section(t, operations, "The admin listener"))
	if len(cells) < 4 {
		t.Errorf("documented are only %v", cells)
	}
	for _, cell := range cells {
		method, target, _ := strings.Cut(cell, " ")
		req, err := http.NewRequest(method, "http://"+r.admin+target, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", cell, res.Status)
		}
	}
}

// TestOperationsStatuses holds that pollbridge answers with the documented
// statuses, each in the way that is easiest to bring about.
func TestOperationsStatuses(t *testing.T) {
	t.Parallel()
	legacy := newAPI(t)
	legacy.set("/api/orders", orders("open"))
	r := serveBinary(t, legacy.URL, "origins: [\"https://app.test\"]\nlimits: {connections_per_client: 1}\n")
	dead := serveBinary(t, "http://127.0.0.1:1", "")
	upgrade := []string{"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="}
	table := section(t, operations, "The public listener")
	tag := ""
	for _, c := range []struct {
		status  string
		server  *running
		asked   string // a method, and a target where it is not /api/orders
		headers []string
	}{
		{"200", r, "GET", nil},
		{"206", r, "GET", []string{"Range", "bytes=0-1"}},
		{"416", r, "GET", []string{"Range", "bytes=9999-"}},
		{"304", r, "GET", []string{"If-None-Match", "TAG"}},
		{"204", r, "OPTIONS", []string{"Origin", "https://app.test", "Access-Control-Request-Method", "GET"}},
		{"400", r, "GET", []string{"Accept", "text/event-stream", "Pollbridge-Throttle", "often"}},
		{"403", r, "GET", append([]string{"Origin", "https://evil.test"}, upgrade...)},
		{"426", r, "GET /.pollbridge/socket", nil},
		{"101", r, "GET", upgrade},
		{"429", r, "GET", upgrade}, // the first is open
		{"502", dead, "POST", nil},
	} {
		if !regexp.MustCompile(`(?m)^\| [^|]*\b` + c.status + `\b`).MatchString(table) {
			t.Errorf("%s is not documented", c.status)
		}
		method, target, ok := strings.Cut(c.asked, " ")
		if !ok {
			target = "/api/orders"
		}
		req, err := http.NewRequest(method, "http://"+c.server.address+target, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(c.headers); i += 2 {
			req.Header.Set(c.headers[i], strings.Replace(c.headers[i+1], "TAG", tag, 1))
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if got := res.Status[:3]; got != c.status {
			t.Errorf("%s %v: %s, want %s", c.asked, c.headers, res.Status, c.status)
		}
		if c.status == "200" {
			tag = res.Header.Get("Etag")
		}
	}
	r.errors.wait(t, `msg="clients are turned away" reason=connections_per_client more=0 client=127\.0\.0\.1\n`)
}
