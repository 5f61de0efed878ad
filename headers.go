package main

import (
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"pollbridge/config"
)

// headerFlags are the flags by which a command is given request headers. What
// is secret in them need not stand in the command, where the shell's history
// and the list of processes keep it: ${NAME} is the environment's, @FILE a
// file's lines.
type headerFlags struct {
	lines   []string
	cookies []string
}

func (f *headerFlags) add(c *cobra.Command) {
	c.Flags().StringArrayVarP(&f.lines, "header", "H", nil, "request header `'Name: value'`; ${NAME} in it is the environment's; @FILE: one on each line of a file; may be given again")
	c.Flags().StringArrayVarP(&f.cookies, "cookie", "b", nil, "a cookie, `'name=value'`, short for -H 'Cookie: name=value'; may be given again")
}

// header returns what the flags say, by canonical name. Its errors tell no
// value.
func (f *headerFlags) header() (http.Header, error) {
	h := make(http.Header)
	for _, line := range f.lines {
		name, file := strings.CutPrefix(line, "@")
		if !file {
			if err := addHeader(h, line); err != nil {
				return nil, err
			}
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("header: %w", err)
		}
		for i, line := range strings.Split(string(text), "\n") {
			if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
				continue
			}
			if err := addHeader(h, line); err != nil {
				return nil, fmt.Errorf("%s:%d: %w", name, i+1, err)
			}
		}
	}
	cookies := h["Cookie"]
	for _, cookie := range f.cookies {
		if !strings.Contains(cookie, "=") {
			return nil, fmt.Errorf("cookie: want 'name=value'")
		}
		value, err := config.Expand(cookie, os.LookupEnv)
		if err != nil {
			return nil, fmt.Errorf("cookie: %w", err)
		}
		cookies = append(cookies, value)
	}
	if len(cookies) > 0 {
		h["Cookie"] = []string{strings.Join(cookies, "; ")} // RFC 6265, section 5.4: one field
	}
	return h, nil
}

// addHeader adds one line of the form "Name: value".
func addHeader(h http.Header, line string) error {
	name, value, ok := strings.Cut(line, ":")
	name = strings.TrimSpace(name)
	if !ok || name == "" || strings.ContainsAny(name, " \t") {
		return fmt.Errorf("header %q: want 'Name: value'", firstWord(line))
	}
	value, err := config.Expand(strings.TrimSpace(value), os.LookupEnv)
	if err != nil {
		return fmt.Errorf("header %q: %w", name, err)
	}
	h.Add(name, value)
	return nil
}

// firstWord is the beginning of a line that is not understood, if it may be a
// name: what follows it, and what is longer, may be a secret.
func firstWord(line string) string {
	const longest = 30
	if words := strings.Fields(line); len(words) > 0 && len(words[0]) <= longest {
		return strings.TrimSuffix(words[0], ":")
	}
	return "…"
}
