package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/internal/buildinfo"
	"github.com/kbus-limpet/limpet/internal/printable"
)

// addVersions gives the command version the flag --all.
func (o *options) addVersions(root *cobra.Command) {
	cmd, _, err := root.Find([]string{"version"})
	if err != nil {
		panic(err) // buildinfo has added it
	}
	one, all := cmd.RunE, false
	cmd.Args = args(cobra.NoArgs)
	cmd.Long = `version prints the version of limpetctl. --all compares it with the version of the daemon
that runs, of those that are linked to it and behind them, as far as they say it, and of the
programs that are installed beside limpetctl. The exit code is 1 if two of them differ.`
	cmd.Example = "  limpetctl version\n  limpetctl version --all"
	cmd.Flags().BoolVar(&all, "all", false, "compare it with the versions of the daemon, its peers, those behind them, and what is installed here")
	cmd.RunE = func(cmd *cobra.Command, words []string) error {
		if !all {
			return one(cmd, words)
		}
		return o.withBus(func(bus *client.Bus) error {
			ctx, cancel := o.limited(cmd.Context())
			defer cancel()
			found, err := versions(ctx, bus)
			if err != nil {
				return err
			}
			return o.printVersions(cmd.OutOrStdout(), found)
		})
	}
}

// A version is that of a program somewhere.
type version struct {
	program string
	where   string // for people
	network uint32 // of a daemon that runs
	link    string // by which it is reached, "" if it is the daemon that was asked
	behind  bool   // it lies behind the link's peer
	version string // "" if it is not known
}

// versions returns those of all programs of which something can be known.
func versions(ctx context.Context, bus *client.Bus) ([]version, error) {
	st, err := bus.Status(ctx)
	if err != nil {
		return nil, err
	}
	networks, err := bus.Networks(ctx)
	if err != nil {
		return nil, err
	}
	all := []version{
		{program: "limpetctl", where: "this program", version: buildinfo.Read().Version},
		{program: "limpetd", where: fmt.Sprintf("network %d", st.GetNetworkId()), network: st.GetNetworkId(), version: st.GetVersion()},
	}
	for _, n := range networks {
		v := version{program: "limpetd", network: n.GetNetworkId(), link: n.GetLink(), behind: n.GetBehind(), version: n.GetVersion()}
		by := "over"
		if v.behind {
			by = "behind"
		}
		v.where = fmt.Sprintf("network %d, %s %s", v.network, by, v.link)
		all = append(all, v)
	}
	return append(all, installed(ctx)...), nil
}

// installed returns the versions of the programs in the folder of this one.
func installed(ctx context.Context) (all []version) {
	self, err := os.Executable()
	if err != nil {
		return nil
	}
	for _, name := range []string{"limpetd", "kbusd"} {
		path := filepath.Join(filepath.Dir(self), name)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var info buildinfo.Info
		if text, err := exec.CommandContext(ctx, path, "version", "--json").Output(); err == nil {
			_ = json.Unmarshal(text, &info) // else its version is not known
		}
		all = append(all, version{program: name, where: path, version: info.Version})
	}
	return all
}

// printVersions prints the versions, and whether they are the same, which the exit code says
// too.
func (o *options) printVersions(out io.Writer, all []version) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	different, unknown := make(map[string]bool), 0
	for _, v := range all {
		said := v.version
		if said == "" {
			said = "not known"
			unknown++
		} else {
			different[v.version] = true
		}
		var err error
		if o.json {
			err = o.printJSON(out, object{
				{"program", v.program}, {"where", v.where}, {"network_id", v.network}, {"link", v.link}, {"behind", v.behind}, {"version", v.version},
			})
		} else {
			_, err = printable.Fprintf(w, "%s\t%s\t%s\n", v.program, said, v.where)
		}
		if err != nil {
			return err
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	verdict := "all are the same"
	if len(different) > 1 {
		verdict = fmt.Sprintf("there are %d different ones", len(different))
	}
	if unknown > 0 {
		verdict += fmt.Sprintf(", as far as is known: %d do not say", unknown)
	}
	if !o.json {
		if _, err := printable.Fprintf(out, "%s\n", verdict); err != nil {
			return err
		}
	}
	if len(different) > 1 {
		return codedError(exitFailed)
	}
	return nil
}
