package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/kbus-limpet/limpet/client"
	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/printable"
)

func (o *options) newEvents() *cobra.Command {
	var e eventsCommand
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Print what the daemon has logged lately: what happened, and when",
		Long: `events prints the latest events, oldest first: the lines of the daemon's log that are no
details, whatever its verbosity. docs/events.md says what each means. The daemon keeps the
latest 4096 of them, 2 MiB at most, until it ends; what is older is in its log.

--since and --until take a time (03:10, 03:10:05, 2006-01-02, "2006-01-02 03:10"), or how
long ago it was (10m). --since takes reload and start, too: the daemon's latest reload,
with all that it changed, and its start.`,
		Example: `  limpetctl events --since 03:10 --until 03:15
  limpetctl events --since reload
  limpetctl events --follow --level warn
  limpetctl events --event 'link *' --json`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			q, since, err := e.request(time.Now())
			if err != nil {
				return &usageError{err}
			}
			return o.withBus(func(bus *client.Bus) error {
				ctx, cancel := cmd.Context(), context.CancelFunc(func() {})
				if !q.GetFollow() {
					ctx, cancel = o.limited(ctx)
				}
				defer cancel()
				for r, err := range bus.Events(ctx, q) {
					if err != nil {
						return err
					}
					e.sayMissed(cmd.ErrOrStderr(), r, since)
					for _, event := range r.GetEvents() {
						if err := o.printEvent(cmd.OutOrStdout(), event); err != nil {
							return err
						}
					}
				}
				return nil
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&e.since, "since", "", "those since a `TIME`, so long ago, reload or start (default all that are kept)")
	f.StringVar(&e.until, "until", "", "those before a `TIME`, or so long ago")
	f.StringVar(&e.level, "level", "", "those of this `LEVEL` or a worse one: info, warn or error (default info)")
	f.StringVar(&e.event, "event", "", "those of this `NAME`, at whose end * stands for anything")
	f.BoolVar(&e.follow, "follow", false, "then print what comes, until interrupted or --until")
	for flag, words := range map[string][]cobra.Completion{"since": {sinceReload, sinceStart, "10m", "1h"}, "level": {"info", "warn", "error"}} {
		if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)); err != nil {
			panic(err) // there is no such flag
		}
	}
	return cmd
}

// What --since takes beside times.
const (
	sinceReload = "reload"
	sinceStart  = "start"
)

// eventsCommand are the flags of events.
type eventsCommand struct {
	since, until, level, event string
	follow                     bool
}

// request returns what the daemon is asked, and the time of --since by this machine's clock;
// zero if that is none.
func (e *eventsCommand) request(now time.Time) (q *pb.WatchEventsRequest, since time.Time, err error) {
	q = &pb.WatchEventsRequest{Event: e.event, Follow: e.follow}
	switch e.since {
	case "":
	case sinceReload:
		q.From = &pb.WatchEventsRequest_Mark{Mark: pb.EventMark_EVENT_MARK_RELOAD}
	case sinceStart:
		q.From = &pb.WatchEventsRequest_Mark{Mark: pb.EventMark_EVENT_MARK_START}
	default:
		if since, err = parseMoment(e.since, now, time.Time{}); err != nil {
			return nil, since, fmt.Errorf("--since: %w, or %s or %s", err, sinceReload, sinceStart)
		}
		q.From = &pb.WatchEventsRequest_Since{Since: timestamppb.New(since)}
		if ago, err := time.ParseDuration(e.since); err == nil { // by the daemon's clock
			q.From = &pb.WatchEventsRequest_Last{Last: durationpb.New(ago)}
		}
	}
	if e.until != "" {
		after := since
		if after.IsZero() && e.follow {
			after = now
		}
		until, err := parseMoment(e.until, now, after)
		if err != nil {
			return nil, since, fmt.Errorf("--until: %w", err)
		}
		q.Until = timestamppb.New(until)
	}
	levels := map[string]pb.EventLevel{
		"": pb.EventLevel_EVENT_LEVEL_UNSPECIFIED, "info": pb.EventLevel_EVENT_LEVEL_INFO, "warn": pb.EventLevel_EVENT_LEVEL_WARN, "error": pb.EventLevel_EVENT_LEVEL_ERROR,
	}
	level, known := levels[e.level]
	if !known {
		return nil, since, fmt.Errorf("--level %q is not info, warn or error", e.level)
	}
	q.Level = level
	return q, since, nil
}

// sayMissed says which events cannot be printed, for the daemon has forgotten them.
func (e *eventsCommand) sayMissed(w io.Writer, r *pb.WatchEventsResponse, since time.Time) {
	kept := r.GetKeptSince().AsTime().Local()
	switch first := r.GetKeptSince() != nil; {
	case !first && r.GetMissed() > 0:
		printable.Fprintf(w, "limpetctl: %d events were forgotten before they were printed\n", r.GetMissed())
	case !first:
	case r.GetMissed() > 0:
		printable.Fprintf(w, "limpetctl: the daemon keeps only what was after %s; what was before is in its log\n", kept.Format(eventTime))
	case !since.IsZero() && since.Before(kept):
		printable.Fprintf(w, "limpetctl: the daemon was started at %s; what was before is in its log\n", kept.Format(eventTime))
	}
}

// eventTime is how people see when an event was.
const eventTime = "2006-01-02 15:04:05.000"

func (o *options) printEvent(out io.Writer, e *pb.Event) error {
	level := enumName(e.GetLevel().Descriptor(), e.GetLevel().Number())
	if o.json {
		attributes := make(object, 0, len(e.GetAttributes()))
		for _, a := range e.GetAttributes() {
			attributes = attributes.with(a.GetKey(), a.GetValue())
		}
		return o.printJSON(out, object{
			{"number", e.GetNumber()}, {"time", e.GetTime().AsTime()}, {"level", level}, {"event", e.GetEvent()}, {"attributes", attributes},
		})
	}
	var b strings.Builder
	for _, a := range e.GetAttributes() {
		b.WriteByte(' ')
		b.WriteString(a.GetKey())
		b.WriteByte('=')
		b.WriteString(quotedValue(a.GetValue()))
	}
	_, err := printable.Fprintf(out, "%s %-5s %s%s\n", e.GetTime().AsTime().Local().Format(eventTime), strings.ToUpper(fmt.Sprint(level)), e.GetEvent(), b.String())
	return err
}

// with returns the object with a member, in the place of one of the same name.
func (o object) with(name string, value any) object {
	for i := range o {
		if o[i].name == name {
			o[i].value = value
			return o
		}
	}
	return append(o, member{name, value})
}

// quotedValue returns a value as it stands in a log, in quotes where it would not be seen where it ends.
func quotedValue(s string) string {
	if s == "" || strings.ContainsAny(s, " \"=") || s != printable.Text(s) {
		return strconv.Quote(s)
	}
	return s
}
