// Command kbusd serves KBUS devices from user space, for machines without the
// kernel module.
package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/kbus-limpet/limpet/internal/sockaddr"
	"github.com/kbus-limpet/limpet/kbusdev"
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

// options are what kbusd was told.
type options struct {
	cfg                  kbusfs.Config
	mode, control, by    string
	maxMessages, maxSize uint32
}

func newCommand() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "kbusd",
		Short: "Serve KBUS devices from user space",
		Long: `kbusd serves /dev/kbus0 and up to unmodified programs, without the KBUS kernel
module.

With /dev/cuse (modprobe cuse) the devices are true character devices. Else, and in
other folders than /dev, they are files that FUSE makes: there stat says regular
file, and all else is as with the module.

It wants root. Without it, FUSE needs fusermount3, user_allow_other in
/etc/fuse.conf for programs of other users, and CAP_SYS_PTRACE to read the names
that programs point to in their own memory; what is missing is said at the start.`,
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), cmd.ErrOrStderr()) },
	}
	cmd.PersistentFlags().StringVar(&o.cfg.Dir, "dir", "/dev", "the `FOLDER` for the devices")
	cmd.PersistentFlags().StringVar(&o.control, "control", "", "the `SOCKET` for questions; /run/kbusd.sock for /dev, else kbusd.sock in the folder")
	f := cmd.Flags()
	f.StringVar(&o.by, "by", "auto", "`WHAT` makes the devices: cuse, fuse or auto")
	f.IntVar(&o.cfg.Devices, "devices", 1, "how many devices there are at first, `N`")
	f.StringVar(&o.mode, "mode", "0666", "the devices' `MODE`, in octal")
	f.Uint32Var(&o.maxMessages, "max-messages", 100, "the bound of a new queue, in messages, `N`")
	f.Uint32Var(&o.maxSize, "max-message-size", 409600, "the bound on an entire message, in `BYTES`")
	for _, q := range []struct{ word, short string }{
		{kbusdev.ControlBindings, "Print what /proc/kbus/bindings shows with the module"},
		{kbusdev.ControlStats, "Print what every Ksock has waiting and owes"},
	} {
		cmd.AddCommand(&cobra.Command{Use: q.word, Short: q.short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
			return o.ask(cmd.Context(), q.word, cmd.OutOrStdout())
		}})
	}
	return cmd
}

// controlPath is where a running kbusd is asked.
func (o *options) controlPath() string {
	if o.control != "" {
		return o.control
	}
	return kbusdev.ControlSocket(o.cfg.Dir)
}

func (o *options) run(ctx context.Context, errOut io.Writer) error {
	bits, err := strconv.ParseUint(o.mode, 8, 9)
	if err != nil {
		return fmt.Errorf("--mode %q: it is not a file mode in octal, like 0666", o.mode)
	}
	if o.cfg.Devices < 1 || o.cfg.Devices > 256 {
		return fmt.Errorf("--devices: %d is not from 1 to 256", o.cfg.Devices)
	}
	o.cfg.Mode = fs.FileMode(bits)
	if o.by != "auto" {
		if o.by != string(kbusfs.CUSE) && o.by != string(kbusfs.FUSE) {
			return fmt.Errorf("--by %q: it is cuse, fuse or auto", o.by)
		}
		o.cfg.By = kbusfs.By(o.by)
	}
	o.cfg.Log = slog.New(slog.NewTextHandler(errOut, nil))
	o.cfg.Set = membus.NewSet(membus.WithMaxMessages(o.maxMessages), membus.WithMaxMessageSize(o.maxSize))
	control, err := sockaddr.Listen(ctx, sockaddr.Address{Network: "unix", Address: o.controlPath()}, sockaddr.Config{Mode: 0o666, Log: o.cfg.Log})
	if err != nil {
		return err
	}
	srv := kbusfs.New(o.cfg)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return srv.ServeControl(ctx, control) })
	g.Go(func() error {
		return srv.Run(ctx, func() {
			o.cfg.Log.Info("kbusd is serving", "dir", o.cfg.Dir, "devices", o.cfg.Devices)
			_, _ = daemon.SdNotify(false, daemon.SdNotifyReady)
		})
	})
	return g.Wait()
}

// ask puts a question to the kbusd that runs.
func (o *options) ask(ctx context.Context, word string, out io.Writer) error {
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", o.controlPath())
	if err != nil {
		return fmt.Errorf("no kbusd answers at %s; is it running, with this --dir? (%w)", o.controlPath(), err)
	}
	defer conn.Close() //nolint:errcheck // nothing to be done about it
	if _, err := fmt.Fprintln(conn, word); err != nil {
		return err
	}
	_, err = io.Copy(out, conn)
	return err
}
