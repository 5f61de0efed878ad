package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// A node is a Node.js process that runs the npm package rfc6902. It is skipped
// for documents on which it takes seconds.
type node struct {
	on    bool
	dir   string
	cmd   *exec.Cmd
	in    *bufio.Writer
	out   *bufio.Reader
	spent time.Duration
}

const script = `
const {createPatch} = require('rfc6902');
require('readline').createInterface({input: process.stdin}).on('line', line => {
  const [a, b] = JSON.parse(line);
  console.log(JSON.stringify(createPatch(a, b)));
});
`

// What it is spared: documents on which it takes seconds, and more than a while
// in all.
const (
	largest = 90_000 // bytes
	longest = 30 * time.Second
)

func (n *node) start() {
	dir, err := os.MkdirTemp("", "rfc6902")
	if err != nil {
		n.on = false
		return
	}
	n.dir = dir
	install := exec.Command("npm", "install", "--no-audit", "--no-fund", "--prefix", dir, "rfc6902@5")
	if out, err := install.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "rfc6902 is left out: npm: %v %s\n", err, bytes.TrimSpace(out))
		n.on = false
		return
	}
	n.cmd = exec.Command("node", "-e", script)
	n.cmd.Dir = dir
	in, err1 := n.cmd.StdinPipe()
	out, err2 := n.cmd.StdoutPipe()
	if err1 != nil || err2 != nil || n.cmd.Start() != nil {
		n.on, n.cmd = false, nil
		return
	}
	n.in, n.out = bufio.NewWriter(in), bufio.NewReader(out)
}

// diff returns the patch, or nil.
func (n *node) diff(old, new []byte) []byte {
	if !n.on || len(new) > largest || n.spent > longest {
		return nil
	}
	if n.cmd == nil {
		if n.start(); !n.on {
			return nil
		}
	}
	var line bytes.Buffer
	line.WriteByte('[')
	json.Compact(&line, old)
	line.WriteByte(',')
	json.Compact(&line, new)
	line.WriteString("]\n")
	start := time.Now()
	n.in.Write(line.Bytes())
	n.in.Flush()
	patch, err := n.out.ReadBytes('\n')
	n.spent += time.Since(start)
	if err != nil {
		n.on = false
		return nil
	}
	return bytes.TrimSpace(patch)
}

func (n *node) close() {
	if n.cmd != nil {
		n.cmd.Process.Kill()
		n.cmd.Wait()
	}
	if n.dir != "" {
		os.RemoveAll(n.dir)
	}
}
