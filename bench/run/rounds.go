package run

import (
	"context"
	"log/slog"
	"time"

	"github.com/kbus-limpet/limpet/bench/contest"
	"github.com/kbus-limpet/limpet/bench/load"
	"github.com/kbus-limpet/limpet/bench/measure"
)

// Run measures the contestants at the works, in turns: each contestant once at a work,
// then the next work, then the next round, so that what else the machine does meanwhile
// hits all alike. The contestants take turns in being first. It returns what it has when
// ctx ends.
func (p *Plan) Run(ctx context.Context, contestants []contest.Contestant, works []load.Work, log *slog.Logger) []measure.Sample {
	var samples []measure.Sample
	for round := 1; round <= p.Rounds; round++ {
		for _, w := range works {
			for i := range contestants {
				c := contestants[(i+round-1)%len(contestants)]
				s := p.Measure(ctx, c, w, round)
				if ctx.Err() != nil {
					return samples
				}
				report(log, &s)
				samples = append(samples, s)
			}
		}
	}
	return inOrder(samples, contestants, works)
}

func report(log *slog.Logger, s *measure.Sample) {
	l := log.With("round", s.Round, "work", s.Work, "contestant", s.Contestant)
	if s.Error != "" {
		l.Error("failed", "error", s.Error)
		return
	}
	l.Info("measured", "rate", int(s.Rate()), "cpu_us", s.CPUMicros(), "p50", s.P50, "lost", s.Lost(), "start_up", s.StartUp.Round(time.Millisecond))
}

// inOrder returns the samples by work, then contestant, then round.
func inOrder(samples []measure.Sample, contestants []contest.Contestant, works []load.Work) []measure.Sample {
	sorted := make([]measure.Sample, 0, len(samples))
	for _, w := range works {
		for _, c := range contestants {
			for _, s := range samples {
				if s.Work == w.Name && s.Contestant == c.Name() {
					sorted = append(sorted, s)
				}
			}
		}
	}
	return sorted
}

// Curve measures the contestants that have a part in a curve.
func (p *Plan) Curve(ctx context.Context, contestants []contest.Contestant, c Curve, log *slog.Logger) []measure.Sample {
	var part []contest.Contestant
	for _, x := range contestants {
		if t := x.Traits(); (t.Names || !c.Names) && (t.Hub || !c.Hub) {
			part = append(part, x)
		}
	}
	var works []load.Work
	for _, point := range c.Points {
		works = append(works, point.Work)
	}
	return p.Run(ctx, part, works, log)
}
