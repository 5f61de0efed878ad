package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"pollbridge/advise"
	"pollbridge/config"
	"pollbridge/listen"
	"pollbridge/passthrough"
)

func newAdviseCommand() *cobra.Command {
	var address string
	var duration time.Duration
	c := &cobra.Command{
		Use:   "advise URL",
		Short: "Find what is polled, and write the rules for it",
		Long: `Pass everything through to an API, unchanged, and find the GETs that a client
repeats at a steady pace. Open your frontend through it, let it be for a minute,
and press Ctrl-C: a configuration with a rule for each poll is printed, with
interval, vary, drop_query, ignore and keys as what was seen suggests.

No value of a header, a query or a document is kept or written.`,
		Example: `  pollbridge advise http://127.0.0.1:9000 > config.yaml
  pollbridge advise --for 2m --listen :8081 https://api.example.com`,
		Args: oneURL,
		RunE: func(c *cobra.Command, args []string) error {
			text := args[0]
			if !strings.HasPrefix(text, "unix:") {
				text = withScheme(text)
			}
			upstream, err := config.ParseUpstream(text)
			if err != nil {
				return fmt.Errorf("the URL %q is none of an API: want one such as http://127.0.0.1:9000 or unix:/run/app.sock", args[0])
			}
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			if duration > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, duration)
				defer cancel()
			}
			return runAdvise(ctx, c.OutOrStdout(), c.ErrOrStderr(), address, upstream)
		},
	}
	c.Flags().StringVarP(&address, "listen", "l", "127.0.0.1:8080", "`address` to pass requests on from")
	c.Flags().DurationVar(&duration, "for", 0, "end by itself after this `time`, such as 1m; 0: with Ctrl-C")
	return c
}

// runAdvise passes requests through until ctx ends, and then writes the rules.
func runAdvise(ctx context.Context, out, notes io.Writer, address string, upstream *url.URL) error {
	l, err := listen.Open("listen", address, 0)
	if err != nil {
		return err
	}
	adviser := &advise.Adviser{}
	server := &http.Server{
		Handler:           adviser.Handler(passthrough.New(passthrough.Options{Upstream: upstream, Answer: time.Minute})),
		ReadHeaderTimeout: 10 * time.Second, DisableGeneralOptionsHandler: true,
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(l) }()
	defer server.Close()
	fmt.Fprintf(notes, "Everything passes through http://%s to %s.\nOpen your frontend there, let it be for a minute, and press Ctrl-C for the rules.\n\n", browsable(l.Addr()), config.Shown(upstream))
	began, told := time.Now(), map[string]bool{}
	tell := time.NewTicker(time.Second)
	defer tell.Stop()
	for {
		select {
		case err := <-failed:
			return err
		case <-tell.C:
			for _, r := range adviser.Rules() {
				if !told[r.Path] {
					told[r.Path] = true
					fmt.Fprintf(notes, "%s is polled every %s\n", r.Path, r.Interval)
				}
			}
		case <-ctx.Done():
			rules := adviser.Rules()
			if len(rules) == 0 {
				return errors.New("nothing was polled: no client has asked for one URL four times at a steady pace")
			}
			advise.Write(out, config.Shown(upstream), rules, time.Since(began))
			return nil
		}
	}
}
