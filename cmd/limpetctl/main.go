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
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	root := newCommand()
	ran, err := root.ExecuteContextC(ctx)
	if err == nil || errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return exitOK
	}
	complain(os.Stderr, err, ran == root)
	var usage *usageError
	var none *client.NoAnswerError
	switch {
	case errors.As(err, &usage):
		return exitUsage
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

// options are the flags that every command has.
type options struct {
	api     string
	json    bool
	timeout time.Duration

	tls      client.TLS
	insecure bool
}

func newCommand() *cobra.Command {
	o := &options{}
	cmd := &cobra.Command{
		Use:   "limpetctl",
		Short: "Use the bus of a limpetd from a shell",
		Long: `limpetctl sends announcements and requests, listens, and replies, on the bus of a
limpetd on this machine, through its local API.

Exit codes: 0 done; 1 the daemon or its bus refused, or could not be reached;
2 wrong flags or arguments; 3 the reply says that no replier will answer.`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	fromEnv := func(name, otherwise string) string { return cmp.Or(os.Getenv(name), otherwise) }
	f := cmd.PersistentFlags()
	f.StringVar(&o.api, "api", fromEnv("LIMPETD_API", client.DefaultAPIAddress()), "the daemon's local API `ADDRESS` (also LIMPETD_API)")
	f.StringVar(&o.tls.Cert, "tls-cert", fromEnv("LIMPETCTL_TLS_CERT", ""), "for an API on TCP: the PEM `FILE` of our certificate (also LIMPETCTL_TLS_CERT)")
	f.StringVar(&o.tls.Key, "tls-key", fromEnv("LIMPETCTL_TLS_KEY", ""), "its private key, a PEM `FILE` (also LIMPETCTL_TLS_KEY)")
	f.StringVar(&o.tls.CA, "tls-ca", fromEnv("LIMPETCTL_TLS_CA", ""), "a PEM `FILE` of the CA that signs the daemon's certificate (also LIMPETCTL_TLS_CA)")
	f.StringVar(&o.tls.Name, "tls-name", fromEnv("LIMPETCTL_TLS_NAME", ""), "the `NAME` that the daemon's certificate must have, in place of the address's host (also LIMPETCTL_TLS_NAME)")
	f.BoolVar(&o.insecure, "insecure", false, "dial another machine's API without TLS")
	f.BoolVar(&o.json, "json", false, "print JSON, one object a line")
	f.DurationVar(&o.timeout, "timeout", 10*time.Second, "wait no longer than this `DURATION` for an answer; 0 waits for ever")
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	cmd.AddCommand(o.newSend(), o.newCall(), o.newListen(), o.newReply(), o.newBindings(), o.newStatus(), o.newLinks(), o.newDrops(), o.newDrain(), o.newReload(), o.newWatch(), o.newRules())
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
