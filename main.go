// Pollbridge is a reverse proxy that turns a polling API into a push API
// without touching the backend. See README.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

// run is the whole program and returns its exit code: 0, or 1 after an error
// that it has told about on stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil || errors.Is(err, context.Canceled) {
		return 0
	}
	fmt.Fprintln(stderr, err)
	if strings.HasPrefix(err.Error(), "unknown command") && !strings.Contains(err.Error(), "Did you mean") {
		fmt.Fprintln(stderr, "pollbridge --help lists what there is")
	}
	return 1
}

func newCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "pollbridge",
		Short: "Turn a polling API into a push API without touching the backend",
		Long: `pollbridge stands in front of an HTTP API that clients poll. It polls the URLs
that its configuration names itself, once however many clients watch, and
pushes only what changed over WebSocket. Everything else passes through.

See it at work, on this machine alone:   pollbridge demo
Put it in front of an API of yours:      pollbridge serve --config config.yaml
Watch a URL through it:                  pollbridge watch http://localhost:8080/api/x
Ask what becomes of a URL, and why:      pollbridge explain /api/x`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       version(),
	}
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(newServeCommand(), newCheckCommand(), newAdviseCommand(), newExplainCommand(), newSchemaCommand(), newHealthCommand(), newWatchCommand(), newDemoCommand(), newVersionCommand())
	return root
}
