// Command kbusd serves KBUS devices from user space, for machines without the
// kernel module.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/kbus-limpet/limpet/internal/buildinfo"
	"github.com/kbus-limpet/limpet/internal/manual"
	"github.com/kbus-limpet/limpet/internal/notify"
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
	f.StringVar(&o.mode, "mode", "0666", "the devices' `MODE`, in octal; with 0 only root opens them")
	f.Uint32Var(&o.maxMessages, "max-messages", kbusdev.DefaultMaxMessages, "the bound of a new queue, in messages, `N`")
	f.Uint32Var(&o.cfg.MaxQueue, "max-queue", kbusfs.DefaultMaxQueue, "the most messages to which a program can raise its queue's bound with MAXMSGS, `N`")
	f.Uint32Var(&o.maxSize, "max-message-size", kbusdev.AbsoluteMaxMessageSize, "the bound on an entire message, in `BYTES`")
	for _, q := range []struct{ word, short string }{
		{kbusdev.ControlBindings, "Print what /proc/kbus/bindings shows with the module"},
		{kbusdev.ControlStats, "Print what every Ksock has waiting and owes"},
	} {
		cmd.AddCommand(&cobra.Command{Use: q.word, Short: q.short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
			return o.ask(cmd.Context(), q.word, cmd.OutOrStdout())
		}})
	}
	buildinfo.AddTo(cmd)
	manual.AddTo(cmd, 8)
	return cmd
}

// controlPath is where a running kbusd is asked.
func (o *options) controlPath() string {
	if o.control != "" {
		return o.control
	}
	return kbusdev.ControlSocket(o.cfg.Dir)
}

// configure checks the flags and completes the configuration.
func (o *options) configure(errOut io.Writer) error {
	bits, err := strconv.ParseUint(o.mode, 8, 9)
	if err != nil {
		return fmt.Errorf("--mode %q: give a file mode in octal, from 0000 to 0777", o.mode)
	}
	o.cfg.Mode = fs.FileMode(bits)
	if o.by != "auto" {
		if o.by != string(kbusfs.CUSE) && o.by != string(kbusfs.FUSE) {
			return fmt.Errorf("--by %q: it is cuse, fuse or auto", o.by)
		}
		o.cfg.By = kbusfs.By(o.by)
	}
	for _, f := range []struct {
		flag             string
		value, low, high int64
	}{
		{"devices", int64(o.cfg.Devices), 1, kbusfs.MaxDevices},
		{"max-queue", int64(o.cfg.MaxQueue), 1, math.MaxInt32},
		{"max-messages", int64(o.maxMessages), 1, int64(o.cfg.MaxQueue)},
		{"max-message-size", int64(o.maxSize), kbusdev.MinMaxMessageSize, kbusdev.AbsoluteMaxMessageSize},
	} {
		if f.value < f.low || f.value > f.high {
			return fmt.Errorf("--%s: %d is not from %d to %d", f.flag, f.value, f.low, f.high)
		}
	}
	o.cfg.Log = slog.New(slog.NewTextHandler(errOut, nil))
	o.cfg.Set = membus.NewSet(membus.WithMaxMessages(o.maxMessages), membus.WithMaxMessageSize(o.maxSize))
	return o.cfg.Validate() // before there is a control socket, which would make the folder
}

// listen opens the control socket.
func (o *options) listen(ctx context.Context) (net.Listener, error) {
	addr := sockaddr.Address{Network: "unix", Address: o.controlPath()}
	l, err := sockaddr.Listen(ctx, addr, sockaddr.Config{Mode: 0o666, Log: o.cfg.Log})
	if errors.Is(err, sockaddr.ErrInUse) && kbusdev.AnswersControl(ctx, addr.Address) {
		return nil, fmt.Errorf("another kbusd, or limpetd --expose, is running: it answers at %s; stop it, or choose another folder with --dir (%w)", addr, err)
	}
	return l, err
}

func (o *options) run(ctx context.Context, errOut io.Writer) error {
	if err := o.configure(errOut); err != nil {
		return err
	}
	control, err := o.listen(ctx)
	if err != nil {
		return err
	}
	srv := kbusfs.New(o.cfg)
	g, ctx := errgroup.WithContext(ctx)
	defer context.AfterFunc(ctx, notify.Stopping)()
	g.Go(func() error { return srv.ServeControl(ctx, control) })
	g.Go(func() error {
		return srv.Run(ctx, func() {
			o.cfg.Log.Info("kbusd is serving", "dir", o.cfg.Dir, "devices", o.cfg.Devices)
			notify.Ready()
		})
	})
	return g.Wait()
}

// ask puts a question to the kbusd that runs.
func (o *options) ask(ctx context.Context, word string, out io.Writer) error {
	answer, err := kbusdev.AskControl(ctx, o.controlPath(), word)
	if err != nil {
		return fmt.Errorf("no kbusd answers at %s; is it running, with this --dir? (%w)", o.controlPath(), err)
	}
	defer answer.Close() //nolint:errcheck // only read
	_, err = io.Copy(out, answer)
	return err
}
