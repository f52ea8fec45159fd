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
	root.Version = info.String()
	root.SetVersionTemplate("{{.Name}} {{.Version}}\n")
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
