package lint

import (
	"bytes"
	"debug/elf"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// buildCommand is how the Dockerfile builds the binary.
var buildCommand = regexp.MustCompile(`(?m)^RUN (CGO_ENABLED=0 .* go build .*) -o /pollbridge \.$`)

// TestImage builds the binary as the Dockerfile does, puts into an empty
// directory what the image consists of, and runs it there as the image's user:
// what is missing in an image from scratch is missing here.
func TestImage(t *testing.T) {
	if runtime.GOOS != "linux" || os.Getuid() != 0 {
		t.Skip("only root can change the root directory, on Linux")
	}
	root := t.TempDir()
	image := filepath.Join(root, "image")
	if err := os.MkdirAll(filepath.Join(image, "etc/pollbridge"), 0o755); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(image, "pollbridge")
	build(t, binary)
	admin := free()
	config := fmt.Sprintf("listen: 127.0.0.1:0\nadmin: 127.0.0.1:%d\nupstream: http://127.0.0.1:1\nendpoints: [{path: /a, interval: 1s}]\n", admin)
	if err := os.WriteFile(filepath.Join(image, "etc/pollbridge/config.yaml"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	for dir := image; dir != "/"; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); err != nil || info.Mode()&1 == 0 {
			os.Chmod(dir, 0o755)
		}
	}
	inside := func(args ...string) *exec.Cmd {
		c := exec.Command("/pollbridge", args...)
		c.Path, c.Dir, c.Env = "/pollbridge", "/etc/pollbridge", []string{}
		c.SysProcAttr = &syscall.SysProcAttr{Chroot: image, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
		return c
	}
	if out, err := inside("--version").Output(); err != nil || string(out) != "pollbridge version 1.2.3-test\n" {
		t.Errorf("it says that it is %s, %v", out, err)
	}
	if out, err := inside("health").CombinedOutput(); err == nil {
		t.Errorf("it is healthy before it runs: %s", out)
	}
	serve := inside("serve")
	var log bytes.Buffer
	serve.Stderr = &log
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	defer serve.Process.Kill()
	ready := fmt.Sprintf("http://127.0.0.1:%d/readyz", admin)
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(20 * time.Millisecond) {
		if res, err := http.Get(ready); err == nil {
			res.Body.Close()
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("%v\n%s", err, log.String())
		}
	}
	if out, err := inside("health").CombinedOutput(); err != nil {
		t.Errorf("it is not healthy: %v: %s", err, out)
	}
	serve.Process.Signal(syscall.SIGTERM)
	if err := serve.Wait(); err != nil {
		t.Errorf("after SIGTERM: %v\n%s", err, log.String())
	}
}

// build makes the binary, and holds that it needs no library, and tells nothing
// of where it was built.
func build(t *testing.T, to string) {
	t.Helper()
	dockerfile, err := os.ReadFile("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	m := buildCommand.FindSubmatch(dockerfile)
	if m == nil {
		t.Fatalf("the Dockerfile has no line like %s", buildCommand)
	}
	source, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("sh", "-c", string(m[1])+` -buildvcs=false -o "$TO" .`)
	c.Dir, c.Env = source, append(os.Environ(), "TARGETOS=linux", "TARGETARCH="+runtime.GOARCH, "VERSION=1.2.3-test", "TO="+to)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	f, err := elf.Open(to)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("the binary is not static: it has a %v segment", p.Type)
		}
	}
	text, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), source+"/") {
		t.Errorf("the binary names the directory that it was built in")
	}
}

// free is a port that nobody listens on, and none of those that the system gives
// to connections.
func free() int {
	for {
		port := 10_000 + rand.IntN(20_000)
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)); err == nil {
			l.Close()
			return port
		}
	}
}
