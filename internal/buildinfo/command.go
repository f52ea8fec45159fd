package buildinfo

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"
)

// AddTo gives a program's command the flag --version and the command version, which print
// one line, or JSON with --json, the program's own flag if it has one.
func AddTo(root *cobra.Command) {
	info := Read()
	addFlag(root, info)
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version, and what it was built from",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asJSON, err := cmd.Flags().GetBool("json"); err == nil && asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(info)
			}
			_, err := fmt.Fprintln(cmd.OutOrStdout(), root.Name(), info)
			return err
		},
	}
	if root.PersistentFlags().Lookup("json") == nil {
		cmd.Flags().Bool("json", false, "print JSON")
	}
	root.AddCommand(cmd)
}

// addFlag is what cobra does for a command with a Version, but for the words. Cobra takes other
// words from a template, and a program with templates keeps all methods that it could call: 3 MB
// of limpetd.
func addFlag(root *cobra.Command, info Info) {
	shown := root.Flags().Bool("version", false, "print the version")
	run := root.RunE
	root.RunE = func(cmd *cobra.Command, words []string) error {
		switch {
		case *shown:
			_, err := fmt.Fprintln(cmd.OutOrStdout(), root.Name(), info)
			return err
		case run == nil:
			return cmd.Help()
		default:
			return run(cmd, words)
		}
	}
}
