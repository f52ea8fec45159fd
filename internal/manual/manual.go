// Package manual writes man pages of a program's commands, from what its help says.
package manual

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// AddTo gives a program's command the hidden command man, which writes a man page of the
// section for it, and for each command below it, into a folder. The date on the pages is
// that of SOURCE_DATE_EPOCH, so that the pages of one version have the same bytes.
func AddTo(root *cobra.Command, section int) {
	root.AddCommand(&cobra.Command{
		Use: "man FOLDER", Short: "Write the man pages into a folder", Hidden: true, Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, words []string) error {
			seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
			if err != nil {
				return errors.New("SOURCE_DATE_EPOCH: give the date of the pages, in seconds since 1970")
			}
			if err := os.MkdirAll(words[0], 0o755); err != nil {
				return err
			}
			p := pages{section: section, date: time.Unix(seconds, 0).UTC().Format(time.DateOnly), title: root.Short}
			return p.write(root, words[0])
		},
	})
}

// pages are what all pages of a program have in common.
type pages struct {
	section     int
	date, title string
}

// write writes the page of a command, and those of the commands below it.
func (p *pages) write(cmd *cobra.Command, folder string) error {
	file := filepath.Join(folder, fmt.Sprintf("%s.%d", nameOf(cmd), p.section))
	if err := os.WriteFile(file, p.page(cmd), 0o644); err != nil {
		return err
	}
	for _, c := range below(cmd) {
		if err := p.write(c, folder); err != nil {
			return err
		}
	}
	return nil
}

// nameOf returns the name of a command's page, such as limpetctl-watch-links.
func nameOf(cmd *cobra.Command) string { return strings.ReplaceAll(cmd.CommandPath(), " ", "-") }

// below returns the commands below one that have pages of their own: not those of cobra.
func below(cmd *cobra.Command) (all []*cobra.Command) {
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() && c.Name() != "completion" {
			all = append(all, c)
		}
	}
	return all
}

// page returns the page of a command.
func (p *pages) page(cmd *cobra.Command) []byte {
	cmd.InitDefaultHelpFlag()
	var b bytes.Buffer
	fmt.Fprintf(&b, ".TH %s %d %s limpet %s\n", argument(strings.ToUpper(nameOf(cmd))), p.section, p.date, argument(p.title))
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n.SH SYNOPSIS\n", escape(nameOf(cmd)), escape(cmd.Short))
	usage := cmd.UseLine()
	if !cmd.Runnable() {
		usage = cmd.CommandPath() + " COMMAND"
	}
	fmt.Fprintf(&b, ".B %s\n%s\n", escape(cmd.CommandPath()), line(strings.TrimSpace(strings.TrimPrefix(usage, cmd.CommandPath()))))
	if cmd.Long != "" {
		b.WriteString(".SH DESCRIPTION\n")
		paragraphs(&b, cmd.Long)
	}
	if all := below(cmd); len(all) > 0 {
		b.WriteString(".SH COMMANDS\n")
		for _, c := range all {
			fmt.Fprintf(&b, ".TP\n.BR %s (%d)\n%s\n", escape(nameOf(c)), p.section, line(c.Short))
		}
	}
	options(&b, "OPTIONS", cmd.NonInheritedFlags())
	options(&b, "OPTIONS OF ALL COMMANDS", cmd.InheritedFlags())
	if cmd.Example != "" {
		b.WriteString(".SH EXAMPLES\n")
		verbatim(&b, strings.Split(cmd.Example, "\n"))
	}
	if cmd.HasParent() {
		fmt.Fprintf(&b, ".SH SEE ALSO\n.BR %s (%d)\n", escape(nameOf(cmd.Parent())), p.section)
	}
	return b.Bytes()
}

func options(b *bytes.Buffer, title string, flags *pflag.FlagSet) {
	if !flags.HasAvailableFlags() {
		return
	}
	fmt.Fprintf(b, ".SH %s\n", title)
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		b.WriteString(".TP\n")
		if f.Shorthand != "" {
			fmt.Fprintf(b, "\\fB\\-%s\\fR, ", escape(f.Shorthand))
		}
		fmt.Fprintf(b, "\\fB\\-\\-%s\\fR", escape(f.Name))
		if value != "" {
			fmt.Fprintf(b, " \\fI%s\\fR", escape(value))
		}
		fmt.Fprintf(b, "\n%s\n", line(usage))
		switch f.DefValue {
		case "", "0", "0s", "false", "[]":
		default:
			fmt.Fprintf(b, "(default %s)\n", escape(f.DefValue))
		}
	})
}

// paragraphs writes text in which empty lines part paragraphs, and lines that are indented
// stand for themselves.
func paragraphs(b *bytes.Buffer, text string) {
	for i, paragraph := range strings.Split(text, "\n\n") {
		if i > 0 {
			b.WriteString(".PP\n")
		}
		var asIs []string
		for _, s := range strings.Split(paragraph, "\n") {
			if strings.HasPrefix(s, "  ") {
				asIs = append(asIs, s)
				continue
			}
			verbatim(b, asIs)
			asIs = nil
			b.WriteString(line(s) + "\n")
		}
		verbatim(b, asIs)
	}
}

// verbatim writes lines as they are.
func verbatim(b *bytes.Buffer, lines []string) {
	if len(lines) == 0 {
		return
	}
	b.WriteString(".nf\n")
	for _, s := range lines {
		b.WriteString(line(s) + "\n")
	}
	b.WriteString(".fi\n")
}

// escape makes text mean itself to roff, within a line.
func escape(s string) string {
	return strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`).Replace(s)
}

// line makes text a line of its own, which is no request of roff's.
func line(s string) string {
	if strings.HasPrefix(s, ".") {
		return `\&` + escape(s)
	}
	return escape(s)
}

// argument makes text one argument of a request.
func argument(s string) string { return `"` + strings.ReplaceAll(escape(s), `"`, `\(dq`) + `"` }
