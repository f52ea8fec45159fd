package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/internal/printable"
)

// minTopEvery is how often top looks at most.
const minTopEvery = 100 * time.Millisecond

func (o *options) newTop() *cobra.Command {
	once, every, by := false, 2*time.Second, topSorts[0]
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Show the links, open requests, slow repliers and drops, as they are",
		Long: `top shows on a screen that renews itself the links with how much they carry a second,
the requests that have been open for longest, the names whose requests take most time, and
what was dropped. Keys: q ends it, s puts the links into another order, space looks now.

Where the output is no terminal, and with --once, it looks twice, --every apart, and prints
what it has seen. How long replies take is counted while somebody looks, and a minute more.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case every < minTopEvery:
				return &usageError{fmt.Errorf("--every %v is less than %v", every, minTopEvery)}
			case !slices.Contains(topSorts, by):
				return &usageError{fmt.Errorf("--sort %q is not %s", by, strings.Join(topSorts, ", "))}
			}
			return o.withBus(func(bus *client.Bus) error {
				l := &looker{bus: bus}
				defer l.close()
				if s := terminalOf(cmd.InOrStdin(), cmd.OutOrStdout()); s != nil && !once && !o.json {
					return o.topScreen(cmd.Context(), s, l, every, by)
				}
				return o.topOnce(cmd.Context(), cmd.OutOrStdout(), l, every, by)
			})
		},
	}
	f := cmd.Flags()
	f.BoolVar(&once, "once", false, "print once what there is, and end")
	f.DurationVar(&every, "every", every, "look again after this `DURATION`")
	f.StringVar(&by, "sort", by, "put the links into the order of `WHAT`: "+strings.Join(topSorts, ", "))
	if err := cmd.RegisterFlagCompletionFunc("sort", cobra.FixedCompletions(topSorts, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // there is no such flag
	}
	return cmd
}

// topLook looks once, no longer than --timeout.
func (o *options) topLook(ctx context.Context, l *looker) (*topLook, error) {
	ctx, cancel := o.limited(ctx)
	defer cancel()
	return l.look(ctx)
}

// topOnce prints a view.
func (o *options) topOnce(ctx context.Context, out io.Writer, l *looker, every time.Duration, by string) error {
	before, err := o.topLook(ctx, l)
	if err != nil {
		return err
	}
	select {
	case <-time.After(every):
	case <-ctx.Done():
		return ctx.Err()
	}
	now, err := o.topLook(ctx, l)
	if err != nil {
		return err
	}
	v := newTopView(before, now)
	v.sortLinks(by)
	if o.json {
		return o.printJSON(out, v.object())
	}
	_, err = io.WriteString(out, strings.Join(v.lines(0, 0), "\n")+"\n")
	return err
}

// A looked is what a look has brought.
type looked struct {
	look *topLook
	err  error
}

// topScreen shows a view until a key or ctx ends it. A daemon that does not answer is looked
// for again.
func (o *options) topScreen(ctx context.Context, s screen, l *looker, every time.Duration, by string) error {
	leave, err := s.enter()
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	looks, now, over := make(chan looked), make(chan struct{}, 1), make(chan struct{})
	go func() {
		defer close(over)
		o.keepLooking(ctx, l, every, looks, now)
	}()
	defer func() { cancel(); <-over }() // before the looker is closed
	shown := topShown{by: by}
	for {
		if err := s.draw(shown.lines(s.size())); err != nil {
			return err
		}
		select {
		case x := <-looks:
			shown.take(x)
		case key, ok := <-s.keys():
			switch {
			case !ok || key == 'q' || key == 'Q':
				return nil
			case key == interruptKey:
				return codedError(exitInterrupted)
			case key == 's':
				shown.by = topSorts[(slices.Index(topSorts, shown.by)+1)%len(topSorts)]
			case key == ' ':
				select {
				case now <- struct{}{}:
				default:
				}
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// topShown is what a screen shows.
type topShown struct {
	by   string   // the order of links
	last *topLook // nil if there is none, or the daemon has not answered since
	view *topView // nil likewise
	err  error    // why it does not answer
}

// take takes what a look has brought.
func (s *topShown) take(x looked) {
	if s.err = x.err; x.err != nil {
		s.last, s.view = nil, nil
		return
	}
	before := s.last
	if before == nil {
		before = x.look
	}
	s.view, s.last = newTopView(before, x.look), x.look
}

// lines returns what fits on a screen of a size.
func (s *topShown) lines(width, height int) []string {
	keys := []string{"", cut("q: quit  s: sort links (by "+s.by+")  space: look now", width)}
	switch {
	case s.err != nil:
		return append([]string{cut(printable.Text("the daemon does not answer: "+s.err.Error()), width)}, keys...)
	case s.view == nil:
		return append([]string{cut("looking at the daemon", width)}, keys...)
	}
	s.view.sortLinks(s.by)
	return append(s.view.lines(width, max(height-len(keys), 1)), keys...)
}

// keepLooking looks again and again, every so often or when now says so, until ctx ends.
func (o *options) keepLooking(ctx context.Context, l *looker, every time.Duration, looks chan<- looked, now <-chan struct{}) {
	for {
		look, err := o.topLook(ctx, l)
		select {
		case looks <- looked{look, err}:
		case <-ctx.Done():
			return
		}
		select {
		case <-time.After(every):
		case <-now:
		case <-ctx.Done():
			return
		}
	}
}
