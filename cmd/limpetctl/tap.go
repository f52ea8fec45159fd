package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kbus-limpet/limpet/client"
	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/buildinfo"
	"github.com/kbus-limpet/limpet/internal/capture"
	"github.com/kbus-limpet/limpet/internal/printable"
	"github.com/kbus-limpet/limpet/kbusdev"
)

// wholeData is what --data without a number keeps: more than any message has.
const wholeData = kbusdev.AbsoluteMaxMessageSize

// A tapping is what limpetctl tap is told.
type tapping struct {
	links, kinds, reasons []string
	direction             string
	data, rate            uint32
	count                 int
	lasts                 time.Duration
	write, read           string
}

func (o *options) newTap() *cobra.Command {
	var t tapping
	cmd := &cobra.Command{
		Use:   "tap [NAME...]",
		Short: "Show the messages that pass the links, as they are on both sides",
		Long: `tap shows each message that passes a link of the daemon, or ends there, of these names
or wildcards: as it was read on one side, and what is different of it as it was given to
the other. ">" is to the peer, "<" from it. No message waits for tap: what it could not
show is counted, and said.

With --write the messages go to a pcapng file, which Wireshark opens too, and limpetctl
replay sends anew; with --read they come from one.`,
		Example: "  limpetctl tap '$.Weather.*' --data\n  limpetctl tap --reason lost\n  limpetctl tap --data --write morning.pcapng --for 1h\n  limpetctl tap --read morning.pcapng '$.Weather.Rain'",
		Args:    args(cobra.ArbitraryArgs), ValidArgsFunction: o.completeNames(kbusdev.Listener),
		RunE: func(cmd *cobra.Command, names []string) error {
			q, err := t.request(names)
			if err != nil {
				return &usageError{err}
			}
			ctx := cmd.Context()
			if t.lasts > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, t.lasts)
				defer cancel()
			}
			err = o.tap(ctx, cmd, &t, q)
			if end, lasts := ctx.Deadline(); lasts && !time.Now().Before(end) {
				return nil
			}
			return err
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&t.links, "link", nil, "only the link of this `NAME` (repeatable)")
	f.StringVar(&t.direction, "direction", "", "only one `WAY`: to-peer or from-peer")
	f.StringSliceVar(&t.kinds, "kind", nil, "only `KINDS`: announcement, request, reply, bind-event")
	f.StringSliceVar(&t.reasons, "reason", nil, "only what becomes of them by `REASON`: forwarded, delivered, dropped, lost, or a reason as in limpetctl status (repeatable)")
	f.Uint32Var(&t.data, "data", 0, "show up to `BYTES` of the data too, without a number all of it; the rules may withhold it (action tap)")
	f.Lookup("data").NoOptDefVal = strconv.Itoa(wholeData)
	f.Uint32Var(&t.rate, "rate", 0, "show up to `N` messages a second, and at once; 0 is 5000")
	f.IntVar(&t.count, "count", 0, "stop after `N` messages; 0 goes on")
	f.DurationVar(&t.lasts, "for", 0, "stop after this `DURATION`; 0 goes on")
	f.StringVar(&t.write, "write", "", "write a pcapng `FILE`; - is standard output")
	f.StringVar(&t.read, "read", "", "read a pcapng `FILE` in place of a daemon")
	cmd.MarkFlagsMutuallyExclusive("read", "rate")
	cmd.MarkFlagsMutuallyExclusive("read", "data")
	for flag, words := range map[string][]cobra.Completion{
		"direction": {"to-peer", "from-peer"}, "kind": {"announcement", "request", "reply", "bind-event"}, "reason": {"forwarded", "delivered", "dropped", "lost"},
	} {
		if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)); err != nil {
			panic(err) // there is no such flag
		}
	}
	return cmd
}

// request returns what the daemon is asked for, and what is left out of a file that is read.
func (t *tapping) request(names []string) (*pb.TapRequest, error) {
	q := &pb.TapRequest{Names: names, Links: t.links, Reasons: t.reasons, MaxRate: t.rate, MaxData: t.data}
	for _, name := range names {
		if err := kbusdev.CheckBindName(name); err != nil {
			return nil, fmt.Errorf("%q: %w; it is \"$\" and words joined by dots, the last of which may be * or %%", name, err)
		}
	}
	if t.direction != "" {
		v, ok := pb.TapDirection_value["TAP_DIRECTION_"+enumWord(t.direction)]
		if !ok || v == 0 {
			return nil, fmt.Errorf("--direction %q is not to-peer or from-peer", t.direction)
		}
		q.Direction = pb.TapDirection(v)
	}
	for _, k := range t.kinds {
		v, ok := pb.TapKind_value["TAP_KIND_"+enumWord(k)]
		if !ok || v == 0 {
			return nil, fmt.Errorf("--kind %q is not announcement, request, reply or bind-event", k)
		}
		q.Kinds = append(q.Kinds, pb.TapKind(v))
	}
	return q, nil
}

// enumWord returns a word as it stands in the name of an enum's value.
func enumWord(word string) string { return strings.ToUpper(strings.ReplaceAll(word, "-", "_")) }

// A tapSource has messages that have passed; *client.Tap is one. At the end it says io.EOF.
type tapSource interface {
	Recv() (*pb.TapResponse, error)
}

// tap shows or writes what a daemon or a file shows.
func (o *options) tap(ctx context.Context, cmd *cobra.Command, t *tapping, q *pb.TapRequest) (err error) {
	sink := tapSink(&tapPrinter{o: o, out: cmd.OutOrStdout()})
	if t.write != "" {
		file, err := writeTap(t.write, cmd.OutOrStdout())
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, file.close()) }()
		sink = file
	}
	pass := &tapPass{count: t.count, sink: sink}
	defer func() { pass.sum(cmd.ErrOrStderr(), t.write) }()
	if t.read != "" {
		from, err := readTap(ctx, t.read, q)
		if err != nil {
			return err
		}
		defer from.close()
		return pass.all(from)
	}
	return o.withBus(func(bus *client.Bus) error {
		from, err := bus.Tap(ctx, q)
		if err != nil {
			return err
		}
		defer from.Close()
		return pass.all(from)
	})
}

// A tapSink takes what has been shown.
type tapSink interface{ take(r *pb.TapResponse) error }

// A tapPass passes messages on until there were enough.
type tapPass struct {
	count int // 0 is without end
	sink  tapSink
	shown int
	lost  *pb.TapLost
}

func (p *tapPass) all(from tapSource) error {
	for p.count == 0 || p.shown < p.count {
		r, err := from.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if p.count > 0 {
			r.Records = r.GetRecords()[:min(len(r.GetRecords()), p.count-p.shown)]
		}
		if err := p.sink.take(r); err != nil {
			return err
		}
		p.shown += len(r.GetRecords())
		if r.GetLost() != nil {
			p.lost = r.GetLost()
		}
	}
	return nil
}

// sum says on standard error how much was written, and what was not shown.
func (p *tapPass) sum(w io.Writer, file string) {
	if file != "" {
		printable.Fprintf(w, "limpetctl: %d messages are in %s\n", p.shown, file)
	}
	if p.lost != nil {
		printable.Fprintf(w, "limpetctl: not shown: %s\n", lostWords(p.lost))
	}
}

func lostWords(l *pb.TapLost) string {
	return fmt.Sprintf("%d beyond the rate (--rate), %d that came too fast to be taken", l.GetOverRate(), l.GetNoRoom())
}

// A tapFile is a file that is written.
type tapFile struct {
	to   io.WriteCloser
	with *capture.Writer
}

// writeTap begins a file, which only its owner can read; "-" is out.
func writeTap(path string, out io.Writer) (*tapFile, error) {
	f := &tapFile{to: keptOpen{out}}
	if path != "-" {
		file, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, err
		}
		f.to = file
	}
	var err error
	if f.with, err = capture.NewWriter(f.to, "limpetctl "+buildinfo.Read().Version); err != nil {
		return nil, errors.Join(err, f.to.Close())
	}
	return f, nil
}

func (f *tapFile) take(r *pb.TapResponse) error { return f.with.Write(r) }
func (f *tapFile) close() error                 { return f.to.Close() }

// keptOpen is not ours to close.
type keptOpen struct{ io.Writer }

func (keptOpen) Close() error { return nil }

// A tapReader reads a file.
type tapReader struct {
	ctx  context.Context //nolint:containedctx // Recv has none
	path string
	file io.ReadCloser
	from *capture.Reader
	only *pb.TapRequest
}

// readTap opens a file; only says what of it is wanted. "-" is standard input.
func readTap(ctx context.Context, path string, only *pb.TapRequest) (*tapReader, error) {
	file := io.ReadCloser(os.Stdin)
	if path != "-" {
		var err error
		if file, err = os.Open(path); err != nil {
			return nil, err
		}
	}
	from, err := capture.NewReader(file)
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &tapReader{ctx: ctx, path: path, file: file, from: from, only: only}, nil
}

func (r *tapReader) close() { _ = r.file.Close() }

// Recv returns what the next packet has, without what is not wanted.
func (r *tapReader) Recv() (*pb.TapResponse, error) {
	if err := r.ctx.Err(); err != nil {
		return nil, err
	}
	found, _, err := r.from.Next()
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %w", r.path, err)
	}
	if err != nil {
		return nil, err
	}
	found.Records = slices.DeleteFunc(found.GetRecords(), func(rec *pb.TapRecord) bool { return !wanted(r.only, rec) })
	return found, nil
}

// wanted reports whether a message of a file is what a request asks for.
func wanted(q *pb.TapRequest, r *pb.TapRecord) bool {
	named := func(m *pb.Message) bool {
		return slices.ContainsFunc(q.GetNames(), func(name string) bool { return kbusdev.Matches(name, m.GetName()) })
	}
	is := func(word string) bool {
		switch word {
		case "forwarded", "delivered", "dropped":
			return word == verdictOf(r)
		case "lost":
			return r.GetLoss()
		default:
			return word == r.GetReason()
		}
	}
	return (len(q.GetNames()) == 0 || named(r.GetRead()) || named(r.GetGiven())) &&
		(len(q.GetLinks()) == 0 || slices.Contains(q.GetLinks(), r.GetLink())) &&
		(q.GetDirection() == 0 || q.GetDirection() == r.GetDirection()) &&
		(len(q.GetKinds()) == 0 || slices.Contains(q.GetKinds(), r.GetKind())) &&
		(len(q.GetReasons()) == 0 || slices.ContainsFunc(q.GetReasons(), is))
}
