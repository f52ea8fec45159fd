// Command bench measures limpetd beside others that carry messages between two places:
// the same work, in turns, on the same machine, each with processes of its own.
//
//	cd bench
//	go run . -list
//	go run . -out results
//	go run . -works 'round-trip-*' -contestants 'limpetd-*,nats-leaf' -rounds 3
//	go run . -works '' -curves bindings,size
//	go run . -quick
//
// A sender is at one end and a listener or replier at the other; between them are two
// daemons, except where the name says embedded. The sender keeps so little ahead of the
// listeners that no queue is ever full; what is lost is counted all the same. Results are
// report.md, plots, and samples.json. It needs Linux, and mosquitto for its contestant.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path"
	"strings"
	"syscall"
	"time"

	"github.com/kbus-limpet/limpet/bench/contest"
	"github.com/kbus-limpet/limpet/bench/contestants"
	"github.com/kbus-limpet/limpet/bench/load"
	"github.com/kbus-limpet/limpet/bench/measure"
	"github.com/kbus-limpet/limpet/bench/report"
	"github.com/kbus-limpet/limpet/bench/run"
)

func main() {
	contest.PlayRole(run.Roles())
	os.Exit(mainCode())
}

func mainCode() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal kills at once
	if err := bench(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	return 0
}

// options are the flags.
type options struct {
	out, contestants, works, curves, limpetd string
	rounds                                   int
	duration, warmUp                         time.Duration
	quick, list                              bool
}

func parseFlags(args []string, errOut io.Writer) (*options, error) {
	o := new(options)
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(errOut)
	f.StringVar(&o.out, "out", "results", "the `folder` for report.md, the plots and samples.json")
	f.StringVar(&o.contestants, "contestants", "*", "the `names` of who takes part, with commas between; * stands for any characters")
	f.StringVar(&o.works, "works", "*", "the `names` of what they do; \"\" is nothing")
	f.StringVar(&o.curves, "curves", "", "the `names` of curves to measure, too; they take long")
	f.IntVar(&o.rounds, "rounds", 5, "how often each contestant does each work; the report has medians")
	f.DurationVar(&o.duration, "time", 3*time.Second, "how long each measurement sends")
	f.DurationVar(&o.warmUp, "warm-up", 500*time.Millisecond, "how long it sends before, without being measured")
	f.StringVar(&o.limpetd, "limpetd", "", "the `path` of limpetd; \"\" builds it from the tree that this program is part of")
	f.BoolVar(&o.quick, "quick", false, "only prove that everything works: one round of some works and curves, with few messages; what is lost is a failure")
	f.BoolVar(&o.list, "list", false, "list the names, and stop")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	switch {
	case f.NArg() > 0:
		return nil, fmt.Errorf("%q is no flag; try -help", f.Arg(0))
	case o.rounds < 1:
		return nil, fmt.Errorf("-rounds: %d is less than 1", o.rounds)
	case o.duration <= 0 || o.duration > time.Hour:
		return nil, fmt.Errorf("-time: %v is not above 0 and at most 1h", o.duration)
	case o.warmUp <= 0 || o.warmUp > time.Hour:
		return nil, fmt.Errorf("-warm-up: %v is not above 0 and at most 1h", o.warmUp)
	}
	return o, nil
}

func bench(ctx context.Context, args []string, out, errOut io.Writer) error {
	o, err := parseFlags(args, errOut)
	if err != nil {
		return err
	}
	if o.list {
		return list(out)
	}
	chosen, works, curves, err := o.choose()
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "lb-")
	if err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	defer os.RemoveAll(dir) //nolint:errcheck // it is temporary
	plan := o.plan()
	if plan.Setup.Limpetd == "" {
		if plan.Setup.Limpetd, err = run.BuildLimpetd(ctx, dir); err != nil {
			return err
		}
	}
	r := &report.Report{
		Command: strings.Join(append([]string{"go run ."}, args...), " "),
		Limpetd: limpetdVersion(ctx, plan.Setup.Limpetd), Machine: measure.ThisMachine(),
		Floor: contestants.Floor, NATS: contestants.NATS,
	}
	able := takePart(r, chosen, plan.Setup)
	log := slog.New(slog.NewTextHandler(errOut, nil))
	r.Samples = plan.Run(ctx, able, works, log)
	for _, c := range curves {
		x := make(map[string]int)
		for _, p := range c.Points {
			x[p.Work.Name] = p.X
		}
		r.Curves = append(r.Curves, report.Curve{Name: c.Name, XName: c.X, X: x, Samples: plan.Curve(ctx, able, c, log)})
	}
	if err := r.Write(o.out); err != nil {
		return err
	}
	fmt.Fprintf(out, "wrote %s\n", path.Join(o.out, "report.md")) //nolint:errcheck // the reader is gone
	if ctx.Err() != nil {
		return fmt.Errorf("interrupted: the report has what was measured until then: %w", ctx.Err())
	}
	return judge(r, o.quick)
}

// judge returns an error if anything failed, or was lost although only few messages were
// sent.
func judge(r *report.Report, quick bool) error {
	if failed := r.Failed(); len(failed) > 0 {
		return fmt.Errorf("%d measurements failed, the first was %s with %s: %s", len(failed), failed[0].Contestant, failed[0].Work, failed[0].Error)
	}
	all := r.Samples
	for _, c := range r.Curves {
		all = append(all, c.Samples...)
	}
	for i := range all {
		if s := &all[i]; quick && s.Lost() != 0 {
			return fmt.Errorf("%s with %s: %d of %d messages were lost", s.Contestant, s.Work, s.Lost(), s.Sent)
		}
	}
	return nil
}

// takePart returns the contestants that can run here, and notes who can and who cannot.
func takePart(r *report.Report, all []contest.Contestant, setup *contest.Setup) (able []contest.Contestant) {
	for _, c := range all {
		if err := c.Check(setup); err != nil {
			r.Skipped = append(r.Skipped, report.Contestant{Name: c.Name(), About: err.Error()})
			continue
		}
		able = append(able, c)
		r.Contestants = append(r.Contestants, report.Contestant{Name: c.Name(), About: c.About()})
	}
	return able
}

// plan returns how the work is done.
func (o *options) plan() *run.Plan {
	p := &run.Plan{
		Setup:   &contest.Setup{Limpetd: o.limpetd},
		Rounds:  o.rounds,
		Limit:   load.Limit{Duration: o.duration},
		WarmUp:  load.Limit{Duration: o.warmUp},
		Timeout: 3*time.Minute + o.duration + o.warmUp,
	}
	if o.quick {
		p.Rounds = 1
		p.Limit = load.Limit{Duration: time.Minute, Messages: 200}
		p.WarmUp = load.Limit{Duration: time.Minute, Messages: 10}
	}
	return p
}

func limpetdVersion(ctx context.Context, program string) string {
	out, err := exec.CommandContext(ctx, program, "--version").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}
