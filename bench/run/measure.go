package run

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/kbus-limpet/limpet/bench/contest"
	"github.com/kbus-limpet/limpet/bench/load"
	"github.com/kbus-limpet/limpet/bench/measure"
)

// A Plan is how each work is done.
type Plan struct {
	// Setup is what the contestants need.
	Setup *contest.Setup
	// Rounds is how often each contestant does each work.
	Rounds int
	// Limit ends a measurement, WarmUp what comes before it and is not measured.
	Limit, WarmUp load.Limit
	// Timeout bounds one measurement with all that is started for it.
	Timeout time.Duration
}

// Measure does one work with one contestant, with processes that are started for it.
func (p *Plan) Measure(ctx context.Context, c contest.Contestant, w load.Work, round int) measure.Sample {
	s := measure.Sample{Contestant: c.Name(), Work: w.Name, Round: round}
	ctx, cancel := context.WithTimeout(ctx, p.Timeout)
	defer cancel()
	if err := p.measure(ctx, c, w, &s); err != nil {
		s.Error = err.Error()
	}
	return s
}

func (p *Plan) measure(ctx context.Context, c contest.Contestant, w load.Work, s *measure.Sample) error {
	dir, err := os.MkdirTemp("", "lb-") // short, as paths of sockets must be
	if err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // it is temporary
	pair, err := load.StartPair(ctx)
	if err != nil {
		return err
	}
	defer pair.Close()
	stage := &contest.Stage{Setup: p.Setup, Dir: dir, Peers: w.Peers}
	defer stage.Close()

	begin := time.Now()
	places, err := c.Start(ctx, stage)
	if err != nil {
		return err
	}
	if err := pair.Join(ctx, c, places, w); err != nil {
		return withReason(err, stage)
	}
	s.StartUp = time.Since(begin)
	all := append(pair.Processes(), stage.Processes...)
	daemons := stage.Processes
	if len(daemons) == 0 { // they are in the programs' processes
		daemons = all
	}
	before, err := memory(daemons)
	if err != nil {
		return err
	}
	s.Idle = before.Resident
	if w.Open > 0 {
		if err := pair.Hold(ctx, w.Open); err != nil {
			return withReason(err, stage)
		}
	}
	if err := pair.WarmUp(ctx, w, p.WarmUp); err != nil {
		return withReason(err, stage)
	}
	used, err := cpu(all)
	if err != nil {
		return err
	}
	if err := pair.Run(ctx, w, p.Limit, s); err != nil {
		return withReason(err, stage)
	}
	usedThen, err := cpu(all)
	if err != nil {
		return err
	}
	s.CPU = usedThen - used
	after, err := memory(daemons)
	s.Peak = after.Peak
	return err
}

// withReason adds what a daemon said when it exited, if one has.
func withReason(err error, stage *contest.Stage) error {
	if failed := stage.Failed(); failed != nil {
		return fmt.Errorf("%w; %w", err, failed)
	}
	return err
}

// cpu is what the processes have used, together.
func cpu(all []*contest.Process) (sum time.Duration, err error) {
	for _, p := range all {
		used, err := measure.CPU(p.PID())
		if err != nil {
			return 0, err
		}
		sum += used
	}
	return sum, nil
}

// memory is what the processes have, together.
func memory(all []*contest.Process) (sum measure.Memory, err error) {
	for _, p := range all {
		m, err := measure.RSS(p.PID())
		if err != nil {
			return sum, err
		}
		sum.Resident += m.Resident
		sum.Peak += m.Peak
	}
	return sum, nil
}
