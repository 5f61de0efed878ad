package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newCheckCommand() *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "check",
		Short: "Validate a configuration and print it as understood",
		Long: `Validate a configuration file and print the rules as they are understood, with
their defaults. Every error is told at once, with its line, what was found and
what is allowed; then the exit code is 1.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := loadConfig(file)
			if err != nil {
				return err
			}
			cfg.Describe(c.OutOrStdout())
			fmt.Fprintf(c.OutOrStdout(), "\n%s is valid\n", file)
			return nil
		},
	}
	configFlag(c, &file)
	return c
}
