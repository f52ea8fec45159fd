package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/rpc"
	"os"
	"time"

	"github.com/kbus-limpet/limpet/bench/contest"
	"github.com/kbus-limpet/limpet/bench/measure"
)

// A Pair is the two processes with the programs of a measurement. It belongs to one
// goroutine.
type Pair struct {
	near, far *remote
}

// A remote is a process that serves Programs.
type remote struct {
	*rpc.Client
	process *contest.Process
}

// StartPair starts the two processes. They do nothing yet.
func StartPair(ctx context.Context) (*Pair, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("making the pipe between the programs: %w", err)
	}
	defer r.Close() //nolint:errcheck // the process has its own
	defer w.Close() //nolint:errcheck // the process has its own
	p := new(Pair)
	if p.near, err = startRemote(ctx, r); err != nil {
		return nil, err
	}
	if p.far, err = startRemote(ctx, w); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

func startRemote(ctx context.Context, credit *os.File) (*remote, error) {
	cmd, err := contest.Command(ctx, Role)
	if err != nil {
		return nil, err
	}
	cmd.ExtraFiles = []*os.File{credit}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("starting the programs: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("starting the programs: %w", err)
	}
	process, err := contest.StartProcess(cmd)
	if err != nil {
		return nil, err
	}
	return &remote{process: process, Client: rpc.NewClient(struct {
		io.Reader
		io.WriteCloser
	}{out, in})}, nil
}

// Close kills the processes.
func (p *Pair) Close() {
	for _, r := range []*remote{p.near, p.far} {
		if r != nil {
			r.process.Kill()
			_ = r.Close()
		}
	}
}

// Processes returns the near and the far one.
func (p *Pair) Processes() []*contest.Process {
	return []*contest.Process{p.near.process, p.far.process}
}

// call makes one call. It fails when ctx ends.
func (r *remote) call(ctx context.Context, method string, args, reply any) error {
	call := r.Go("Programs."+method, args, reply, make(chan *rpc.Call, 1))
	select {
	case <-call.Done:
		if call.Error == nil {
			return nil
		}
		var said rpc.ServerError
		if !errors.As(call.Error, &said) {
			<-r.process.Exited() // it says more
			return r.process.Failed()
		}
		return fmt.Errorf("%s: %w", method, call.Error)
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", method, context.Cause(ctx))
	}
}

// Join connects both sides' programs, and returns when the first messages have come
// through.
func (p *Pair) Join(ctx context.Context, c contest.Contestant, places contest.Places, w Work) error {
	for side, r := range []*remote{p.near, p.far} {
		args := JoinArgs{Contestant: c.Name(), Side: contest.Side(side), Place: places[side]}
		if err := r.call(ctx, "Join", args, new(Nothing)); err != nil {
			return err
		}
	}
	if err := p.far.call(ctx, "Far", w, new(Nothing)); err != nil {
		return err
	}
	if err := p.near.call(ctx, "Near", w, new(Nothing)); err != nil {
		return err
	}
	if err := p.probe(ctx, max(w.Listeners, 1)); err != nil {
		return err
	}
	if w.Callers > 0 {
		return p.askUntilReplied(ctx)
	}
	return nil
}

// probe sends announcements until every listener has heard one.
func (p *Pair) probe(ctx context.Context, listeners int) error {
	return until(ctx, "listeners have heard something", func() (bool, error) {
		if err := p.near.call(ctx, "Probe", Nothing{}, new(Nothing)); err != nil {
			return false, err
		}
		n := 0
		err := p.far.call(ctx, "Probed", Nothing{}, &n)
		return n == listeners, err
	})
}

// askUntilReplied makes requests until one is answered: a name that was bound far away is
// known here a moment later.
func (p *Pair) askUntilReplied(ctx context.Context) error {
	return until(ctx, "a request is answered", func() (bool, error) {
		err := p.near.call(ctx, "Ask", Nothing{}, new(Nothing))
		return err == nil, ctx.Err()
	})
}

// Hold makes n requests, and returns when all have come and stay open.
func (p *Pair) Hold(ctx context.Context, n int) error {
	if err := p.near.call(ctx, "Hold", n, new(Nothing)); err != nil {
		return err
	}
	return until(ctx, "all requests are held", func() (bool, error) {
		come := 0
		err := p.far.call(ctx, "Held", Nothing{}, &come)
		return come >= n, err
	})
}

// until tries again and again, until it is done or fails or ctx ends.
func until(ctx context.Context, what string, try func() (done bool, err error)) error {
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for {
		if done, err := try(); done || err != nil {
			return err
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting until %s: %w", what, ctx.Err())
		}
	}
}

// WarmUp does the work and counts nothing.
func (p *Pair) WarmUp(ctx context.Context, w Work, limit Limit) error {
	return p.run(ctx, w, warming, limit, new(measure.Sample))
}

// Run does the work, and puts what came of it into the sample.
func (p *Pair) Run(ctx context.Context, w Work, limit Limit, s *measure.Sample) error {
	return p.run(ctx, w, measuring, limit, s)
}

func (p *Pair) run(ctx context.Context, w Work, phase int, limit Limit, s *measure.Sample) error {
	if err := p.far.call(ctx, "Begin", BeginArgs{Work: w, Phase: phase}, new(Nothing)); err != nil {
		return err
	}
	var sent Sent
	if err := p.near.call(ctx, "Run", RunArgs{Work: w, Phase: phase, Limit: limit}, &sent); err != nil {
		return err
	}
	announced := sent.Announced * uint64(max(w.Listeners, 1))
	var heard Heard
	if err := p.far.call(ctx, "Finish", announced, &heard); err != nil {
		return err
	}
	if sent.Replied == 0 && heard.Count == 0 {
		return fmt.Errorf("nothing arrived of %d announcements and %d requests; %s", announced, sent.Asked, sent.Error)
	}
	fill(s, &sent, announced, &heard)
	return nil
}

// fill puts both sides' counts together.
func fill(s *measure.Sample, sent *Sent, announced uint64, heard *Heard) {
	s.Sent, s.Arrived = announced+sent.Asked, heard.Count+sent.Replied
	last := sent.Last
	if heard.Last.After(last) {
		last = heard.Last
	}
	s.Elapsed = last.Sub(sent.First)
	took := &heard.Took
	if sent.Asked > 0 {
		took = &sent.Took
	}
	s.P50, s.P99, s.P999 = took.Quantile(0.5), took.Quantile(0.99), took.Quantile(0.999)
}
