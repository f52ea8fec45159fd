// Command kbusd serves KBUS devices from user space, for machines without the
// kernel module.
package main

import (
	"context"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/kbus-limpet/limpet/kbusdev/kbusfs"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	err := newCommand().ExecuteContext(ctx)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "kbusd: %v\n", err)
		os.Exit(1)
	}
}

func newCommand() *cobra.Command {
	var cfg kbusfs.Config
	var mode string
	var maxMessages, maxSize uint32
	cmd := &cobra.Command{
		Use:   "kbusd",
		Short: "Serve KBUS devices from user space",
		Long: `kbusd serves /dev/kbus0 and up to unmodified programs, without the KBUS kernel
module, over FUSE. It needs root: to mount, and to read the names that programs
point to in their own memory. To programs the device is a regular file, not a
character device; all else is as with the module.`,
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			bits, err := strconv.ParseUint(mode, 8, 9)
			if err != nil {
				return fmt.Errorf("--mode %q: it is not a file mode in octal, like 0666", mode)
			}
			if cfg.Devices < 1 || cfg.Devices > 256 {
				return fmt.Errorf("--devices: %d is not from 1 to 256", cfg.Devices)
			}
			cfg.Mode = fs.FileMode(bits)
			cfg.Log = slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
			cfg.Set = membus.NewSet(membus.WithMaxMessages(maxMessages), membus.WithMaxMessageSize(maxSize))
			return kbusfs.New(cfg).Run(cmd.Context(), func() { cfg.Log.Info("kbusd is serving", "by", "FUSE", "dir", cfg.Dir, "devices", cfg.Devices) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&cfg.Dir, "dir", "/dev", "the `FOLDER` for the devices")
	f.IntVar(&cfg.Devices, "devices", 1, "how many devices there are at first, `N`")
	f.StringVar(&mode, "mode", "0666", "the devices' `MODE`, in octal")
	f.Uint32Var(&maxMessages, "max-messages", 100, "the bound of a new queue, in messages, `N`")
	f.Uint32Var(&maxSize, "max-message-size", 409600, "the bound on an entire message, in `BYTES`")
	return cmd
}
