package main

import (
	"bufio"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"
)

// A fleet is some processes of watchers. One can hold no more connections than
// it may open files.
type fleet struct {
	ctx      context.Context
	patience time.Duration // how long to wait for a word
	members  []*member
	words    chan word // of all of them
}

type member struct {
	cmd *exec.Cmd
	in  *gob.Encoder
}

// newFleet starts n processes, which end with ctx.
func newFleet(ctx context.Context, n int) (*fleet, error) {
	f := &fleet{ctx: ctx, patience: time.Minute, words: make(chan word, 1024)}
	for range n {
		if err := f.start(); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (f *fleet) start() error {
	cmd, err := self(f.ctx, "watchers")
	if err != nil {
		return err
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	f.members = append(f.members, &member{cmd, gob.NewEncoder(in)})
	go func() {
		for dec := gob.NewDecoder(bufio.NewReader(out)); ; {
			w := word{}
			if dec.Decode(&w) != nil {
				w = word{Err: "a process of watchers has ended"}
			}
			select {
			case f.words <- w:
			case <-f.ctx.Done():
				return
			}
			if w.Err != "" {
				return
			}
		}
	}()
	return nil
}

// self is this program in another part.
func self(ctx context.Context, part string, args ...string) (*exec.Cmd, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), partVariable+"="+part)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd, nil
}

// partVariable names the environment variable that says which part of the
// bench a process plays.
const partVariable = "POLLBRIDGE_BENCH_PART"

// next waits for the next word that is no error.
func (f *fleet) next() (word, error) {
	patience := time.NewTimer(f.patience)
	defer patience.Stop()
	select {
	case w := <-f.words:
		if w.Err != "" {
			return w, errors.New(w.Err)
		}
		return w, nil
	case <-patience.C:
		return word{}, fmt.Errorf("some watchers have received nothing for %v", f.patience)
	case <-f.ctx.Done():
		return word{}, fmt.Errorf("waiting for the watchers: %w", f.ctx.Err())
	}
}

// join has count connections opened as j says, by the members in equal parts,
// and waits until all are ready.
func (f *fleet) join(j join, count int) error {
	for i, m := range f.members {
		part := j
		part.Source = fmt.Sprintf("127.0.%d.%d", 1+i/250, 2+i%250)
		part.First = count * i / len(f.members)
		part.Count = count*(i+1)/len(f.members) - part.First
		if j.Expect != 0 {
			part.Expect = part.Count
		}
		if err := m.in.Encode(command{Join: &part}); err != nil {
			return err
		}
	}
	return f.all(func(w word) bool { return w.Joined })
}

// all waits until every member has said what is wanted.
func (f *fleet) all(wanted func(word) bool) error {
	for n := 0; n < len(f.members); {
		w, err := f.next()
		if err != nil {
			return err
		}
		if wanted(w) {
			n++
		}
	}
	return nil
}

// completed waits for a change that all watchers have received.
func (f *fleet) completed(counts map[string]int) (change string, err error) {
	for {
		w, err := f.next()
		if err != nil {
			return "", err
		}
		if w.Complete == "" {
			continue
		}
		if counts[w.Complete]++; counts[w.Complete] == len(f.members) {
			delete(counts, w.Complete)
			return w.Complete, nil
		}
	}
}

// report tells what was seen since the last, and begins anew.
func (f *fleet) report() (*report, error) {
	for _, m := range f.members {
		if err := m.in.Encode(command{Report: true}); err != nil {
			return nil, err
		}
	}
	sum := &report{First: make(map[string]int64), Last: make(map[string]int64)}
	err := f.all(func(w word) bool {
		if w.Report != nil {
			sum.add(w.Report)
		}
		return w.Report != nil
	})
	slices.Sort(sum.Latencies)
	return sum, err
}

func (r *report) add(o *report) {
	r.Latencies = append(r.Latencies, o.Latencies...)
	for k, v := range o.First {
		if first, ok := r.First[k]; !ok || v < first {
			r.First[k] = v
		}
	}
	for k, v := range o.Last {
		r.Last[k] = max(r.Last[k], v)
	}
	r.Frames += o.Frames
	r.Bytes += o.Bytes
	r.CPU += o.CPU
	r.Open += o.Open
	r.Gone += o.Gone
}

// quantile is in milliseconds.
func (r *report) quantile(q float64) float64 {
	if len(r.Latencies) == 0 {
		return 0
	}
	return float64(r.Latencies[int(q*float64(len(r.Latencies)-1))]) / 1000
}

// median is that of waits in ns, in milliseconds.
func median(waits map[string]int64) float64 {
	if len(waits) == 0 {
		return 0
	}
	sorted := slices.Sorted(maps.Values(waits))
	return float64(sorted[len(sorted)/2]) / 1e6
}

// leave closes all connections.
func (f *fleet) leave() error {
	for _, m := range f.members {
		if err := m.in.Encode(command{Leave: true}); err != nil {
			return err
		}
	}
	return f.all(func(w word) bool { return w.Joined })
}

// stop ends the processes. The fleet's context has to end too.
func (f *fleet) stop() {
	for _, m := range f.members {
		m.cmd.Process.Kill()
		m.cmd.Wait()
	}
}
