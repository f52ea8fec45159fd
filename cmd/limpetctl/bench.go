package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/internal/printable"
	"github.com/kbus-limpet/limpet/kbusdev"
)

// A benching is what limpetctl bench is told.
type benching struct {
	size, callers int
	lasts         time.Duration
	only, ask     string
}

// The parts of a bench.
const (
	oneWay    = "one-way"
	roundTrip = "round-trip"
)

// benchPrefix is what the names begin with that bench binds.
const benchPrefix = "$.Limpet.Bench."

// onTheWay is how many announcements bench has on the way at most, so that none is dropped.
const onTheWay = 1024

func (o *options) newBench() *cobra.Command {
	b := benching{size: 64, callers: 1, lasts: 2 * time.Second}
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure how much the daemon carries, and how fast it answers",
		Long: `bench sends announcements to itself through the daemon, as fast as it hears them, and
then asks itself, for --time each. Sender, listener, caller and replier are Ksocks of this
process, so its own work and this machine's load are in what is measured; the bus is loaded
meanwhile. It binds names of its own below ` + benchPrefix + `, and with the rules needs to be
allowed these.

With --ask NAME the requests go to a replier that there is, perhaps over a link, and
nothing is announced. latency asks at leisure, and does not load anything.`,
		Example: "  limpetctl bench\n  limpetctl bench --size 1024 --callers 64 --only round-trip\n  limpetctl bench --ask '$.Clock.Now'",
		Args:    args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case b.size < 0 || b.size > maxOutput:
				return &usageError{fmt.Errorf("--size %d is not between 0 and %d", b.size, maxOutput)}
			case b.callers < 1 || b.callers > 1024:
				return &usageError{fmt.Errorf("--callers %d is not between 1 and 1024", b.callers)}
			case b.lasts <= 0:
				return &usageError{fmt.Errorf("--time %v is not more than 0", b.lasts)}
			case b.only != "" && b.only != oneWay && b.only != roundTrip:
				return &usageError{fmt.Errorf("--only %q is not %s or %s", b.only, oneWay, roundTrip)}
			case b.ask != "" && b.only == oneWay:
				return &usageError{errors.New("--ask makes requests, and --only one-way none; say one of them")}
			}
			return o.withBus(func(bus *client.Bus) error { return o.bench(cmd.Context(), cmd.OutOrStdout(), bus, &b) })
		},
	}
	f := cmd.Flags()
	f.IntVar(&b.size, "size", b.size, "the data of a message, in `BYTES`")
	f.DurationVar(&b.lasts, "time", b.lasts, "measure each part for this `DURATION`")
	f.IntVar(&b.callers, "callers", b.callers, "have `N` requests open at a time")
	f.StringVar(&b.only, "only", "", "measure this `PART` alone: one-way or round-trip")
	f.StringVar(&b.ask, "ask", "", "ask the replier of this `NAME`")
	return cmd
}

// bench measures what was asked for. After an interruption it prints what it has.
func (o *options) bench(ctx context.Context, out io.Writer, bus *client.Bus, b *benching) error {
	var chance [8]byte
	_, _ = rand.Read(chance[:]) // which never fails
	name := benchPrefix + hex.EncodeToString(chance[:])
	if o.format != formatJSON {
		if err := o.sayBench(ctx, out, bus); err != nil {
			return err
		}
	}
	if b.only != roundTrip && b.ask == "" {
		if err := o.benchOneWay(ctx, out, bus, b, name); err != nil {
			return err
		}
	}
	if b.only == oneWay {
		return ctx.Err()
	}
	return errors.Join(o.benchRoundTrip(ctx, out, bus, b, name), ctx.Err())
}

// sayBench says what is measured.
func (o *options) sayBench(ctx context.Context, out io.Writer, bus *client.Bus) error {
	limited, cancel := o.limited(ctx)
	defer cancel()
	through := "a daemon that does not tell what it is"
	if st, err := bus.Status(limited); err == nil {
		through = fmt.Sprintf("limpetd %s on bus %s with %d bindings", st.GetVersion(), st.GetBus(), st.GetBindings())
	}
	_, err := printable.Fprintf(out, "through %s; all programs are this process; %d processors here\n", through, runtime.NumCPU())
	return err
}

// benchOneWay announces as fast as it hears.
func (o *options) benchOneWay(ctx context.Context, out io.Writer, bus *client.Bus, b *benching, name string) error {
	from, err := bus.Ksock(ctx, kbusdev.ReadWrite)
	if err != nil {
		return err
	}
	defer from.Close() //nolint:errcheck // nothing to be done about it
	to, err := bus.Ksock(ctx, kbusdev.ReadWrite)
	if err != nil {
		return err
	}
	defer to.Close() //nolint:errcheck // nothing to be done about it
	if _, err := to.MaxMessages(onTheWay); err != nil {
		return err
	}
	if err := errors.Join(to.Bind(name, kbusdev.Listener), to.Prefetch(true)); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, b.lasts)
	defer cancel()
	var heard, sent int
	room := make(chan struct{}, onTheWay)
	hearing, stop := context.WithCancel(ctx)
	defer stop()
	var listener sync.WaitGroup
	begun := time.Now()
	var last time.Duration // when the last one was heard
	listener.Go(func() {
		var some [256]*kbusdev.Message
		for {
			n, err := to.RecvBatch(hearing, some[:])
			if err != nil {
				return
			}
			for range n {
				<-room
			}
			heard += n
			last = time.Since(begun)
		}
	})
	data := make([]byte, b.size)
	for err == nil {
		select {
		case room <- struct{}{}:
			if err = from.Post(limited, &kbusdev.Message{Name: name, Data: data}); err == nil {
				sent++
				continue
			}
		case <-limited.Done():
			err = limited.Err()
		}
	}
	if limited.Err() == nil { // the daemon has gone
		stop()
		listener.Wait()
		return err
	}
	flushing, flushed := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	refused := from.Flush(flushing)
	flushed()
	o.awaitHeard(ctx, room)
	stop()
	listener.Wait()
	if refused != nil && ctx.Err() == nil {
		return refused
	}
	seconds := last.Seconds()
	rate := perSecond(heard, last)
	if o.format == formatJSON {
		return o.printJSON(out, object{
			{"measure", "one_way"}, {"size", b.size}, {"time_seconds", seconds}, {"sent", sent}, {"heard", heard}, {"per_second", rate}, {"bytes_per_second", rate * float64(b.size)},
		})
	}
	_, err = printable.Fprintf(out, "one way: %d announcements of %d bytes sent, %d heard in %.2f s: %.0f/s, %.2f MB/s; at most %d on the way\n",
		sent, b.size, heard, seconds, rate, rate*float64(b.size)/1e6, onTheWay)
	return err
}

// drainFor bounds the wait for what is on the way at the end.
const drainFor = 5 * time.Second

// awaitHeard waits until nothing is on the way any more, ctx ends, or it has taken too long.
func (o *options) awaitHeard(ctx context.Context, room chan struct{}) {
	limit := time.After(drainFor)
	for range onTheWay { // when all room can be had, nothing is on the way
		select {
		case room <- struct{}{}:
		case <-ctx.Done():
			return
		case <-limit:
			return
		}
	}
}

func perSecond(n int, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return float64(n) / d.Seconds()
}

// benchRoundTrip asks, and waits for the answers, with several callers at a time.
func (o *options) benchRoundTrip(ctx context.Context, out io.Writer, bus *client.Bus, b *benching, name string) error {
	var replier sync.WaitGroup
	defer replier.Wait()
	serving, stop := context.WithCancel(ctx)
	defer stop()
	ask := b.ask
	if ask == "" {
		ask = name
		k, err := bus.Ksock(ctx, kbusdev.ReadWrite)
		if err != nil {
			return err
		}
		defer k.Close() //nolint:errcheck // nothing to be done about it
		if _, err := k.MaxMessages(onTheWay); err != nil {
			return err
		}
		if err := errors.Join(k.Bind(name, kbusdev.Replier), k.Prefetch(true)); err != nil {
			return err
		}
		replier.Go(func() { answerAll(serving, k) })
	}
	caller := bus.Caller()
	defer caller.Close() //nolint:errcheck // nothing to be done about it
	limited, cancel := context.WithTimeout(ctx, b.lasts)
	defer cancel()
	var t times
	var failed atomic.Uint64
	var fault atomic.Pointer[error] // of a call, unless it was one of those that were under way at the end
	var callers sync.WaitGroup
	begun := time.Now()
	for range b.callers {
		callers.Go(func() {
			data := make([]byte, b.size)
			for limited.Err() == nil && fault.Load() == nil {
				asked := time.Now()
				_, err := caller.Call(limited, &kbusdev.Message{Name: ask, Data: data})
				switch {
				case err == nil:
					t.add(time.Since(asked))
				case limited.Err() == nil:
					failed.Add(1)
					fault.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	callers.Wait()
	took := time.Since(begun)
	if err := o.printRoundTrip(out, b, ask, took, &t, failed.Load()); err != nil {
		return err
	}
	if err := fault.Load(); err != nil {
		return *err
	}
	return nil
}

// answerAll answers requests with their own data until ctx ends.
func answerAll(ctx context.Context, k *client.Ksock) {
	for {
		q, err := k.Recv(ctx)
		if err != nil {
			return
		}
		if q.WantsUsToReply() {
			_ = k.Post(ctx, &kbusdev.Message{Name: q.Name, InReplyTo: q.ID, To: q.From, Data: q.Data})
		}
	}
}

func (o *options) printRoundTrip(out io.Writer, b *benching, ask string, took time.Duration, t *times, failed uint64) error {
	s := t.summary()
	rate := perSecond(t.count, took)
	if o.format == formatJSON {
		return o.printJSON(out, append(object{
			{"measure", "round_trip"}, {"name", ask}, {"size", b.size}, {"time_seconds", took.Seconds()}, {"callers", b.callers}, {"answered", t.count}, {"failed", failed}, {"per_second", rate},
		}, s.members()...))
	}
	_, err := printable.Fprintf(out, "round trip: %d requests of %d bytes answered in %.2f s: %.0f/s with %d at a time; %v\n", t.count, b.size, took.Seconds(), rate, b.callers, s)
	return err
}
