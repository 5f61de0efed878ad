package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"pollbridge/config"
)

// What is in deploy/ is held against the binary here. deploy/lint reads the same
// files with the parsers of those who use them.

// TestDeployConfigs holds that the configurations are understood.
func TestDeployConfigs(t *testing.T) {
	t.Parallel()
	for _, file := range []string{"deploy/config.yaml", "deploy/kubernetes/config.yaml"} {
		if out, err := command(t, ".", "check", "--config", file).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	}
}

// TestDeployCommands holds that every command that a file in deploy/ gives is
// understood: it gets as far as to miss its configuration.
func TestDeployCommands(t *testing.T) {
	t.Parallel()
	commands := map[string][]string{}
	for file, pattern := range map[string]string{
		"deploy/systemd/pollbridge.service": `(?m)^Exec\w+=\S*/pollbridge (.*)$`,
		"deploy/kubernetes/deployment.yaml": `(?m)^ +args: \[(.*)\]$`,
		"deploy/compose.yaml":               `(?m)^ +command: \[(.*)\]$`,
		"deploy/Dockerfile":                 `(?m)^CMD \[(.*)\]$`,
		"deploy/Dockerfile.release":         `(?m)CMD \["/pollbridge", (.*)\]$`,
	} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(string(text), -1) {
			commands[file] = append(commands[file], strings.NewReplacer(`"`, "", ",", "").Replace(m[1]))
		}
		if len(commands[file]) == 0 {
			t.Errorf("%s has no command", file)
		}
	}
	for file, lines := range commands {
		for _, line := range lines {
			line = strings.ReplaceAll(line, "/etc/pollbridge/", "/nonexistent/")
			out, err := command(t, t.TempDir(), strings.Fields(line)...).CombinedOutput()
			if err == nil || !strings.Contains(string(out), "no such file or directory") {
				t.Errorf("%s: %s: %v: %s", file, line, err, out)
			}
		}
	}
}

// TestDeployGrace holds that what ends pollbridge waits for longer than it
// needs: drain, and what requests under way get on top.
func TestDeployGrace(t *testing.T) {
	t.Parallel()
	for file, c := range map[string]struct{ config, seconds string }{
		"deploy/kubernetes/deployment.yaml": {"deploy/kubernetes/config.yaml", `terminationGracePeriodSeconds: (\d+)`},
		"deploy/compose.yaml":               {"deploy/config.yaml", `stop_grace_period: (\d+)s`},
		"deploy/systemd/pollbridge.service": {"config.example.yaml", `TimeoutStopSec=(\d+)`},
	} {
		cfg, err := config.Load(c.config)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		m := regexp.MustCompile(c.seconds).FindSubmatch(text)
		if m == nil {
			t.Fatalf("%s has no %s", file, c.seconds)
		}
		grace, err := time.ParseDuration(string(m[1]) + "s")
		if needs := cfg.DrainDelay + cfg.Drain + drainGrace; err != nil || grace <= needs {
			t.Errorf("%s waits for %s, and it needs %s", file, grace, needs)
		}
	}
}

// TestDeployPorts holds that containers offer the ports that the configuration
// listens on, and are asked for what is there.
func TestDeployPorts(t *testing.T) {
	t.Parallel()
	cfg, err := config.Load("deploy/kubernetes/config.yaml")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("deploy/kubernetes/deployment.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var deployment struct {
		Spec struct {
			Template struct {
				Spec struct {
					Containers []struct {
						Ports []struct {
							Name          string
							ContainerPort int `yaml:"containerPort"`
						}
						Args []string
					}
				}
			}
		}
	}
	if err := yaml.Unmarshal(text, &deployment); err != nil {
		t.Fatal(err)
	}
	for _, p := range deployment.Spec.Template.Spec.Containers[0].Ports {
		if address := map[string]string{"http": cfg.Listen, "admin": cfg.Admin}[p.Name]; address != fmt.Sprintf(":%d", p.ContainerPort) {
			t.Errorf("port %s is %d, and pollbridge listens on %s", p.Name, p.ContainerPort, address)
		}
	}
	r := serveBinary(t, newAPI(t).URL, "")
	paths := regexp.MustCompile(`path: (/[a-z]+)`).FindAllStringSubmatch(string(text), -1)
	if len(paths) != 3 {
		t.Errorf("found %d probes", len(paths))
	}
	for _, m := range paths {
		if status, _ := r.health(m[1]); status != 200 {
			t.Errorf("%s: %d", m[1], status)
		}
	}
	dockerfile, err := os.ReadFile("deploy/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(dockerfile), "EXPOSE "+strings.Trim(cfg.Listen, ":")+" "+strings.Trim(cfg.Admin, ":")+"\n") {
		t.Error("the Dockerfile exposes other ports")
	}
}

// TestDeployImages holds that an image of a release is the image that is built
// from the source, but for where the binary comes from.
func TestDeployImages(t *testing.T) {
	t.Parallel()
	var last [2][]string
	for i, file := range []string{"deploy/Dockerfile", "deploy/Dockerfile.release"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, stage, _ := strings.Cut(string(text), "\nFROM scratch\n")
		last[i] = slices.DeleteFunc(strings.Split(stage, "\n"), func(line string) bool {
			return strings.HasPrefix(line, "COPY ") || strings.HasPrefix(line, "ARG ") || line == ""
		})
	}
	if !slices.Equal(last[0], last[1]) || len(last[0]) < 5 {
		t.Errorf("%q and %q", last[0], last[1])
	}
}

// TestDeployUnit has systemd read the unit, where it is installed, and say how
// exposed the service is.
func TestDeployUnit(t *testing.T) {
	t.Parallel()
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	file, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("deploy/systemd/pollbridge.service")
	if err != nil {
		t.Fatal(err)
	}
	unit := strings.ReplaceAll(string(text), "/usr/local/bin/pollbridge", file)
	if systemdVersion(t, analyze) < 253 { // as the unit itself says
		unit = strings.Replace(unit, "\nType=notify-reload\n", "\nType=notify\nExecReload=kill -HUP $MAINPID\n", 1)
	}
	path := filepath.Join(t.TempDir(), "pollbridge.service")
	if err := os.WriteFile(path, []byte(unit), 0o644); err != nil {
		t.Fatal(err)
	}
	if text, err = os.ReadFile("deploy/systemd/pollbridge.socket"); err == nil {
		err = os.WriteFile(strings.Replace(path, ".service", ".socket", 1), text, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "verify", "--man=no", path, strings.Replace(path, ".service", ".socket", 1)).CombinedOutput(); err != nil || strings.Contains(string(out), "pollbridge.s") {
		t.Errorf("%v: %s", err, out)
	}
	out, err := exec.Command(analyze, "security", "--offline=true", "--threshold=20", "--no-pager", path).CombinedOutput()
	if err != nil {
		t.Errorf("the service is more exposed than 2.0: %v: %s", err, out)
	}
}

func systemdVersion(t *testing.T, analyze string) (version int) {
	t.Helper()
	out, err := exec.Command(analyze, "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	fmt.Sscanf(string(out), "systemd %d", &version)
	return version
}

// TestHealth holds what `health` says of a pollbridge that runs, drains, or is
// not there.
func TestHealth(t *testing.T) {
	t.Parallel()
	admin := freeAddress(t)
	dir := writeConfig(t, "listen: 127.0.0.1:0\nadmin: "+admin+"\nupstream: "+newAPI(t).URL+"\ndrain: 0s\n")
	ask := func() (string, bool) {
		out, err := command(t, dir, "health").CombinedOutput()
		return string(out), err == nil
	}
	if said, healthy := ask(); healthy || !strings.HasPrefix(said, "not ready: ") {
		t.Errorf("before it runs: %s", said)
	}
	p := start(t, dir, "serve")
	p.errors.wait(t, "msg=serving")
	if said, healthy := ask(); !healthy || said != "" {
		t.Errorf("while it runs: %s", said)
	}
	socket := filepath.Join(t.TempDir(), "admin.sock")
	dir = writeConfig(t, "listen: 127.0.0.1:0\nadmin: unix:"+socket+"\nupstream: http://127.0.0.1:1\n")
	start(t, dir, "serve").errors.wait(t, "msg=serving")
	if said, healthy := ask(); !healthy {
		t.Errorf("on a Unix socket: %s", said)
	}
	off := writeConfig(t, "admin: \"\"\nupstream: http://127.0.0.1:1\n")
	if out, err := command(t, off, "health").CombinedOutput(); err == nil || !strings.Contains(string(out), "nobody to ask") {
		t.Errorf("without an admin listener: %v: %s", err, out)
	}
}

// freeAddress is an address of loopback for somebody to listen on who cannot
// say which one it has been given. No other test is given it, and it is none of
// those that the system gives to connections.
func freeAddress(t *testing.T) string {
	t.Helper()
	for {
		address := fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000))
		if _, given := givenAddresses.LoadOrStore(address, true); given {
			continue
		}
		if l, err := net.Listen("tcp", address); err == nil {
			l.Close()
			return address
		}
	}
}

var givenAddresses sync.Map
