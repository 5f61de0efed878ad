package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// TestFourWays does what docs/one-url-four-ways.md does: it runs the program
// with the configuration shown there, before a real API, gives every command to
// a real shell and holds what it prints against what the page says that it
// prints. Times and ages apart, they are the same to the letter.
func TestFourWays(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"curl", "sh"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s on this machine", tool)
		}
	}
	m := readManual(t, "docs/one-url-four-ways.md")
	upstream := httptest.NewServer(newShop())
	t.Cleanup(upstream.Close)
	r := newReader(t)
	r.there[upstreamPage] = strings.TrimPrefix(upstream.URL, "http://")
	r.serve(m.config)
	if m.nginx != "" {
		r.nginx(m.nginx)
	}
	for _, block := range m.blocks {
		r.play(block)
	}
	r.free(block{})
}

// The addresses that the page has.
const (
	upstreamPage = "127.0.0.1:9000"
	proxyPage    = "127.0.0.1:8080"
	adminPage    = "127.0.0.1:9090"
	nginxPage    = "127.0.0.1:8000"
)

// A shop is a legacy API: a list that is polled, and a way to write to it.
type shop struct {
	http.ServeMux
	mu    sync.Mutex
	state [3]string
}

func newShop() *shop {
	o := &shop{state: [3]string{"new", "new", "new"}}
	o.HandleFunc("GET /api/orders", o.list)
	o.HandleFunc("POST /api/orders/{id}", o.set)
	o.HandleFunc("GET /api/about", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "orders, since 2009") })
	return o
}

func (o *shop) list(w http.ResponseWriter, _ *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Server", "legacy/1.0")
	fmt.Fprintf(w, "{\"orders\": [\n  {\"id\": 0, \"item\": \"walnut desk\", \"state\": %q},\n  {\"id\": 1, \"item\": \"reading lamp\", \"state\": %q},\n"+
		"  {\"id\": 2, \"item\": \"bookshelf\", \"state\": %q}\n]}\n", o.state[0], o.state[1], o.state[2])
}

func (o *shop) set(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var i int
	if _, err := fmt.Sscan(r.PathValue("id"), &i); err != nil || i < 0 || i >= len(o.state) {
		http.NotFound(w, r)
		return
	}
	o.state[i] = r.FormValue("state")
	w.WriteHeader(http.StatusNoContent)
}

// A manual is what of a document can be run.
type manual struct {
	config, nginx string
	blocks        []block
}

// A block is one piece of a transcript.
type block struct {
	line  int  // of the document, where it begins
	other bool // of the other terminal, whose commands go on while the next blocks are played
	text  string
}

func readManual(t *testing.T, file string) (m manual) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	fence, at := "", 0
	var inside []string
	for i, line := range strings.Split(string(text), "\n") {
		info, found := strings.CutPrefix(line, "```")
		switch {
		case !found:
			inside = append(inside, line)
			continue
		case fence == "":
			fence, at = info, i+2
		default:
			code := strings.Join(inside, "\n")
			switch fence {
			case "yaml":
				m.config += code
			case "nginx":
				m.nginx += code
			case "console", "console other":
				m.blocks = append(m.blocks, block{at, fence == "console other", code})
			default:
				t.Fatalf("%s:%d: a block of %q is not checked by anything", file, at, fence)
			}
			fence = ""
		}
		inside = nil
	}
	if len(m.blocks) == 0 || m.config == "" {
		t.Fatalf("%s: found %d transcripts and a configuration of %d bytes", file, len(m.blocks), len(m.config))
	}
	return m
}

// A reader is somebody who types what a page says.
type reader struct {
	t     *testing.T
	dir   string            // in which the commands run
	path  string            // on which they are found
	there map[string]string // the addresses used here by those that the page has
	other *job              // in the other terminal; nil: it is free
}

func newReader(t *testing.T) *reader {
	t.Helper()
	file, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	r := &reader{t: t, dir: t.TempDir(), path: filepath.Dir(file) + ":" + os.Getenv("PATH"), there: map[string]string{}}
	r.write(".curlrc", "silent\nshow-error\n") // as on a terminal, where no progress is shown
	return r
}

func (r *reader) write(file, text string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, file), []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// serve runs the program for as long as the test goes on.
func (r *reader) serve(config string) {
	r.t.Helper()
	server := serveConfig(r.t, strings.NewReplacer(proxyPage, "127.0.0.1:0", adminPage, "127.0.0.1:0").Replace(r.outward(config)))
	r.there[proxyPage], r.there[adminPage] = server.address, server.admin
}

// nginx runs the one that the page describes, if there is one on this machine.
func (r *reader) nginx(server string) {
	r.t.Helper()
	const path = "/usr/sbin/nginx" // no user's PATH has it on Debian
	if _, err := os.Stat(path); err != nil {
		r.t.Logf("what the page says of nginx is left out: %v", err)
		return
	}
	r.there[nginxPage] = freeAddress(r.t)
	user := ""
	if os.Getuid() == 0 {
		user = "user root;" // the directory is the test's alone
	}
	r.write("nginx.conf", "daemon off; worker_processes 1; pid nginx.pid; error_log stderr; "+user+" events {} http { access_log off; "+
		"client_body_temp_path t1; proxy_temp_path t2; fastcgi_temp_path t3; uwsgi_temp_path t4; scgi_temp_path t5;\n"+r.outward(server)+"\n}")
	r.await(r.start("exec "+path+" -p . -c nginx.conf"), nginxPage)
}

// await waits until a server listens.
func (r *reader) await(j *job, address string) {
	r.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		conn, err := net.Dial("tcp", r.there[address])
		if err == nil {
			conn.Close()
			return
		}
		select {
		case <-j.exited:
			r.t.Fatalf("the server for %s has ended: %s", address, j.out.String())
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("nobody listens on %s: %s", address, j.out.String())
		}
	}
}

// outward has a text of the page name the addresses that are used here,
// homeward the reverse.
func (r *reader) outward(text string) string {
	for page, here := range r.there {
		text = strings.ReplaceAll(text, page, here)
	}
	return text
}

func (r *reader) homeward(text string) string {
	for page, here := range r.there {
		text = strings.ReplaceAll(text, here, page)
	}
	return text
}

// play runs the commands of a block and compares what they print.
func (r *reader) play(k block) {
	r.t.Helper()
	first, commands, _ := strings.Cut("\n"+k.text, "\n$ ")
	if r.there[nginxPage] == "" && (strings.Contains(commands, nginxPage) || r.other == nil && commands == "") {
		return
	}
	if first = trim(first); first != "" { // goes on with what runs there
		if !k.other || r.other == nil {
			r.t.Fatalf("line %d: no command", k.line)
		}
		r.expect(k, first)
	}
	if commands != "" {
		for c := range strings.SplitSeq(commands, "\n$ ") {
			r.perform(k, c)
		}
	}
}

// perform runs one command, that may go on over several lines.
func (r *reader) perform(k block, text string) {
	r.t.Helper()
	line, want, _ := strings.Cut(text, "\n")
	for strings.HasSuffix(line, `\`) {
		var more string
		more, want, _ = strings.Cut(want, "\n")
		line += "\n" + more
	}
	if !k.other {
		r.finish(r.start(line), k, trim(want))
		return
	}
	r.free(k)
	r.other = r.start(line)
	r.expect(k, trim(want))
}

// free waits until the job in the other terminal, if there is one, has ended
// without another word.
func (r *reader) free(k block) {
	r.t.Helper()
	if r.other != nil {
		read := r.other.read
		r.other.out.until(func(text string) bool { return r.tidy(text[read:]) != "" })
		r.finish(r.other, k, r.tidy(r.other.out.String()[:read]))
		r.other = nil
	}
}

// finish waits for a job's end and compares all that it printed.
func (r *reader) finish(j *job, k block, want string) {
	r.t.Helper()
	select {
	case <-j.exited:
	case <-time.After(patience):
		r.t.Fatalf("line %d: %s does not end; it printed\n%s", k.line, j.line, j.out.String())
	}
	if got := r.tidy(j.out.String()); got != want {
		r.t.Fatalf("line %d: %s\nprinted\n%s\nwant\n%s", k.line, j.line, got, want)
	}
}

// expect waits until the job in the other terminal has printed what is wanted,
// and no more. ^C at the end of that ends it.
func (r *reader) expect(k block, want string) {
	r.t.Helper()
	j := r.other
	want, stop := strings.CutSuffix(want, "^C")
	want = trim(want)
	if want == "" { // the answer is held back: nothing is right, for a while
		select {
		case <-j.exited:
			r.t.Fatalf("line %d: %s ended at once with\n%s", k.line, j.line, j.out.String())
		case <-time.After(200 * time.Millisecond):
		}
	}
	got, end := "", 0
	j.out.until(func(text string) bool {
		got, end = r.tidy(text[j.read:]), len(text)
		return got == want
	})
	if got != want {
		r.t.Fatalf("line %d: %s\nprinted\n%s\nwant\n%s", k.line, j.line, got, want)
	}
	j.read = end
	if stop {
		j.stop()
		r.other = nil
	}
}

// What is different each time is a placeholder in the page.
var placeholders = []struct {
	pattern *regexp.Regexp
	text    string
}{
	{regexp.MustCompile(`[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT`), "<date>"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`), "<time>"},
	{regexp.MustCompile(`\d\d:\d\d:\d\d\.\d{3}`), "<time>"},
	{regexp.MustCompile(`Age: \d+`), "Age: <s>"},
	{regexp.MustCompile(`ttl=\d+`), "ttl=<s>"},
}

// tidy is what was printed as the page has it.
func (r *reader) tidy(text string) string {
	text = r.homeward(strings.ReplaceAll(text, "\r", ""))
	for _, p := range placeholders {
		text = p.pattern.ReplaceAllString(text, p.text)
	}
	return trim(text)
}

func trim(text string) string { return strings.Trim(text, "\n") }

// A job is a command line that the shell runs, or has run.
type job struct {
	line   string
	cmd    *exec.Cmd
	out    transcript // of both streams
	read   int        // how much of that was compared already
	exited chan struct{}
}

// start gives a line to the shell. What it starts does not outlive the test.
func (r *reader) start(line string) *job {
	r.t.Helper()
	j := &job{line: line, cmd: exec.Command("sh", "-c", r.outward(line)), exited: make(chan struct{})}
	j.cmd.Dir = r.dir
	j.cmd.Env = append(os.Environ(), "HOME="+r.dir, "CURL_HOME="+r.dir, "PATH="+r.path, "GORACE=halt_on_error=1")
	j.cmd.Stdout, j.cmd.Stderr = &j.out, &j.out
	j.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that ^C reaches what the shell has started
	if err := j.cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	go func() {
		j.cmd.Wait()
		j.out.end()
		close(j.exited)
	}()
	r.t.Cleanup(j.stop)
	return j
}

// stop ends the job, as ^C does, twice if need be, and then by force.
func (j *job) stop() {
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGINT, syscall.SIGKILL} {
		select {
		case <-j.exited:
			return
		default:
		}
		syscall.Kill(-j.cmd.Process.Pid, s)
		select {
		case <-j.exited:
		case <-time.After(time.Second):
		}
	}
}

// until waits until what was written is as wanted, or the end.
func (x *transcript) until(wanted func(text string) bool) {
	deadline := time.After(patience)
	for {
		x.mu.Lock()
		if wanted(x.text.String()) || x.done {
			x.mu.Unlock()
			return
		}
		if x.more == nil {
			x.more = make(chan struct{})
		}
		more := x.more
		x.mu.Unlock()
		select {
		case <-more:
		case <-deadline:
			return
		}
	}
}
