package main

import (
	"encoding/json"
	"io"

	"github.com/spf13/cobra"
)

// newConfigure returns the commands that look at a configuration. They take the flags of
// limpetd itself, so that what they show is what it would do.
func newConfigure() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Look at a configuration: check it, show what holds, or print the file's schema",
		Args:  cobra.NoArgs,
	}
	with := func(use, short string, run func(*loader, io.Writer) error) {
		c := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs}
		c.Flags().AddFlagSet(commandLine())
		c.RunE = func(c *cobra.Command, _ []string) error { return run(newLoader(c.Flags()), c.OutOrStdout()) }
		cmd.AddCommand(c)
	}
	with("check", "Check the configuration, as limpetd --check does, and say what would be done", checkConfig)
	with("show", "Show every setting, and where it comes from: a flag, the environment, a line of the file, or the default", showConfig)
	cmd.AddCommand(&cobra.Command{
		Use:     "schema",
		Short:   "Print the JSON schema of the configuration file, for editors",
		Args:    cobra.NoArgs,
		Example: "  limpetd config schema > limpetd.schema.json",
		RunE: func(c *cobra.Command, _ []string) error {
			enc := json.NewEncoder(c.OutOrStdout())
			enc.SetIndent("", "  ")
			return enc.Encode(fileSchema())
		},
	})
	return cmd
}

// checkConfig says what would be done with a configuration.
func checkConfig(l *loader, out io.Writer) error {
	c, err := l.load()
	if err != nil {
		return &usageError{err}
	}
	return usage(c.sayCheck(out))
}

// showConfig prints what holds.
func showConfig(l *loader, out io.Writer) error {
	c, err := l.load()
	if err != nil {
		return &usageError{err}
	}
	return c.show(out)
}
