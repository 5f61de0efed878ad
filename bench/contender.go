package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A contender is a server that brings changes to watchers.
type contender struct {
	name  string
	start func(*run) (*server, error)
}

// A server is a contender that is running.
type server struct {
	cmd      *exec.Cmd
	join     func(channels int) join // how one joins that watches the channels 0 to channels-1
	publish  func(channel, number int) error
	upstream *upstream // of pollbridge
	clean    func()
	rss      int64 // bytes, before anybody came
}

// A run is what the contenders are started for.
type run struct {
	ctx        context.Context
	size       int // of a change, in bytes
	dir        string
	pollbridge string // binary
	centrifugo string // binary, or none
	nginx      string // binary, or none
	module     string // nchan's
	workers    int    // of nginx
	deflate    bool
	config     string // further lines of pollbridge's configuration
}

// startProcess starts a server and waits until it listens.
func startProcess(r *run, address string, cmd *exec.Cmd) (*server, error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log, err := os.Create(filepath.Join(r.dir, filepath.Base(cmd.Path)+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	s := &server{cmd: cmd}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", address)
		if err == nil {
			c.Close()
			break
		}
		if time.Now().After(end) {
			s.stop()
			text, _ := os.ReadFile(log.Name())
			return nil, fmt.Errorf("%s does not listen: %.2000s", cmd.Path, text)
		}
	}
	time.Sleep(200 * time.Millisecond)
	s.rss = s.memory()
	return s, nil
}

// stop ends the server: in order, that it can write what it has to, or by
// force.
func (s *server) stop() {
	s.cmd.Process.Signal(syscall.SIGTERM)
	s.cmd.Process.Signal(syscall.SIGTERM) // pollbridge: without draining
	done := time.AfterFunc(5*time.Second, func() { s.cmd.Process.Kill() })
	s.cmd.Wait()
	done.Stop()
	if s.clean != nil {
		s.clean()
	}
}

// freeAddress is one that nobody listens on, and none of those that the system
// gives to connections.
func freeAddress() (address string, err error) {
	for range 100 {
		address = fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000))
		var l net.Listener
		if l, err = net.Listen("tcp", address); err == nil {
			return address, l.Close()
		}
	}
	return "", err
}

// processes are the server's, workers included.
func (s *server) processes() []int {
	pids := []int{s.cmd.Process.Pid}
	children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", pids[0]))
	for _, c := range strings.Fields(string(children)) {
		if pid, err := strconv.Atoi(c); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// memory is the resident set of the server, in bytes.
func (s *server) memory() int64 { return s.status("VmRSS:") }

func (s *server) status(field string) int64 {
	var n int64
	for _, pid := range s.processes() {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		if _, rest, ok := strings.Cut(string(text), field); ok {
			kib, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			n += kib << 10
		}
	}
	return n
}

// cpu is the time that the server has used: user and system, in ticks of 10 ms.
func (s *server) cpu() time.Duration {
	var ticks int64
	for _, pid := range s.processes() {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if i := bytes.LastIndexByte(text, ')'); i >= 0 {
			fields := strings.Fields(string(text[i+1:]))
			for _, f := range fields[11:13] { // utime and stime
				n, _ := strconv.ParseInt(f, 10, 64)
				ticks += n
			}
		}
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// post publishes over HTTP.
func post(url, contentType, text string) error {
	res, err := http.Post(url, contentType, strings.NewReader(text))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode/100 != 2 {
		err = fmt.Errorf("%s answered %s: %.200s", url, res.Status, answer)
	}
	return err
}

const deflateHeader = "Sec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover\r\n"

// pollbridge is the one this is about. It polls an upstream that is there for
// it, every 10 ms.
var pollbridge = contender{"pollbridge", func(r *run) (*server, error) {
	up, err := newUpstream(r.size)
	if err != nil {
		return nil, err
	}
	s, err := startPollbridge(r, up, 10*time.Millisecond)
	if err != nil {
		up.close()
	}
	return s, err
}}

func startPollbridge(r *run, up *upstream, interval time.Duration) (*server, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf("listen: %q\nupstream: %q\nadmin: \"\"\ndrain: 0s\ncompression: %t\n"+
		"limits: {connections_per_client: 1000000, resources: 100000, resources_per_client: 100000}\nlog: {level: warn}\n"+
		"endpoints:\n  - {path: \"/api/{channel}\", interval: %s, vary: []}\n%s",
		address, "http://"+up.address(), r.deflate, interval, r.config)
	file := filepath.Join(r.dir, "pollbridge.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	s, err := startProcess(r, address, exec.CommandContext(r.ctx, r.pollbridge, "serve", "--config", file))
	if err != nil {
		return nil, err
	}
	s.upstream, s.clean = up, up.close
	s.publish = func(channel, number int) error { up.change(channel, number); return nil }
	s.join = func(channels int) join {
		j := join{Address: address, Target: "/", Ready: []byte(`"type":"snapshot"`), Readies: channels}
		if r.deflate {
			j.Header = deflateHeader
		}
		for c := range channels {
			j.Messages = append(j.Messages, fmt.Sprintf(`{"type":"subscribe","url":"/api/%d"}`, c))
		}
		return j
	}
	return s, nil
}

// floor writes frames made beforehand, to one socket after another.
var floor = contender{"floor", func(r *run) (*server, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	cmd, err := self(r.ctx, "floor", address)
	if err != nil {
		return nil, err
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	s, err := startProcess(r, address, cmd)
	if err != nil {
		return nil, err
	}
	s.publish = func(channel, number int) error {
		_, err := fmt.Fprintln(in, body(r.size, stamp(channel, number, time.Now().UnixNano())))
		return err
	}
	s.join = func(int) join { return join{Address: address, Target: "/"} }
	return s, nil
}}

// nchan is nginx's module for publishing and subscribing.
var nchan = contender{"nchan", func(r *run) (*server, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf(`daemon off; worker_processes %d; worker_rlimit_nofile 20000; pid %s/nginx.pid; error_log stderr crit;
load_module %s;
events { worker_connections 19000; }
http {
  access_log off; client_body_temp_path %[2]s/body; proxy_temp_path %[2]s/proxy; fastcgi_temp_path %[2]s/fastcgi; uwsgi_temp_path %[2]s/uwsgi; scgi_temp_path %[2]s/scgi;
  server {
    listen %[4]s backlog=4096;
    location ~ ^/sub/(.*)$ { nchan_subscriber websocket; nchan_channel_id $1; nchan_channel_id_split_delimiter ","; nchan_subscriber_first_message newest; }
    location ~ ^/pub/(.*)$ { nchan_publisher; nchan_channel_id $1; nchan_message_buffer_length 10; nchan_message_timeout 1m; }
  }
}`, r.workers, r.dir, r.module, address)
	file := filepath.Join(r.dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	s, err := startProcess(r, address, exec.CommandContext(r.ctx, r.nginx, "-c", file, "-p", r.dir))
	if err != nil {
		return nil, err
	}
	s.publish = func(channel, number int) error {
		return post(fmt.Sprintf("http://%s/pub/%d", address, channel), "application/json", body(r.size, stamp(channel, number, time.Now().UnixNano())))
	}
	s.join = func(channels int) join {
		ids := make([]string, channels)
		for c := range ids {
			ids[c] = strconv.Itoa(c)
		}
		return join{Address: address, Target: "/sub/" + strings.Join(ids, ",")}
	}
	return s, nil
}}

// centrifugo is a server for real-time messages, in Go.
var centrifugo = contender{"centrifugo", func(r *run) (*server, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	host, port, _ := net.SplitHostPort(address)
	config := fmt.Sprintf(`{"http_server":{"address":%q,"port":%s},"http_api":{"insecure":true},
"client":{"insecure":true,"allowed_origins":["*"]},"log":{"level":"error"},
"channel":{"without_namespace":{"allow_subscribe_for_client":true,"allow_subscribe_for_anonymous":true}}}`, host, port)
	file := filepath.Join(r.dir, "centrifugo.json")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, err
	}
	s, err := startProcess(r, address, exec.CommandContext(r.ctx, r.centrifugo, "--config", file))
	if err != nil {
		return nil, err
	}
	s.publish = func(channel, number int) error {
		text := fmt.Sprintf(`{"channel":"%d","data":%s}`, channel, body(r.size, stamp(channel, number, time.Now().UnixNano())))
		return post("http://"+address+"/api/publish", "application/json", text)
	}
	s.join = func(channels int) join {
		j := join{Address: address, Target: "/connection/websocket", Ready: []byte(`"subscribe":`), Readies: channels, PongEmpty: true}
		j.Messages = []string{`{"id":1,"connect":{}}`}
		for c := range channels {
			j.Messages = append(j.Messages, fmt.Sprintf(`{"id":%d,"subscribe":{"channel":"%d"}}`, c+2, c))
		}
		return j
	}
	return s, nil
}}

// contenders are those that can be had.
func (r *run) contenders() []contender {
	all := []contender{pollbridge, floor}
	if r.nginx != "" && exists(r.module) {
		all = append(all, nchan)
	}
	if r.centrifugo != "" {
		all = append(all, centrifugo)
	}
	return all
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
