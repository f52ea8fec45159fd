// Command limpetctl is a program's way onto the bus of a limpetd, from a shell.
package main

import (
	"cmp"
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

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	root := newCommand()
	ran, err := root.ExecuteContextC(ctx)
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return exitInterrupted
	}
	var said *saidError
	var check *checkError
	switch {
	case err == nil, errors.As(err, &said):
	case errors.As(err, &check):
		printable.Fprintf(os.Stdout, "%s\n", check.line) // monitoring reads it there
	default:
		complain(os.Stderr, err, ran == root)
	}
	return exitCode(err)
}

// exitCode returns what the program ends with.
func exitCode(err error) int {
	var usage *usageError
	var none *client.NoAnswerError
	var check *checkError
	switch {
	case err == nil:
		return exitOK
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
	api     string
	json    bool // a short form of the format
	format  string
	timeout time.Duration

	tls      client.TLS
	insecure bool
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

// isTerminal reports whether a person sees what is written to the program's output.
func isTerminal() bool {
	info, err := os.Stdout.Stat()
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
interrupted. Those of limpetctl check are its own.`,
		PersistentPreRunE: func(*cobra.Command, []string) error { return o.chooseFormat(isTerminal()) },
		SilenceErrors:     true,
		SilenceUsage:      true,
	}
	fromEnv := func(name, otherwise string) string { return cmp.Or(os.Getenv(name), otherwise) }
	f := cmd.PersistentFlags()
	f.StringVar(&o.api, "api", fromEnv("LIMPETD_API", client.DefaultAPIAddress()), "the daemon's local API `ADDRESS` (also LIMPETD_API)")
	f.StringVar(&o.tls.Cert, "tls-cert", fromEnv("LIMPETCTL_TLS_CERT", ""), "for an API on TCP: the PEM `FILE` of our certificate (also LIMPETCTL_TLS_CERT)")
	f.StringVar(&o.tls.Key, "tls-key", fromEnv("LIMPETCTL_TLS_KEY", ""), "its private key, a PEM `FILE` (also LIMPETCTL_TLS_KEY)")
	f.StringVar(&o.tls.CA, "tls-ca", fromEnv("LIMPETCTL_TLS_CA", ""), "a PEM `FILE` of the CA that signs the daemon's certificate (also LIMPETCTL_TLS_CA)")
	f.StringVar(&o.tls.Name, "tls-name", fromEnv("LIMPETCTL_TLS_NAME", ""), "the `NAME` that the daemon's certificate must have, in place of the address's host (also LIMPETCTL_TLS_NAME)")
	f.BoolVar(&o.insecure, "insecure", false, "dial another machine's API without TLS")
	f.StringVar(&o.format, "format", "", "print `FORMAT`: text for people; json, one object a line; raw, the data of messages alone (default text on a terminal, else raw)")
	f.BoolVar(&o.json, "json", false, "short for --format json")
	f.DurationVar(&o.timeout, "timeout", 10*time.Second, "wait no longer than this `DURATION` for an answer; 0 waits for ever")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	cmd.AddCommand(o.newSend(), o.newCall(), o.newListen(), o.newReply(), o.newBindings(), o.newStatus(), o.newLinks(), o.newDrops(), o.newDrain(), o.newReload(), o.newWatch(), o.newRules(), o.newCheck(), o.newLatency(), o.newProfile())
	buildinfo.AddTo(cmd)
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
	bus, err := client.Open(o.api, o.how()...)
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
		return fmt.Errorf("no limpetd answers at %s: is it running, and is this its --api? (%w)", o.api, err)
	}
	return err
}

// how returns how the API is dialled.
func (o *options) how() (opts []client.Option) {
	if o.tls != (client.TLS{}) {
		opts = append(opts, client.WithTLS(o.tls))
	}
	if o.insecure {
		opts = append(opts, client.WithInsecure())
	}
	return opts
}

// limited bounds ctx by --timeout.
func (o *options) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	if o.timeout == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, o.timeout)
}
