package main

import (
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/kbus-limpet/limpet/internal/doctor"
	"github.com/kbus-limpet/limpet/internal/printable"
)

// A codedError ends the program with an exit code of a command's own; all has been said.
type codedError int

func (e codedError) Error() string { return "exit code " + strconv.Itoa(int(e)) }

func (o *options) newDoctor() *cobra.Command {
	between := time.Second
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Find out what is wrong with a daemon and its links, and say what helps",
		Long: `doctor looks at the daemon, its links, its bus's device, certificates and unit, twice
within --between, and prints a finding for each thing that is not as it should be: how
bad it is, a code, what it is, and what helps. The codes stay the same from version to
version; docs/doctor.md describes them.

The exit code is that of the worst finding: 0 nothing, or a note; 1 a warning; 2 something
does not work.`,
		Example: "  limpetctl doctor\n  limpetctl doctor --json --between 1m",
		Args:    args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := o.examine(cmd.Context(), between)
			if err != nil {
				return err
			}
			found := doctor.Examine(s)
			if err := o.printFindings(cmd.OutOrStdout(), found); err != nil {
				return err
			}
			if worst := doctor.Worst(found); worst > doctor.Note {
				return codedError(worst)
			}
			return nil
		},
	}
	cmd.Flags().DurationVar(&between, "between", between, "look a second time after this `DURATION`: what has grown then goes on")
	return cmd
}

func (o *options) printFindings(out io.Writer, found []doctor.Finding) error {
	if len(found) == 0 && !o.json {
		_, err := io.WriteString(out, "nothing is wrong\n")
		return err
	}
	for _, f := range found {
		if o.json {
			if err := o.printJSON(out, object{
				{"code", f.Code}, {"severity", f.Severity.String()}, {"about", f.About}, {"finding", f.What}, {"cure", f.Cure},
			}); err != nil {
				return err
			}
			continue
		}
		about := f.About
		if about != "" {
			about += ": "
		}
		if _, err := printable.Fprintf(out, "%-8s %s %s%s\n         cure: %s\n", f.Severity, f.Code, about, f.What, f.Cure); err != nil {
			return err
		}
	}
	return nil
}
