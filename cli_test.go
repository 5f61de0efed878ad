package main

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

var update = flag.Bool("update", false, "write what the commands print now as what is expected")

// TestConsole plays what is in testdata/cli: commands that are wrong, with the
// hints that they are answered with, and configurations that are checked.
func TestConsole(t *testing.T) {
	t.Parallel()
	files, _ := filepath.Glob("testdata/cli/*.txt")
	if len(files) == 0 {
		t.Fatal("nothing in testdata/cli")
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := console(t, filepath.Dir(file), string(want))
			for line := range strings.Lines(got) {
				if strings.Contains(line, "s3cret") && !strings.HasPrefix(line, "$") {
					t.Errorf("a secret is shown: %s", line)
				}
			}
			if *update {
				err = os.WriteFile(file, []byte(got), 0o644)
			}
			if err != nil {
				t.Fatal(err)
			}
			if !*update && got != string(want) {
				t.Errorf("%s (-update writes what is printed now): %s", file, firstDifference(got, string(want)))
			}
		})
	}
}

// firstDifference is the first line of two texts that is not the same.
func firstDifference(got, want string) string {
	a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range max(len(a), len(b)) {
		if i >= len(a) || i >= len(b) || a[i] != b[i] {
			return fmt.Sprintf("from line %d on got\n%s\nwant\n%s", i+1, strings.Join(a[i:], "\n"), strings.Join(b[i:], "\n"))
		}
	}
	return "no difference"
}

// TestCheck holds that a good configuration is shown, and that there is nothing
// to complain of in the example of them all.
func TestCheck(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"testdata/cli/good.yaml", "config.example.yaml"} {
		p := start(t, ".", "check", "--config", file)
		if code := p.code(); code != 0 || p.errors.String() != "" {
			t.Errorf("%s: exit code %d: %s", file, code, p.errors.String())
		}
		p.out.wait(t, `(?s)^listen +:8080\n.*\n/api/.*\n  poll +every 2s;.*\n`+regexp.QuoteMeta(file)+` is valid\n$`)
	}
}

// TestWatch holds what `watch` prints, and where.
func TestWatch(t *testing.T) {
	t.Parallel()
	legacy := newAPI(t)
	legacy.set("/api/orders", orders("open"))
	r := serveBinary(t, legacy.URL, "")
	changes := start(t, ".", "watch", r.address+"/api/orders") // a person leaves the http:// out
	whole := start(t, ".", "watch", "--whole", "-H", "Authorization: Bearer xyz", "http://"+r.address+"/api/orders")
	changes.errors.wait(t, `^\d\d:\d\d:\d\d\.\d{3} document, \d+ bytes\n`)
	changes.out.wait(t, `^`+regexp.QuoteMeta(orders("open"))+`\n$`)
	whole.out.wait(t, `^`+regexp.QuoteMeta(orders("open"))+`\n$`)
	if !legacy.wasSent("Authorization", "Bearer xyz") {
		t.Error("the header that -H gives did not reach the upstream")
	}

	legacy.set("/api/orders", orders("sent"))
	changes.out.wait(t, `\n\[\{"op":"replace","path":"/0/state","value":"sent"\}\]\n$`)
	changes.errors.wait(t, `patch, \d+ bytes for a document of \d+\n`)
	whole.out.wait(t, `\n`+regexp.QuoteMeta(orders("sent"))+`\n$`)

	legacy.set("/api/orders", `[{"id":1,`)
	changes.errors.wait(t, `stale: body_invalid: `)
	for _, p := range []*process{changes, whole} {
		p.signal(syscall.SIGINT)
		if code := p.code(); code != 0 {
			t.Errorf("exit code %d", code)
		}
	}
}

// TestWatchRefused holds what `watch` says of a URL that is not pushed.
func TestWatchRefused(t *testing.T) {
	t.Parallel()
	r := serveBinary(t, newAPI(t).URL, "")
	p := start(t, ".", "watch", r.address+"/api/typo")
	if code := p.code(); code != 1 {
		t.Errorf("exit code %d", code)
	}
	p.errors.wait(t, `/api/typo: the server answered 404 Not Found, want 101`)
}

// TestWatchNothing holds what `watch` says where there is nothing to print: nobody
// answers, nothing can be read yet, nothing is subscribed to.
func TestWatchNothing(t *testing.T) {
	t.Parallel()
	nobody := freeAddress(t)
	r := serveBinary(t, "http://"+nobody, "")
	for url, want := range map[string]string{
		nobody + "/api/orders":    `stale: disconnected: connecting to http://` + nobody + `/api/orders: dial tcp ` + nobody + `: connect: connection refused; trying again\n`,
		r.address + "/api/orders": `^nothing to show yet: upstream_unreachable: `,
		r.address + "/":           `^nothing yet: .* name a URL that is polled`,
	} {
		p := start(t, ".", "watch", url)
		p.errors.wait(t, "(?s)"+want)
		p.signal(syscall.SIGINT)
		if code := p.code(); code != 0 {
			t.Errorf("%s: exit code %d", url, code)
		}
	}
}

// TestDemo holds that two demos run beside each other, on whatever port is
// free, and show what they say they show.
func TestDemo(t *testing.T) {
	t.Parallel()
	var addresses []string
	for range 2 {
		p := start(t, t.TempDir(), "demo")
		address := p.out.wait(t, `Open +http://(localhost:\d+)/\n`)[1]
		addresses = append(addresses, address)
		res, err := http.Get("http://" + address + "/")
		if err != nil {
			t.Fatal(err)
		}
		page, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != 200 || !strings.Contains(string(page), "pollbridge.watch(") {
			t.Errorf("the page: %d, %v, %d bytes", res.StatusCode, err, len(page))
		}
		url := p.out.wait(t, `pollbridge watch (http://\S+)\n`)[1]
		w := start(t, ".", "watch", url)
		w.errors.wait(t, `document, \d{5,} bytes\n(?s:.*)patch, \d+ bytes`)
		defer func() {
			p.signal(syscall.SIGINT)
			if code := p.code(); code != 0 {
				t.Errorf("exit code %d", code)
			}
			w.errors.wait(t, "stale: disconnected: ")
		}()
	}
	if addresses[0] == addresses[1] {
		t.Errorf("both demos are at %s", addresses[0])
	}
}

// TestCompletion holds that shells can complete commands.
func TestCompletion(t *testing.T) {
	t.Parallel()
	out, err := command(t, ".", "__complete", "ser").Output()
	if err != nil || !strings.HasPrefix(string(out), "serve\tRun the proxy\n") {
		t.Errorf("got %q, %v", out, err)
	}
}
