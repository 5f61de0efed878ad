package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"pollbridge/config"
	"pollbridge/listen"
	"pollbridge/probe"
)

func newCheckCommand() *cobra.Command {
	var file string
	var ask bool
	var urls []string
	var asked headerFlags
	c := &cobra.Command{
		Use:   "check",
		Short: "Validate a configuration and print it as understood",
		Long: `Validate a configuration file and print the rules as they are understood, with
their defaults. Every error is told at once, with its line, what was found and
what is allowed. The certificate that it names is read, too; that it is not valid
now, or ends soon, is a warning.

With --probe the API is asked, too: every rule is polled a few times, as it
would be polled, and with and without the credentials that are given. It is told
what does not work, what would be shown to the wrong user, and what to write. A
rule with wildcards needs an example, --url; no request but GETs is made.

The exit code is 1 after an error, of the file or of what was probed, else 0.
Warnings and tips are no errors.`,
		Example: `  pollbridge check
  pollbridge check --probe --url /api/stations/oslo
  TOKEN=… pollbridge check --probe -H 'Authorization: Bearer ${TOKEN}'`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := loadConfig(file)
			if err != nil {
				return err
			}
			header, err := asked.header()
			if err != nil {
				return err
			}
			if !ask && (len(urls) > 0 || len(header) > 0) {
				return errors.New("--url, --header and --cookie say what to ask the API: they go with --probe")
			}
			doubt := ""
			if cfg.TLS != nil {
				pair, err := listen.LoadPair(cfg.TLS.Cert, cfg.TLS.Key)
				if err != nil {
					return err
				}
				doubt = listen.Doubt(pair, time.Now())
			}
			cfg.Describe(c.OutOrStdout())
			fmt.Fprintf(c.OutOrStdout(), "\n%s is valid\n", file)
			if doubt != "" {
				fmt.Fprintf(c.OutOrStdout(), "warning: tls: cert %s: %s\n", cfg.TLS.Cert, doubt)
			}
			if !ask {
				return nil
			}
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			return runProbe(ctx, c.OutOrStdout(), file, cfg, probe.Options{URLs: urls, Header: header})
		},
	}
	configFlag(c, &file)
	c.Flags().BoolVar(&ask, "probe", false, "ask the API, and say what to expect of it")
	c.Flags().StringArrayVar(&urls, "url", nil, "`path` to probe, an example for a rule with wildcards; may be given again")
	asked.add(c)
	return c
}

// runProbe probes and prints what was found.
func runProbe(ctx context.Context, w io.Writer, file string, cfg *config.Config, o probe.Options) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "\nasking %s\n", config.Shown(cfg.Upstream))
	reports, unasked, err := probe.Run(ctx, cfg, o)
	if err != nil {
		return err
	}
	pages := findings{w: w, file: file, cfg: cfg, lines: config.Lines(text)}
	for _, r := range reports {
		pages.print(r)
	}
	for _, e := range unasked {
		fmt.Fprintf(w, "\n%s (%s:%d) was not probed: give an example, --url %s\n", e.Path, file, e.Line, e.Path)
	}
	fmt.Fprintf(w, "\n%d probed, %d not; %d errors, %d warnings\n", len(reports), len(unasked), pages.errors, pages.warnings)
	if pages.errors > 0 {
		return errors.New("the probe found errors")
	}
	return nil
}

// findings prints reports, each finding with the line that it is about.
type findings struct {
	w                io.Writer
	file             string
	cfg              *config.Config
	lines            map[string]int
	errors, warnings int
}

func (f *findings) print(r probe.Report) {
	answer := "no answer"
	if r.First.Status > 0 {
		answer = fmt.Sprintf("%d, %d bytes in %s", r.First.Status, r.First.Bytes, r.First.Took.Round(time.Millisecond))
	}
	fmt.Fprintf(f.w, "\n%s: %s; %d requests\n", r.URL, answer, r.Polls)
	for _, found := range r.Findings {
		switch found.Level {
		case probe.Error:
			f.errors++
		case probe.Warning:
			f.warnings++
		}
		fmt.Fprintf(f.w, "  %-8s %s:%d: %s\n", found.Level, f.file, f.line(r.Rule, found.Key), found.Text)
		if found.Write != "" {
			fmt.Fprintf(f.w, "           write  %s\n", found.Write)
		}
	}
	if len(r.Findings) == 0 {
		fmt.Fprintln(f.w, "  nothing to say: it can be polled as it is")
	}
}

// line is where a key of a rule stands, or the rule, where it has none.
func (f *findings) line(e *config.Endpoint, key string) int {
	for i := range f.cfg.Endpoints {
		if line, ok := f.lines[fmt.Sprintf("endpoints[%d].%s", i, key)]; ok && &f.cfg.Endpoints[i] == e {
			return line
		}
	}
	return e.Line
}
