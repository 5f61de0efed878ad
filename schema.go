package main

import (
	_ "embed"

	"github.com/spf13/cobra"

	"pollbridge/config"
)

// example is every key with its default and what it means.
//
//go:embed config.example.yaml
var example []byte

func newSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the configuration",
		Long: `Print the JSON Schema (draft-07) of the configuration, for editors. With the YAML
language server, the first line of the configuration says where it is:

  # yaml-language-server: $schema=pollbridge.schema.json`,
		Example: `  pollbridge schema > pollbridge.schema.json`,
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			schema, err := config.Schema(example)
			if err != nil {
				return err
			}
			_, err = c.OutOrStdout().Write(schema)
			return err
		},
	}
}
