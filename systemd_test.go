//go:build linux

package main

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// startUnit runs the binary as systemd would: with sockets from descriptor 3 on,
// and with the environment given. LISTEN_PID is its own, which only it knows.
func startUnit(t *testing.T, dir string, sockets []*os.File, env ...string) *process {
	t.Helper()
	file, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command("sh", "-c", `LISTEN_PID=$$ exec "$0" serve`, file)
	c.Dir, c.ExtraFiles = dir, sockets
	c.Env = append(append(os.Environ(), "GORACE=halt_on_error=1", "LISTEN_FDS="+strconv.Itoa(len(sockets))), env...)
	return startCommand(t, c)
}

// TestSystemdSocket restarts the program a few times while clients ask, on
// sockets that stay: nobody is refused, and nothing fails.
func TestSystemdSocket(t *testing.T) {
	t.Parallel()
	legacy := newAPI(t)
	legacy.set("/api/orders", orders("open"))
	var files []*os.File
	var addresses []string
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		l.Close() // the file is the socket now, as with systemd
		defer f.Close()
		files, addresses = append(files, f), append(addresses, l.Addr().String())
	}
	dir := writeConfig(t, "listen: systemd\nadmin: systemd\ndrain: 0s\nupstream: "+legacy.URL+"\n")
	names := "LISTEN_FDNAMES=listen:admin"
	p := startUnit(t, dir, files, names)
	p.errors.wait(t, "msg=serving listen="+addresses[0]+" .* admin="+addresses[1]+"\n")

	stop := make(chan struct{})
	var asking sync.WaitGroup
	var answered atomic.Int64
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	for range 4 {
		asking.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				res, err := client.Get("http://" + addresses[0] + "/api/orders")
				if err != nil || res.StatusCode != 200 {
					t.Errorf("while it restarts: %v %v", res, err)
					return
				}
				res.Body.Close()
				answered.Add(1)
			}
		})
	}
	for range 5 {
		p.signal(syscall.SIGTERM)
		if code := p.code(); code != 0 {
			t.Errorf("exit code %d", code)
		}
		before := answered.Load()
		p = startUnit(t, dir, files, names)
		p.errors.wait(t, "msg=serving")
		for deadline := time.Now().Add(patience); answered.Load() < before+20 && !t.Failed() && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
	}
	close(stop)
	asking.Wait()
	t.Logf("%d requests were answered by 6 processes, one after the other, and none failed", answered.Load())

	alone := startUnit(t, writeConfig(t, "listen: systemd\nadmin: ''\nupstream: "+legacy.URL+"\n"), nil)
	if code := alone.code(); code != 1 || !strings.Contains(alone.errors.String(), "listen: systemd has passed no socket") {
		t.Errorf("without a socket: %d %s", code, alone.errors.String())
	}
	other := startUnit(t, dir, files, "LISTEN_FDNAMES=web:ops")
	if code := other.code(); code != 1 || !strings.Contains(other.errors.String(), `sockets named "web", "ops", and none named "listen"`) {
		t.Errorf("with sockets of other names: %d %s", code, other.errors.String())
	}
}

// TestSystemdNotify holds what systemd is told, by a real socket of its kind:
// when it is ready, that and when it reloads, that it is alive, and that it ends.
func TestSystemdNotify(t *testing.T) {
	t.Parallel()
	legacy := newAPI(t)
	path := filepath.Join(t.TempDir(), "notify")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	told := func(want ...string) map[string]string {
		t.Helper()
		l.SetReadDeadline(time.Now().Add(patience))
		buf := make([]byte, 4<<10)
		for {
			n, err := l.Read(buf)
			if err != nil {
				t.Fatalf("waiting to be told %q: %v", want, err)
			}
			state := map[string]string{}
			for line := range strings.SplitSeq(string(buf[:n]), "\n") {
				name, value, _ := strings.Cut(line, "=")
				state[name] = value
			}
			if _, ok := state[want[0]]; !ok {
				continue
			}
			for _, name := range want {
				if state[name] == "" {
					t.Errorf("told %q, without %s", buf[:n], name)
				}
			}
			return state
		}
	}
	dir := writeConfig(t, "listen: 127.0.0.1:0\nadmin: ''\ndrain_delay: 1ms\ndrain: 90s\nupstream: "+legacy.URL+"\n")
	p := startUnit(t, dir, nil, "NOTIFY_SOCKET="+path, "WATCHDOG_USEC=200000")
	serving := told("READY", "STATUS")["STATUS"]
	if !strings.HasPrefix(serving, "serving 1 endpoints on 127.0.0.1:") {
		t.Errorf("the status is %s", serving)
	}
	for range 5 {
		told("WATCHDOG")
	}
	for _, text := range []string{"", "nonsense: true\n"} { // a reload that fails ends, too
		file, err := os.OpenFile(filepath.Join(dir, "config.yaml"), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		file.WriteString(text)
		file.Close()
		p.signal(syscall.SIGHUP)
		usec, err := strconv.ParseInt(told("RELOADING", "MONOTONIC_USEC")["MONOTONIC_USEC"], 10, 64)
		if up := uptime(t); err != nil || usec > up || usec < up-int64(patience/time.Microsecond) {
			t.Errorf("MONOTONIC_USEC is %d, it is about %d", usec, up)
		}
		want := serving
		if text != "" {
			want += "; the latest reload failed: the log says why"
		}
		if got := told("READY", "STATUS")["STATUS"]; got != want {
			t.Errorf("after a reload the status is %q, want %q", got, want)
		}
	}
	p.signal(syscall.SIGTERM)
	if usec, err := strconv.Atoi(told("STOPPING", "EXTEND_TIMEOUT_USEC")["EXTEND_TIMEOUT_USEC"]); err != nil || time.Duration(usec)*time.Microsecond < 100*time.Second {
		t.Errorf("the time asked for is %d µs, %v: less than a drain may take", usec, err)
	}
	if code := p.code(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// uptime is what the monotonic clock says, in microseconds, where the machine
// has not slept.
func uptime(t *testing.T) int64 {
	t.Helper()
	text, err := os.ReadFile("/proc/uptime")
	if err != nil {
		t.Fatal(err)
	}
	seconds, err := strconv.ParseFloat(strings.Fields(string(text))[0], 64)
	if err != nil {
		t.Fatal(err)
	}
	return int64(seconds*1e6) + 20_000 // it is given in hundredths
}
