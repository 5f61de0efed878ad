package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// blocks returns the fenced blocks of one language in a file, in order.
func blocks(t *testing.T, file, language string) (found []string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(string(text), -1) {
		found = append(found, m[1])
	}
	return found
}

// oneBlock returns the only block of a language in a file.
func oneBlock(t *testing.T, file, language string) string {
	t.Helper()
	found := blocks(t, file, language)
	if len(found) != 1 {
		t.Fatalf("%s has %d blocks of %s, want 1", file, len(found), language)
	}
	return found[0]
}

// The addresses that the documentation uses, and its interval.
const (
	docAPI      = "http://127.0.0.1:9000"
	docListen   = "localhost:8080"
	docInterval = "2s"
)

// serveBlock runs a configuration of the documentation in front of an API, at
// an address of the test's, and in less of a hurry than the test is.
func serveBlock(t *testing.T, yaml, upstream, address string) *running {
	t.Helper()
	for _, said := range []string{docAPI, docInterval} {
		if !strings.Contains(yaml, said) {
			t.Fatalf("the configuration does not contain %s:\n%s", said, yaml)
		}
	}
	yaml = strings.NewReplacer(docAPI, upstream, docInterval, "20ms").Replace(yaml)
	return serveConfig(t, "listen: "+address+"\nadmin: 127.0.0.1:0\n"+yaml)
}

// TestReadmeCommands runs the commands that the README gives, in the order in
// which it gives them. `go run .` is the binary that the tests have built;
// `go test` is what runs this, and .ci/run takes its command from there.
func TestReadmeCommands(t *testing.T) {
	t.Parallel()
	legacy := newAPI(t)
	legacy.set("/api/orders", orders("open"))
	yaml := oneBlock(t, "README.md", "yaml")
	var address string
	for _, line := range strings.Split(strings.TrimSpace(strings.Join(blocks(t, "README.md", "sh"), "")), "\n") {
		switch args := strings.Fields(line); line {
		case "go test ./...":
		case "go run . demo":
			p := start(t, ".", args[3:]...)
			p.out.wait(t, `Open +http://localhost:\d+/\n`)
		case "go run . check":
			p := start(t, writeConfig(t, yaml), args[3:]...)
			if code := p.code(); code != 0 {
				t.Errorf("%s: exit code %d", line, code)
			}
			p.out.wait(t, "config.yaml is valid\n$")
		case "go run . serve":
			address = serveBlock(t, yaml, legacy.URL, "127.0.0.1:0").address
		case "go run . watch http://localhost:8080/api/orders":
			p := start(t, ".", "watch", strings.Replace(args[4], docListen, address, 1))
			p.out.wait(t, regexp.QuoteMeta(orders("open")))
		default:
			t.Errorf("README.md has a command that is not tested: %s", line)
		}
	}
}

// TestReadmeScript runs the README's JavaScript in a page of the legacy API,
// and holds that it shows each document, also after a restart of pollbridge.
func TestReadmeScript(t *testing.T) {
	t.Parallel()
	page := openPage(t)
	address := freeAddress(t) // the page is opened there, also after a restart

	legacy := newAPI(t)
	legacy.set("/page", "<!doctype html><script>const render = data => { window.shown = JSON.stringify(data) }, kinds = new Set()</script>\n"+
		"<script type=module>"+oneBlock(t, "README.md", "js")+
		"\nwatch('/api/orders').onPatch(patch => patch.forEach(({op}) => kinds.add(op)))</script>")
	yaml := oneBlock(t, "README.md", "yaml")

	var r *running
	for i, document := range []string{
		`[{"id":1,"note":"the first"},{"id":2,"note":"the second"},{"id":3,"note":"the third"},{"id":4,"note":"the fourth"}]`,
		`[{"id":1,"note":"changed"},{"id":2,"note":"the second"},{"id":3,"note":"the third"},{"id":4,"note":"the fourth"}]`,
		`[{"id":2,"note":"the second"},{"id":3,"note":"the third"},{"id":1,"note":"changed"},{"id":4,"note":"the fourth"}]`, // moved
		`[{"id":2,"note":"the second"},{"id":1,"note":"changed"},{"id":4,"note":"the fourth"}]`,                             // removed
		`[{"id":2,"note":"the second"},{"id":7,"note":"new"},{"id":1,"note":"changed"},{"id":4,"note":"the fourth"}]`,       // inserted
		`[{"id":2,"note":"the second"},{"id":7,"note":"new","a/b~c":{"x":[1]}},{"id":1,"note":"changed"},{"id":4,"note":"the fourth"}]`,
		`[{"id":2,"note":"the second"},{"id":7,"note":"new","a/b~c":{"x":[1,2,3]}},{"id":1,"note":"changed"},{"id":4,"note":"the fourth"}]`,
		`[{"id":2,"note":"the second"},{"id":7,"note":"new"},{"id":1,"note":"changed"},{"id":4,"note":"the fourth"}]`,
		`[{"id":2,"note":"after a restart"}]`,
	} {
		legacy.set("/api/orders", document)
		switch i {
		case 0:
			r = serveBlock(t, yaml, legacy.URL, address)
			page.open("http://" + address + "/page")
		case 8:
			r.signal(syscall.SIGKILL)
			r.code()
			serveBlock(t, yaml, legacy.URL, address)
		}
		page.until(fmt.Sprintf("window.shown === JSON.stringify(%s)", document))
	}
	if kinds := page.value("[...kinds].sort().join()"); kinds != "add,move,remove,replace" {
		t.Errorf("the script was given %s only: there is an operation that was not tried", kinds)
	}
}

// TestGettingStarted does what docs/getting-started.md says.
func TestGettingStarted(t *testing.T) {
	t.Parallel()
	const file = "docs/getting-started.md"
	yaml := oneBlock(t, file, "yaml")
	dir := writeConfig(t, yaml)
	want := oneBlock(t, file, "console")
	got := console(t, dir, want)
	shape := strings.ReplaceAll(regexp.QuoteMeta(want), regexp.QuoteMeta("\n...\n"), `\n(?s:.*)\n`) // "..." is what is left out
	if !regexp.MustCompile("^" + shape + "$").MatchString(got) {
		t.Errorf("%s:\ngot:\n%s\nwant:\n%s", file, got, want)
	}
	if script, tested := oneBlock(t, file, "js"), oneBlock(t, "README.md", "js"); script != tested {
		t.Errorf("%s has the script\n%s\nand the README, whose is run,\n%s", file, script, tested)
	}
	legacy := newAPI(t)
	legacy.set("/api/orders", orders("open"))
	var r *running
	for _, line := range blocks(t, file, "sh") {
		switch strings.TrimSpace(line) {
		case "go build":
		case "./pollbridge serve":
			r = serveBlock(t, yaml, legacy.URL, "127.0.0.1:0")
		case "./pollbridge watch http://localhost:8080/api/orders":
			w := start(t, dir, "watch", "http://"+r.address+"/api/orders")
			w.out.wait(t, regexp.QuoteMeta(orders("open")))
			legacy.set("/api/orders", orders("sent"))
			w.out.wait(t, `\n\[\{"op":"replace"`)
		default:
			t.Errorf("%s has a command that is not tested: %s", file, line)
		}
	}
}

// TestLinks holds that what the documentation links to is there.
func TestLinks(t *testing.T) {
	t.Parallel()
	files, _ := filepath.Glob("docs/*.md")
	for _, file := range append(files, "README.md", "deploy/README.md") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\]\(([^)#]*)(#[^)]*)?\)`).FindAllStringSubmatch(string(text), -1) {
			target := filepath.Join(filepath.Dir(file), m[1])
			if m[1] == "" {
				target = file
			}
			if strings.Contains(m[1], "://") {
				continue
			}
			linked, err := os.ReadFile(target)
			if err != nil {
				t.Errorf("%s: the link to %s leads nowhere", file, m[1])
			} else if m[2] != "" && !hasHeading(string(linked), m[2][1:]) {
				t.Errorf("%s: %s has no heading %s", file, target, m[2])
			}
		}
	}
}

// hasHeading reports whether a text has a heading of this anchor, as GitHub
// makes them.
func hasHeading(text, anchor string) bool {
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		slug := regexp.MustCompile(`[^\w -]`).ReplaceAllString(strings.ToLower(m[1]), "")
		if strings.ReplaceAll(slug, " ", "-") == anchor {
			return true
		}
	}
	return false
}
