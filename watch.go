package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"pollbridge/client"
)

func newWatchCommand() *cobra.Command {
	var asked headerFlags
	var whole bool
	c := &cobra.Command{
		Use:   "watch URL",
		Short: "Print every change of a URL as it comes",
		Long: `Watch a URL that a rule of a running pollbridge matches, and print every change
as it comes: the document first, then the operations of each patch. A lost
connection is made again. Documents go to standard output, all else to
standard error.`,
		Example: `  pollbridge watch http://localhost:8080/api/stations
  pollbridge watch --whole -H 'Authorization: Bearer ${TOKEN}' https://example.com/api/me | jq .name`,
		Args: oneURL,
		RunE: func(c *cobra.Command, args []string) error {
			header, err := asked.header()
			if err != nil {
				return err
			}
			ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			waiting := time.AfterFunc(speechless, func() { fmt.Fprintln(c.ErrOrStderr(), nothingYet) })
			defer waiting.Stop()
			for u, err := range client.Watch(ctx, withScheme(args[0]), &client.Options{Header: header, Compression: true}) {
				waiting.Stop()
				if err != nil {
					return hint(err)
				}
				printUpdate(c.OutOrStdout(), c.ErrOrStderr(), u, whole)
			}
			return nil
		},
	}
	asked.add(c)
	c.Flags().BoolVar(&whole, "whole", false, "print the whole document, on one line, at every change")
	return c
}

// speechless is how long watch waits for a first word before it says what may be
// the matter.
const speechless = 5 * time.Second

const nothingYet = `nothing yet: the API is slow, or this is the path on which sockets begin with no
subscription (socket in the configuration, / by default); name a URL that is polled`

// hint adds to a handshake that nobody has answered with a WebSocket what is
// most likely behind it.
func hint(err error) error {
	var refused *client.HandshakeError
	if errors.As(err, &refused) && (refused.Status == http.StatusOK || refused.Status == http.StatusNotFound) {
		return fmt.Errorf("%w\n\nIt seems that no rule matches this URL, or that no pollbridge answers there.\npollbridge check prints the rules of a configuration", err)
	}
	return err
}

// withScheme is a URL as a person types it, made whole.
func withScheme(url string) string {
	if strings.Contains(url, "://") {
		return url
	}
	return "http://" + url
}

func printUpdate(out, notes io.Writer, u client.Update, whole bool) {
	at := u.At.Local().Format("15:04:05.000")
	switch {
	case u.Stale != nil && u.Since.IsZero():
		fmt.Fprintf(notes, "nothing to show yet: %v\n", u.Stale)
	case u.Stale != nil:
		again := ""
		if u.Stale.Code == client.CodeDisconnected {
			again = "; trying again"
		}
		fmt.Fprintf(notes, "%s stale: %v%s\n", u.Since.Local().Format("15:04:05.000"), u.Stale, again)
	case u.Patch != nil && !whole:
		fmt.Fprintf(notes, "%s patch, %d bytes for a document of %d\n", at, u.Bytes, len(u.Data))
		fmt.Fprintf(out, "%s\n", u.Patch)
	case u.Bytes == 0:
	default:
		fmt.Fprintf(notes, "%s document, %d bytes\n", at, u.Bytes)
		fmt.Fprintf(out, "%s\n", u.Data)
	}
}
