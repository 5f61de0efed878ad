package main

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"pollbridge/config"
)

// What a person who has typed something wrong is told, beyond that it is
// wrong. Cobra itself has hints for mistyped commands only.

// flagError says which flags of the command look like the one that failed.
func flagError(c *cobra.Command, err error) error {
	hint := fmt.Sprintf("'%s --help' lists what there is", c.CommandPath())
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		if like := similarFlag(c, unknown.GetSpecifiedName()); like != "" {
			hint = "did you mean --" + like + "?"
		}
	}
	return fmt.Errorf("%w: %s", err, hint)
}

// similarFlag is the flag of a command that name was probably meant to be.
func similarFlag(c *cobra.Command, name string) (like string) {
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if like == "" && (strings.HasPrefix(f.Name, name) || sameLetters(f.Name, name)) {
			like = f.Name
		}
	})
	return like
}

// sameLetters reports whether two names differ by the order of their letters,
// or by one letter at most.
func sameLetters(a, b string) bool {
	left := []byte(a)
	missing := 0
	for i := range len(b) {
		if at := slices.Index(left, b[i]); at >= 0 {
			left = slices.Delete(left, at, at+1)
		} else {
			missing++
		}
	}
	return len(left) <= 1 && missing <= 1
}

// noArgs refuses arguments of a command that takes its file by a flag.
func noArgs(c *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return nil
	case c.Flags().Lookup("config") != nil:
		return fmt.Errorf("%s takes no argument: did you mean --config %s?", c.CommandPath(), args[0])
	}
	return fmt.Errorf("%s takes no argument, found %q", c.CommandPath(), args[0])
}

// oneURL demands the argument of watch and explain.
func oneURL(c *cobra.Command, args []string) error {
	if len(args) == 1 {
		return nil
	}
	return fmt.Errorf("%s wants one URL, such as http://localhost:8080/api/x; found %d arguments", c.CommandPath(), len(args))
}

// loadConfig reads a configuration file. Where there is none it says what one
// looks like.
func loadConfig(file string) (*config.Config, error) {
	cfg, err := config.Load(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf(noConfig, err)
	}
	return cfg, err
}

const noConfig = `%w

A configuration names the API and the URLs of it that are polled:

    upstream: "http://127.0.0.1:9000"
    endpoints:
      - path: /api/orders
        interval: 2s

Write it to config.yaml, or name another file with --config. To see pollbridge
at work without a configuration: pollbridge demo`
