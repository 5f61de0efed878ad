package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"pollbridge/config"
	"pollbridge/demo"
	"pollbridge/listen"
)

func newDemoCommand() *cobra.Command {
	var address string
	c := &cobra.Command{
		Use:   "demo",
		Short: "Show polling and pushing side by side, on this machine alone",
		Long: `Start a legacy API of a simulated bike-share network, pollbridge in front of it,
and a page that shows both ways side by side on the same data. Nothing leaves
the machine.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			err := showDemo(c, address)
			if busy := (*listen.BusyError)(nil); errors.As(err, &busy) && !c.Flags().Changed("listen") {
				err = showDemo(c, "127.0.0.1:0")
			}
			return err
		},
	}
	c.Flags().StringVarP(&address, "listen", "l", "127.0.0.1:8080", "`address` to serve the page on; another port is taken if this one is in use")
	return c
}

// showDemo runs the demo until it is ended, with the page at an address.
func showDemo(c *cobra.Command, address string) error {
	legacy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for the legacy API: %w", err)
	}
	backend := &http.Server{Handler: demo.New(uint64(time.Now().UnixNano())), ReadHeaderTimeout: 10 * time.Second}
	go backend.Serve(legacy)
	defer backend.Close()
	text := demo.Config("http://"+legacy.Addr().String(), address)
	cfg, err := config.Parse("demo", text, os.LookupEnv)
	if err != nil {
		return err
	}
	cfg.Drain, cfg.Log.Level = 0, slog.LevelError
	out := c.OutOrStdout()
	log := openLogs(c.ErrOrStderr(), cfg.Log)
	defer log.queue.Flush()
	return serve(c.Context(), cfg, log, serveOptions{ready: func(a, admin net.Addr) {
		fmt.Fprintf(out, "A legacy API is polled at http://%s, and pushed at http://%s\n\n", legacy.Addr(), a)
		fmt.Fprintf(out, "    Open         http://%s/\n", browsable(a))
		fmt.Fprintf(out, "    behind it    http://%s/\n", browsable(admin))
		fmt.Fprintf(out, "    or run       pollbridge watch http://%s/api/stations\n\n", browsable(a))
		fmt.Fprintln(out, "Ctrl-C ends it.")
	}})
}

// browsable is an address as a person would type it.
func browsable(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	if ip := net.ParseIP(host); ip == nil || ip.IsLoopback() || ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}
