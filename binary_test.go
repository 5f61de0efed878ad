package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The tests of the command line run the real binary, as its users do.

// patience is how long a test waits for what has to happen. It is long so that
// no machine is too slow, and costs nothing where all is well.
const patience = 3 * time.Minute

var binaryDir string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "pollbridge")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binaryDir = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// binary builds pollbridge once for all tests, with the race detector where
// they have it, and returns its file.
var binary = sync.OnceValues(func() (string, error) {
	file := filepath.Join(binaryDir, "pollbridge")
	args := []string{"build", "-buildvcs=false", "-o", file}
	if raceDetector() {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, ".")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return file, nil
})

// raceDetector reports whether the tests have it.
func raceDetector() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.ContainsFunc(info.Settings, func(s debug.BuildSetting) bool { return s.Key == "-race" && s.Value == "true" })
}

// command is the binary with arguments, to be run in a directory.
func command(t *testing.T, dir string, args ...string) *exec.Cmd {
	t.Helper()
	file, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(file, args...)
	c.Dir = dir
	c.Env = append(os.Environ(), "GORACE=halt_on_error=1", "OTEL_BSP_SCHEDULE_DELAY=20") // ms, for whoever waits for traces
	return c
}

// A process is the binary while it runs.
type process struct {
	t           *testing.T
	cmd         *exec.Cmd
	out, errors transcript
	exited      chan struct{} // closed once it has
}

// start runs the binary in a directory. It does not outlive the test.
func start(t *testing.T, dir string, args ...string) *process {
	t.Helper()
	return startCommand(t, command(t, dir, args...))
}

func startCommand(t *testing.T, c *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, cmd: c, exited: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.errors
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.cmd.Wait() // the exit code is asked for in code
		p.out.end()
		p.errors.end()
		close(p.exited)
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.exited
		if t.Failed() {
			t.Logf("%s\nstdout:\n%s\nstderr:\n%s", p.cmd, p.out.String(), p.errors.String())
		}
	})
	return p
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("%v: %v", s, err)
	}
}

// code waits for the end and returns the exit code.
func (p *process) code() int {
	p.t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		p.t.Fatalf("it did not end within %s", patience)
	}
	return p.cmd.ProcessState.ExitCode()
}

// A transcript is what a process has written so far. The zero value is empty.
type transcript struct {
	mu   sync.Mutex // guards the fields below
	text bytes.Buffer
	done bool
	more chan struct{} // closed when there is more; nil: nobody waits
}

// Write implements io.Writer.
func (x *transcript) Write(p []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.tellLocked()
	return x.text.Write(p)
}

// end says that nothing more will come.
func (x *transcript) end() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.done = true
	x.tellLocked()
}

func (x *transcript) tellLocked() {
	if x.more != nil {
		close(x.more)
		x.more = nil
	}
}

func (x *transcript) String() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.text.String()
}

// wait waits until the text matches and returns the match and its groups.
func (x *transcript) wait(t *testing.T, pattern string) []string {
	t.Helper()
	deadline := time.After(patience)
	for {
		x.mu.Lock()
		if found := regexp.MustCompile(pattern).FindStringSubmatch(x.text.String()); found != nil || x.done {
			x.mu.Unlock()
			if found == nil {
				t.Fatalf("it ended without having written %q", pattern)
			}
			return found
		}
		if x.more == nil {
			x.more = make(chan struct{})
		}
		more := x.more
		x.mu.Unlock()
		select {
		case <-more:
		case <-deadline:
			t.Fatalf("it did not write %q within %s", pattern, patience)
		}
	}
}

// console runs the commands of a text as it stands in a terminal, in a
// directory, and returns what the text should be: each command, which begins
// with "$ pollbridge ", followed by its output of both streams and, where it is
// not 0, its exit code.
func console(t *testing.T, dir, text string) string {
	t.Helper()
	const prompt = "$ pollbridge"
	var b strings.Builder
	for line := range strings.Lines(text) {
		args, ok := strings.CutPrefix(line, prompt)
		if !ok {
			continue
		}
		if b.Len() > 0 {
			b.WriteString("\n")
		}
		b.WriteString(line)
		out, err := command(t, dir, strings.Fields(args)...).CombinedOutput()
		b.WriteString(strings.TrimRight(string(out), "\n") + "\n")
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			fmt.Fprintf(&b, "[exit %d]\n", exit.ExitCode())
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if b.Len() == 0 {
		t.Fatalf("no line begins with %q:\n%s", prompt, text)
	}
	return b.String()
}
