// Command bench runs pollbridge, the least that a Go program can do (the
// floor) and those peers that can be had on the same work in turn, on this
// machine's loopback, and prints what they take and the ratios.
//
//	cd bench && go run . -centrifugo /path/to/centrifugo
//
// nchan is used where Debian's nginx and libnginx-mod-nchan are installed. All
// processes end with this one, and this one with -timeout.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// A bench is one run of everything.
type bench struct {
	run
	out      io.Writer
	watchers int
	duration time.Duration // of one load
	settle   time.Duration // before memory is looked at
	repeat   int           // of the fan-out
	number   int           // of the last change
}

// rest lets the servers come to rest.
func (b *bench) rest() { time.Sleep(b.settle) }

func main() {
	if part := os.Getenv(partVariable); part != "" {
		if err := play(part, os.Args[1:]); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", part, err)
			os.Exit(1)
		}
		return
	}
	b := &bench{out: os.Stdout, settle: 2 * time.Second}
	nginx, _ := exec.LookPath("nginx")
	watchers := flag.Int("watchers", 10_000, "how many watch at once")
	seconds := flag.Float64("seconds", 4, "how long each load lasts")
	size := flag.Int("size", 1024, "`bytes` of a change")
	flag.IntVar(&b.repeat, "repeat", 3, "how often each load of the fan-out runs; the run with the least CPU counts")
	only := flag.String("only", "", "scenarios, comma-separated, of: "+strings.Join(scenarioNames(), ", "))
	among := flag.String("among", "", "contenders, comma-separated (default: all that can be had)")
	timeout := flag.Duration("timeout", 15*time.Minute, "when everything ends")
	flag.StringVar(&b.pollbridge, "pollbridge", "", "pollbridge's `binary` (default: built from the directory above)")
	flag.StringVar(&b.centrifugo, "centrifugo", "", "Centrifugo's `binary`")
	flag.StringVar(&b.nginx, "nginx", nginx, "nginx's `binary`")
	flag.StringVar(&b.module, "nchan", "/usr/lib/nginx/modules/ngx_nchan_module.so", "nchan's `module`")
	flag.IntVar(&b.workers, "workers", 1, "of nginx")
	flag.Parse()
	b.watchers, b.size, b.duration = *watchers, *size, time.Duration(*seconds*float64(time.Second))
	if err := b.main(*only, *among, *timeout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// play is a process that another part of the bench has started.
func play(part string, args []string) error {
	switch part {
	case "watchers":
		return runWatchers(os.Stdin, os.Stdout)
	case "floor":
		return runFloor(os.Stdin, args[0])
	}
	return fmt.Errorf("there is no such part")
}

func (b *bench) main(only, among string, timeout time.Duration) error {
	raiseLimit()
	dir, err := os.MkdirTemp("", "pollbridge-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var cancel context.CancelFunc
	b.ctx, cancel = context.WithTimeout(context.Background(), timeout)
	defer cancel()
	b.dir = dir
	if b.pollbridge == "" {
		if b.pollbridge, err = build(b.ctx, dir); err != nil {
			return err
		}
	}
	for _, s := range scenarios {
		if !listed(only, s.name) {
			continue
		}
		fmt.Fprintf(b.out, "\n## %s\n", s.title)
		if err := s.run(b, among); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// build makes pollbridge's binary.
func build(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "pollbridge")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", path, ".")
	cmd.Dir = ".."
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
}

// listed reports whether name is in a comma-separated list; everything is in
// an empty one.
func listed(list, name string) bool {
	return list == "" || strings.Contains(","+list+",", ","+name+",")
}
