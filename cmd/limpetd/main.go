// Command limpetd joins a KBUS bus on this machine to buses on others, over gRPC.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/kbus-limpet/limpet/internal/buildinfo"
	"github.com/kbus-limpet/limpet/internal/manual"
)

// Exit codes, documented in the help.
const (
	exitOK     = 0
	exitFailed = 1 // something went wrong while running
	exitUsage  = 2 // flags, configuration or environment are wrong
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	// A second signal kills at once.
	context.AfterFunc(ctx, stop)
	err := newCommand().ExecuteContext(ctx)
	var bad *usageError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &bad):
		fmt.Fprintf(os.Stderr, "limpetd: %v\n", err)
		return exitUsage
	default:
		fmt.Fprintf(os.Stderr, "limpetd: %v\n", err)
		return exitFailed
	}
}

// A usageError is what the person who started limpetd can mend.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func newCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "limpetd",
		Short: "Join a KBUS message bus to others over gRPC",
		Long: `limpetd joins the KBUS bus on this machine to buses on others, over gRPC, so that
programs on each talk as if there were one. Without a KBUS device it has a bus
of its own, for programs that use its local API, and with --expose for all.

Every flag can also stand in the file given with --config (YAML, the same names)
and in the environment (LIMPETD_NETWORK_ID for --network-id). A flag wins over the
environment, which wins over the file. SIGHUP, and limpetctl reload, have all of them
read again.

Exit codes: 0 stopped by SIGTERM, SIGINT or the termination message; 1 failed
while running; 2 wrong flags, configuration or environment.`,
		Example: `  limpetd --network-id 1 --listen :7000 --tls-cert a.pem --tls-key a.key --tls-ca ca.pem
  limpetd --network-id 2 --connect hostA:7000 --tls-cert b.pem --tls-key b.key --tls-ca ca.pem
  limpetd cert hostA hostB
  limpetd demo`,
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l := newLoader(cmd.Flags())
			if check, _ := cmd.Flags().GetBool("check"); check {
				return checkConfig(l, cmd.OutOrStdout())
			}
			return runDaemon(cmd.Context(), l, cmd.ErrOrStderr())
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return &usageError{err} })
	cmd.Flags().AddFlagSet(commandLine())
	cmd.Flags().Bool("check", false, "check the configuration, say what would be done, and stop")
	cmd.AddCommand(newDemo(), newConfigure(), newCert())
	buildinfo.AddTo(cmd)
	manual.AddTo(cmd, 8)
	return cmd
}
