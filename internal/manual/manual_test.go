package manual_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/spf13/cobra"

	"github.com/kbus-limpet/limpet/internal/manual"
)

// A page has everything that the help has, and nothing that roff takes for its own.
func TestPages(t *testing.T) {
	root := &cobra.Command{Use: "tool", Short: `Do "things"`}
	root.PersistentFlags().Bool("json", false, "print JSON")
	ask := &cobra.Command{
		Use: "ask NAME", Short: "Ask", Long: ".first isn't a request\nof roff\n\n  $ tool ask\n  \\o/\n\nand on", Example: "  tool ask '$.A'",
		RunE: func(*cobra.Command, []string) error { return nil },
	}
	ask.Flags().StringP("file", "f", "a-b", "the data from a `FILE`")
	ask.Flags().Int("secret", 0, "")
	if err := ask.Flags().MarkHidden("secret"); err != nil {
		t.Fatal(err)
	}
	root.AddCommand(ask)
	manual.AddTo(root, 1)
	run := func(args ...string) error {
		root.SetArgs(args)
		return root.Execute()
	}
	dir := filepath.Join(t.TempDir(), "pages")
	t.Setenv("SOURCE_DATE_EPOCH", "")
	root.SilenceErrors, root.SilenceUsage = true, true
	if err := run("man", dir); err == nil {
		t.Error("pages without a date are written")
	}
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	if err := run("man", dir); err != nil {
		t.Fatal(err)
	}
	all, err := os.ReadDir(dir)
	if err != nil || len(all) != 2 { // none for man itself, help and completion
		t.Errorf("the pages are %v, %v", all, err)
	}
	for name, want := range map[string]string{
		"tool-ask.1": `.TH "TOOL\-ASK" 1 2023-11-14 limpet "Do \(dqthings\(dq"
.SH NAME
tool\-ask \- Ask
.SH SYNOPSIS
.B tool ask
NAME [flags]
.SH DESCRIPTION
\&.first isn\(aqt a request
of roff
.PP
.nf
  $ tool ask
  \eo/
.fi
.PP
and on
.SH OPTIONS
.TP
\fB\-f\fR, \fB\-\-file\fR \fIFILE\fR
the data from a FILE
(default a\-b)
.TP
\fB\-h\fR, \fB\-\-help\fR
help for ask
.SH OPTIONS OF ALL COMMANDS
.TP
\fB\-\-json\fR
print JSON
.SH EXAMPLES
.nf
  tool ask \(aq$.A\(aq
.fi
.SH SEE ALSO
.BR tool (1)
`,
		"tool.1": `.TH "TOOL" 1 2023-11-14 limpet "Do \(dqthings\(dq"
.SH NAME
tool \- Do "things"
.SH SYNOPSIS
.B tool
COMMAND
.SH COMMANDS
.TP
.BR tool\-ask (1)
Ask
.SH OPTIONS
.TP
\fB\-h\fR, \fB\-\-help\fR
help for tool
.TP
\fB\-\-json\fR
print JSON
`,
	} {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || string(got) != want {
			t.Errorf("%s: %v\n%s", name, err, got)
		}
	}
}
