package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func newHealthCommand() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "health",
		Short: "Ask a running pollbridge whether it is ready",
		Long: `Ask /readyz of the admin address that the configuration names, and exit with 0
if it is ready, else with 1. It is for the health checks of containers, which
have no other program.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := loadConfig(file)
			if err != nil {
				return err
			}
			switch cfg.Admin {
			case "":
				return errors.New(`admin is "": there is nobody to ask`)
			case "systemd":
				return errors.New("admin is systemd, whose socket unit knows the address: ask /readyz there")
			}
			return askReady(c.Context(), cfg.Admin)
		},
	}
	configFlag(c, &file)
	return c
}

// askReady asks the admin listener of an address of this machine.
func askReady(ctx context.Context, admin string) error {
	transport := &http.Transport{}
	if path, ok := strings.CutPrefix(admin, "unix:"); ok {
		admin = "localhost:80"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}
	}
	host, port, err := net.SplitHostPort(admin)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+"/readyz", nil)
	if err != nil {
		return err
	}
	res, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return fmt.Errorf("not ready: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(io.LimitReader(res.Body, 1<<10))
		return fmt.Errorf("not ready: %s", strings.TrimSpace(string(why)))
	}
	return nil
}
