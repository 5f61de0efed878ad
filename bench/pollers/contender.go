package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A contender is what stands between the pollers and the upstream.
type contender struct {
	name  string
	start func(r *run, upstream string) (*process, error)
}

// A process is a contender that is running.
type process struct {
	address string
	cmd     *exec.Cmd // nil: there is nothing in between
}

var direct = contender{"directly", func(_ *run, upstream string) (*process, error) {
	return &process{address: upstream}, nil
}}

var pollbridge = contender{"pollbridge", func(r *run, upstream string) (*process, error) {
	return r.serve("pollbridge.yaml", func(address string) (string, *exec.Cmd) {
		config := fmt.Sprintf("listen: %q\nupstream: %q\nadmin: \"\"\ndrain: 0s\nlog: {level: warn}\n"+
			"endpoints:\n  - {path: /api/orders, interval: %s, vary: [], serve: true}\n", address, "http://"+upstream, r.interval)
		return config, exec.CommandContext(r.ctx, r.pollbridge, "serve", "--config", "pollbridge.yaml")
	})
}}

// nginx as its manual has it for an API that is asked too often; and with the
// further lines that its manual has for those who may be given what is old.
var (
	nginx      = nginxWith("nginx", "")
	nginxStale = nginxWith("nginx, use_stale", "proxy_cache_use_stale updating; proxy_cache_background_update on;")
)

func nginxWith(name, more string) contender {
	return contender{name, func(r *run, upstream string) (*process, error) {
		return r.serve("nginx.conf", func(address string) (string, *exec.Cmd) {
			user := ""
			if os.Getuid() == 0 {
				user = "user root;" // the directory is ours alone
			}
			config := fmt.Sprintf(`daemon off; worker_processes 1; pid nginx.pid; error_log stderr error; %s
events { worker_connections 4096; }
http {
  access_log off; proxy_cache_path cache keys_zone=api:1m;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  upstream legacy { server %s; keepalive 64; }
  server {
    listen %s backlog=4096;
    location / {
      proxy_pass http://legacy; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_cache api; proxy_cache_lock on; proxy_cache_valid 200 %d; %s
    }
  }
}`, user, upstream, address, max(1, int(r.interval/time.Second)), more)
			return config, exec.CommandContext(r.ctx, r.nginx, "-p", r.dir, "-c", "nginx.conf")
		})
	}}
}

// serve writes a configuration, starts a server with it, in a directory of its
// own, and waits until it listens.
func (r *run) serve(file string, with func(address string) (config string, cmd *exec.Cmd)) (*process, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	config, cmd := with(address)
	cmd.Dir = r.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} // nginx has children to end
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := os.WriteFile(filepath.Join(r.dir, file), []byte(config), 0o600); err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{address, cmd}
	for end := time.Now().Add(10 * time.Second); !listens(address); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			p.stop()
			return nil, fmt.Errorf("%s does not listen: %.2000s", cmd.Path, said.Bytes())
		}
	}
	return p, nil
}

func listens(address string) bool {
	c, err := net.Dial("tcp", address)
	if err == nil {
		c.Close()
	}
	return err == nil
}

// freeAddress is one that nobody listens on.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// stop ends the process, in order or after 5 s by force.
func (p *process) stop() {
	if p.cmd == nil {
		return
	}
	p.cmd.Process.Signal(syscall.SIGTERM)
	force := time.AfterFunc(5*time.Second, func() { p.cmd.Process.Kill() })
	p.cmd.Wait()
	force.Stop()
}

// cpu is the time that the process and its workers have used: user and system,
// in ticks of 10 ms.
func (p *process) cpu() time.Duration {
	if p.cmd == nil {
		return 0
	}
	pid := p.cmd.Process.Pid
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", pid))
	var ticks int64
	for _, pid := range append(strings.Fields(string(children)), strconv.Itoa(pid)) {
		text, _ := os.ReadFile("/proc/" + pid + "/stat")
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if len(fields) < 13 {
			continue
		}
		for _, f := range fields[11:13] { // utime and stime
			n, _ := strconv.ParseInt(f, 10, 64)
			ticks += n
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// build makes pollbridge's binary from its source.
func build(ctx context.Context, source, dir string) (string, error) {
	path := filepath.Join(dir, "pollbridge")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, ".")
	cmd.Dir = source
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
}
