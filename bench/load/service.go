package load

import (
	"context"
	"fmt"
	"io"
	"net/rpc"
	"os"
	"sync/atomic"
	"time"

	"github.com/kbus-limpet/limpet/bench/contest"
	"github.com/kbus-limpet/limpet/bench/measure"
)

// Role is the name of the role in which a copy of the benchmark runs Serve.
const Role = "programs"

// Programs is one process's programs, driven by net/rpc calls that come one at a time.
type Programs struct {
	contestants []contest.Contestant
	credit      *os.File
	bus         contest.Bus
	sender      *sender
	listeners   *listeners
	held        atomic.Int64 // requests that the far side has and does not reply to
}

// Serve serves calls over standard input and output until they are closed.
func Serve(contestants []contest.Contestant) error {
	credit, err := openCredit()
	if err != nil {
		return err
	}
	server := rpc.NewServer()
	if err := server.Register(&Programs{contestants: contestants, credit: credit}); err != nil {
		return fmt.Errorf("serving the programs: %w", err)
	}
	server.ServeConn(struct {
		io.ReadCloser
		io.Writer
	}{os.Stdin, os.Stdout})
	return nil
}

// Nothing is the argument or result of a call that has none.
type Nothing struct{}

// JoinArgs say where the programs are.
type JoinArgs struct {
	Contestant, Place string
	Side              contest.Side
}

// Join puts the process on its side. It is the first call.
func (p *Programs) Join(args JoinArgs, _ *Nothing) (err error) {
	ctx, cancel := context.WithTimeout(context.Background(), setUp)
	defer cancel()
	for _, c := range p.contestants {
		if c.Name() == args.Contestant {
			p.bus, err = c.Join(ctx, args.Side, args.Place)
			return err
		}
	}
	return fmt.Errorf("there is no contestant %q", args.Contestant)
}

// setUp is how long it may take until all is connected and bound.
const setUp = time.Minute

// Far connects the programs of the far side that a work needs, and binds their names.
func (p *Programs) Far(w Work, _ *Nothing) error {
	ctx, cancel := context.WithTimeout(context.Background(), setUp)
	defer cancel()
	first, err := p.bus.Connect(ctx)
	if err != nil {
		return err
	}
	if w.Bindings > 0 {
		if err := bindOthers(ctx, p.bus, w.Bindings); err != nil {
			return err
		}
	}
	if w.Open > 0 { // first, so that who can reach the other name can reach this one
		hold := func([]byte) ([]byte, bool) { p.held.Add(1); return nil, false }
		if err := first.Serve(ctx, held, hold); err != nil {
			return err
		}
	}
	p.listeners = newListeners(max(w.Listeners, 1), &creditWriter{p.credit})
	for i, l := range p.listeners.all {
		program := first
		if i > 0 {
			if program, err = p.bus.Connect(ctx); err != nil {
				return err
			}
		}
		if err := program.Listen(ctx, []string{announced}, l.heard); err != nil {
			return err
		}
	}
	if w.Callers > 0 {
		return first.Serve(ctx, asked, func(data []byte) ([]byte, bool) { return data, true })
	}
	return nil
}

// bindOthers binds names that nobody sends.
func bindOthers(ctx context.Context, bus contest.Bus, n int) error {
	program, err := bus.Connect(ctx)
	if err != nil {
		return err
	}
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("Other%d", i)
	}
	return program.Listen(ctx, names, func([]byte) {})
}

// Near connects the program of the near side.
func (p *Programs) Near(w Work, _ *Nothing) error {
	ctx, cancel := context.WithTimeout(context.Background(), setUp)
	defer cancel()
	program, err := p.bus.Connect(ctx)
	if err != nil {
		return err
	}
	p.sender = newSender(program, p.credit, &w)
	for range w.Callers {
		call, err := program.Caller(ctx, asked)
		if err != nil {
			return err
		}
		p.sender.calls = append(p.sender.calls, call)
	}
	return nil
}

// Probe sends an announcement that is not counted.
func (p *Programs) Probe(Nothing, *Nothing) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	data := make([]byte, headerSize)
	putHeader(data, probing, time.Now())
	if err := p.sender.program.Send(ctx, announced, data); err != nil {
		return err
	}
	return p.sender.program.Flush()
}

// Probed returns how many listeners have heard a probe.
func (p *Programs) Probed(_ Nothing, n *int) error {
	*n = p.listeners.probed()
	return nil
}

// askAgain is when a request that is not counted is made again: one that came before its
// replier was known may have gone to nobody.
const askAgain = 3 * time.Second

// Ask makes a request that is not counted.
func (p *Programs) Ask(Nothing, *Nothing) error {
	ctx, cancel := context.WithTimeout(context.Background(), askAgain)
	defer cancel()
	reply, err := p.sender.calls[0](ctx, make([]byte, requestSize))
	if err == nil && len(reply) != requestSize {
		err = fmt.Errorf("the reply has %d bytes, the request had %d", len(reply), requestSize)
	}
	return err
}

// Hold makes n requests that stay open.
func (p *Programs) Hold(n int, _ *Nothing) error {
	ctx, cancel := context.WithTimeout(context.Background(), setUp)
	defer cancel()
	return p.sender.program.Hold(ctx, held, n)
}

// Held returns how many requests have come that stay open.
func (p *Programs) Held(_ Nothing, n *int) error {
	*n = int(p.held.Load())
	return nil
}

// RunArgs say what the near program is to do.
type RunArgs struct {
	Work  Work
	Phase int
	Limit Limit
}

// Sent is what the near program did.
type Sent struct {
	// Announced, Asked and Replied count messages.
	Announced, Asked, Replied uint64
	// First is when it began, Last when the last reply came.
	First, Last time.Time
	// Took are the round trips.
	Took measure.Histogram
	// Error is that of the last request that failed, or "".
	Error string
}

// Run makes the near program do the work.
func (p *Programs) Run(args RunArgs, sent *Sent) (err error) {
	*sent, err = p.sender.run(context.Background(), &args.Work, args.Phase, args.Limit)
	return err
}

// BeginArgs say what is counted next.
type BeginArgs struct {
	Work  Work
	Phase int
}

// Begin makes the listeners count anew.
func (p *Programs) Begin(args BeginArgs, _ *Nothing) error {
	p.listeners.begin(args.Phase, args.Work.step())
	return nil
}

// Heard is what the listeners heard.
type Heard struct {
	// Count is over all listeners.
	Count uint64
	// Last is when the last message came; zero if none did.
	Last time.Time
	// Took is how long messages were under way.
	Took measure.Histogram
}

// Finish waits until the listeners together have heard want messages, or nothing for a
// while, and returns what they heard.
func (p *Programs) Finish(want uint64, heard *Heard) error {
	*heard = p.listeners.finish(context.Background(), want, patience)
	return nil
}
