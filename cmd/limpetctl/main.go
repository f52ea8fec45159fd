// Command limpetctl is a program's way onto the bus of a limpetd, from a shell.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"

	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/internal/buildinfo"
	"github.com/kbus-limpet/limpet/internal/manual"
	"github.com/kbus-limpet/limpet/internal/printable"
)

// Exit codes, documented in the help.
const (
	exitOK       = 0
	exitFailed   = 1
	exitUsage    = 2
	exitNoAnswer = 3 // the reply says that no replier will answer

	exitInterrupted = 130 // by SIGINT or SIGTERM
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	context.AfterFunc(ctx, stop) // a second signal kills at once
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run runs a command, and returns what the program ends with. The end of ctx is an
// interruption.
func run(ctx context.Context, args []string, out, errOut io.Writer) int {
	root := newCommand()
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errOut)
	ran, err := root.ExecuteContextC(ctx)
	if err != nil && ctx.Err() != nil {
		return exitInterrupted // whatever was made of it
	}
	var said *saidError
	var check *checkError
	var coded codedError
	switch {
	case err == nil, errors.As(err, &said), errors.As(err, &coded):
	case errors.As(err, &check):
		printable.Fprintf(out, "%s\n", check.line) // monitoring reads it there
	case ran == root: // there is no such command
		complain(errOut, err, true)
		return exitUsage
	default:
		complain(errOut, err, false)
	}
	return exitCode(err)
}

// exitCode returns what the program ends with.
func exitCode(err error) int {
	var usage *usageError
	var none *client.NoAnswerError
	var check *checkError
	var coded codedError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &coded):
		return int(coded)
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &check):
		return int(check.health)
	case errors.As(err, &none) && none.Reply != nil:
		return exitNoAnswer
	default:
		return exitFailed
	}
}

// complain says what went wrong. When no command was found, cobra says in several lines
// which could have been meant, and nobody else has had a say.
func complain(w io.Writer, err error, noCommand bool) {
	if noCommand {
		fmt.Fprintf(w, "limpetctl: %v\n", err)
		return
	}
	printable.Fprintf(w, "limpetctl: %v\n", err)
}

type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

// A saidError is one that has been printed already.
type saidError struct{ err error }

func (e *saidError) Error() string { return e.err.Error() }
func (e *saidError) Unwrap() error { return e.err }

// options are the flags that every command has.
type options struct {
	said    place  // what is said of the daemon
	context string // the name of its context, if that is said
	json    bool   // a short form of the format, as is raw
	raw     bool
	format  string
	timeout time.Duration
}

// The formats of what is printed.
const (
	formatText = "text" // for people
	formatJSON = "json" // one object a line
	formatRaw  = "raw"  // of messages the data alone; else as text
)

// chooseFormat settles the format when the flags are known.
func (o *options) chooseFormat(terminal bool) error {
	switch {
	case o.json:
		o.format = formatJSON
	case o.raw:
		o.format = formatRaw
	case o.format == "" && terminal:
		o.format = formatText
	case o.format == "":
		o.format = formatRaw
	case o.format != formatText && o.format != formatJSON && o.format != formatRaw:
		return &usageError{fmt.Errorf("--format %q is not text, json or raw", o.format)}
	}
	o.json = o.format == formatJSON
	return nil
}

// isTerminal reports whether a person sees what is written to out.
func isTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&fs.ModeCharDevice != 0
}

func newCommand() *cobra.Command {
	o := &options{}
	cmd := &cobra.Command{
		Use:   "limpetctl",
		Short: "Use the bus of a limpetd from a shell",
		Long: `limpetctl sends announcements and requests, listens, and replies, on the bus of a
limpetd on this machine, through its local API.

Exit codes: 0 done; 1 the daemon or its bus refused, or could not be reached;
2 wrong flags or arguments; 3 the reply says that no replier will answer; 130
interrupted. Those of limpetctl check and doctor are their own.`,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := cmd.ValidateFlagGroups(); err != nil { // cobra does so too, later, as no error of usage
				return &usageError{err}
			}
			return o.chooseFormat(isTerminal(cmd.OutOrStdout()))
		},
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	f := cmd.PersistentFlags()
	f.StringVar(&o.said.API, "api", "", "the daemon's local API `ADDRESS` (also "+envAPI+"; default the context in use, else "+client.DefaultAPIAddress()+")")
	f.StringVar(&o.context, "context", "", "the `NAME` of the context, see limpetctl context (also "+envContext+")")
	cmd.MarkFlagsMutuallyExclusive("api", "context")
	f.StringVar(&o.said.TLSCert, "tls-cert", "", "for an API on TCP: the PEM `FILE` of our certificate (also "+envTLSCert+")")
	f.StringVar(&o.said.TLSKey, "tls-key", "", "its private key, a PEM `FILE` (also "+envTLSKey+")")
	f.StringVar(&o.said.TLSCA, "tls-ca", "", "a PEM `FILE` of the CA that signs the daemon's certificate (also "+envTLSCA+")")
	f.StringVar(&o.said.TLSName, "tls-name", "", "the `NAME` that the daemon's certificate must have, in place of the address's host (also "+envTLSName+")")
	f.BoolVar(&o.said.Insecure, "insecure", false, "dial another machine's API without TLS")
	f.StringVar(&o.format, "format", "", "print `FORMAT`: text for people; json, one object a line; raw, the data of messages alone (default text on a terminal, else raw)")
	f.BoolVar(&o.json, "json", false, "short for --format json")
	f.BoolVar(&o.raw, "raw", false, "short for --format raw")
	cmd.MarkFlagsMutuallyExclusive("format", "json", "raw")
	f.DurationVar(&o.timeout, "timeout", 10*time.Second, "wait no longer than this `DURATION` for an answer; 0 waits for ever")
	for flag, complete := range map[string]cobra.CompletionFunc{
		"format": cobra.FixedCompletions([]cobra.Completion{formatText, formatJSON, formatRaw}, cobra.ShellCompDirectiveNoFileComp),
		"context": func(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return completeContexts(cmd, nil, "")
		},
	} {
		if err := cmd.RegisterFlagCompletionFunc(flag, complete); err != nil {
			panic(err) // there is no such flag
		}
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	cmd.AddCommand(o.newSend(), o.newCall(), o.newListen(), o.newReply(), o.newBindings(), o.newStatus(), o.newLinks(), o.newDrops(), o.newTop(), o.newDrain(), o.newReload(), o.newWatch(), o.newTap(), o.newReplay(), o.newRules(), o.newCheck(), o.newLatency(), o.newContext(), o.newDoctor(), o.newBench(), o.newBugreport(), o.newProfile(), o.newVerify(), o.newTrace(), o.newEvents(), o.newWho())
	buildinfo.AddTo(cmd)
	o.addVersions(cmd)
	manual.AddTo(cmd, 1)
	return cmd
}

// args makes a wrong number of arguments a usage error.
func args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, words []string) error {
		if err := check(cmd, words); err != nil {
			return &usageError{err}
		}
		return nil
	}
}

// withBus runs f with the daemon's bus.
func (o *options) withBus(f func(*client.Bus) error) error {
	bus, at, err := o.open()
	switch {
	case errors.Is(err, fs.ErrPermission): // somebody else's folder
		return err
	case err != nil:
		return &usageError{err}
	}
	defer bus.Close() //nolint:errcheck // nothing to be done about it
	err = f(bus)
	var daemon *client.StatusError
	if errors.As(err, &daemon) && daemon.Code == codes.Unavailable {
		return fmt.Errorf("no limpetd answers at %s: is it running, and is this its --api? (%w)", at.API, err)
	}
	return err
}

// limited bounds ctx by --timeout.
func (o *options) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	if o.timeout == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, o.timeout)
}
