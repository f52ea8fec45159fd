package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/kbus-limpet/limpet/internal/printable"
	"github.com/kbus-limpet/limpet/internal/sockaddr"
)

func (o *options) newContext() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "context",
		Short: "Name daemons, and choose which one is meant",
		Long: `A context is a name for a daemon: its address, and the TLS files with which it is
reached. The context in use is meant unless a command says another with --context or
LIMPETCTL_CONTEXT, or an address with --api or LIMPETCTL_API.

Contexts are kept in limpetctl/contexts.json in the user's folder for configuration
(XDG_CONFIG_HOME, or .config at home). Keys stay where they are: only the names of
files are kept.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(
		&cobra.Command{
			Use: "list", Short: "List the contexts; * is the one in use", Args: args(cobra.NoArgs),
			RunE: func(cmd *cobra.Command, _ []string) error { return o.listContexts(cmd.OutOrStdout()) },
		},
		&cobra.Command{
			Use: "set NAME", Short: "Make a context, or change it", Args: args(cobra.ExactArgs(1)), ValidArgsFunction: completeContexts,
			Long: `set keeps the address and the TLS files that stand in its flags. A context that there
is keeps what the flags do not say. It is not used yet: limpetctl context use does that.`,
			Example: "  limpetctl context set north --api north.example.org:7001 --tls-cert me.pem --tls-key me.key --tls-ca ca.pem",
			RunE:    func(cmd *cobra.Command, words []string) error { return o.setContext(cmd, words[0]) },
		},
		&cobra.Command{
			Use: "use [NAME]", Short: "Use a context from now on; without NAME none", Args: args(cobra.MaximumNArgs(1)), ValidArgsFunction: completeContexts,
			RunE: func(_ *cobra.Command, words []string) error {
				return changeContexts(func(c *contexts, path string) error {
					c.InUse = first(words)
					if c.InUse == "" {
						return nil
					}
					_, err := c.find(c.InUse, path)
					return err
				})
			},
		},
		&cobra.Command{
			Use: "show [NAME]", Short: "Show a context; without NAME which daemon is meant now", Args: args(cobra.MaximumNArgs(1)), ValidArgsFunction: completeContexts,
			RunE: func(cmd *cobra.Command, words []string) error { return o.showContext(cmd.OutOrStdout(), first(words)) },
		},
		&cobra.Command{
			Use: "remove NAME", Short: "Forget a context", Args: args(cobra.ExactArgs(1)), ValidArgsFunction: completeContexts,
			RunE: func(_ *cobra.Command, words []string) error {
				return changeContexts(func(c *contexts, path string) error {
					if _, err := c.find(words[0], path); err != nil {
						return err
					}
					delete(c.All, words[0])
					if c.InUse == words[0] {
						c.InUse = ""
					}
					return nil
				})
			},
		},
	)
	return cmd
}

// changeContexts reads the contexts, has them changed, and writes them. An error is one of
// usage.
func changeContexts(change func(c *contexts, path string) error) error {
	path, err := contextsFile()
	if err != nil {
		return &usageError{err}
	}
	c, err := readContexts(path)
	if err == nil {
		err = change(c, path)
	}
	if err != nil {
		return &usageError{err}
	}
	return c.write(path)
}

func (o *options) setContext(cmd *cobra.Command, name string) error {
	if err := checkContextName(name); err != nil {
		return &usageError{err}
	}
	return changeContexts(func(c *contexts, _ string) error {
		p := c.All[name]
		if p == nil {
			if o.said.API == "" {
				return fmt.Errorf("context %q is new: say where the daemon is, with --api ADDRESS", name)
			}
			p = new(place)
			c.All[name] = p
		}
		for _, x := range []struct {
			flag string
			to   *string
			said string
			file bool
		}{
			{"api", &p.API, o.said.API, false}, {"tls-cert", &p.TLSCert, o.said.TLSCert, true}, {"tls-key", &p.TLSKey, o.said.TLSKey, true},
			{"tls-ca", &p.TLSCA, o.said.TLSCA, true}, {"tls-name", &p.TLSName, o.said.TLSName, false},
		} {
			if !cmd.Flags().Changed(x.flag) {
				continue
			}
			*x.to = x.said
			if x.file && x.said != "" { // so that it can be used from any folder
				var err error
				if *x.to, err = filepath.Abs(x.said); err != nil {
					return fmt.Errorf("--%s: %w", x.flag, err)
				}
			}
		}
		if cmd.Flags().Changed("insecure") {
			p.Insecure = o.said.Insecure
		}
		addr, err := sockaddr.ParseAddress(p.API)
		if err == nil && addr.Network == "unix" {
			p.API, err = filepath.Abs(addr.Address)
		}
		if err != nil {
			return fmt.Errorf("--api: %w", err)
		}
		return nil
	})
}

// contextObject returns a context as JSON shows it.
func contextObject(name string, p *place, inUse bool) object {
	return object{
		{"name", name}, {"in_use", inUse}, {"api", p.API}, {"tls_cert", p.TLSCert}, {"tls_key", p.TLSKey}, {"tls_ca", p.TLSCA},
		{"tls_name", p.TLSName}, {"insecure", p.Insecure},
	}
}

func (o *options) listContexts(out io.Writer) error {
	path, err := contextsFile()
	if err != nil {
		return &usageError{err}
	}
	c, err := readContexts(path)
	if err != nil {
		return &usageError{err}
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, name := range slices.Sorted(maps.Keys(c.All)) {
		p, inUse := c.All[name], name == c.InUse
		if o.json {
			if err := o.printJSON(out, contextObject(name, p, inUse)); err != nil {
				return err
			}
			continue
		}
		mark := " "
		if inUse {
			mark = "*"
		}
		printable.Fprintf(w, "%s %s\t%s\n", mark, name, p.API)
	}
	return w.Flush()
}

func (o *options) showContext(out io.Writer, name string) error {
	inUse := false
	var p *place
	var err error
	if name == "" {
		p, err = o.find(os.Getenv)
	} else {
		p, err = contextPlace(name)
	}
	if err != nil {
		return &usageError{err}
	}
	if path, err := contextsFile(); err == nil && name != "" {
		if c, err := readContexts(path); err == nil {
			inUse = c.InUse == name
		}
	}
	obj := contextObject(name, p, inUse)
	if o.json {
		return o.printJSON(out, obj)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, m := range obj[2:] {
		if m.value != "" && m.value != false {
			printable.Fprintf(w, "%s\t%v\n", m.name, m.value)
		}
	}
	return w.Flush()
}

func completeContexts(_ *cobra.Command, words []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	path, err := contextsFile()
	if err != nil || len(words) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	c, err := readContexts(path)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return slices.Sorted(maps.Keys(c.All)), cobra.ShellCompDirectiveNoFileComp
}
