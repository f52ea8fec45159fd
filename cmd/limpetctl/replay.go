package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/kbus-limpet/limpet/client"
	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/printable"
	"github.com/kbus-limpet/limpet/kbusdev"
)

// What --replies says.
const (
	repliesWait   = "wait"
	repliesIgnore = "ignore"
)

// A replaying is what limpetctl replay is told.
type replaying struct {
	speed, replies string
	count          int
}

func (o *options) newReplay() *cobra.Command {
	r := replaying{speed: "1", replies: repliesWait}
	cmd := &cobra.Command{
		Use:   "replay FILE [NAME...]",
		Short: "Send anew what limpetctl tap has written to a file",
		Long: `replay sends the messages of a file that limpetctl tap --write has made, or those of these
names or wildcards, at the distances in time that they had. Each was on the bus of the
daemon that was tapped: read from it, or delivered to it; a message that several records
tell of is sent once. Announcements are sent as they were, requests are asked anew, of
whoever replies now; replies, what the bus itself says, and messages whose data is not
whole in the file are skipped. At the end it says how many of each there were.`,
		Example: "  limpetctl replay morning.pcapng\n  limpetctl replay morning.pcapng '$.Weather.*' --speed 10\n  limpetctl replay morning.pcapng --speed max --replies ignore",
		Args:    args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, words []string) error {
			speed, err := parseSpeed(r.speed)
			if err != nil {
				return &usageError{err}
			}
			if r.replies != repliesWait && r.replies != repliesIgnore {
				return &usageError{fmt.Errorf("--replies %q is not %s or %s", r.replies, repliesWait, repliesIgnore)}
			}
			q, err := new(tapping).request(words[1:])
			if err != nil {
				return &usageError{err}
			}
			from, err := readTap(cmd.Context(), words[0], q)
			if err != nil {
				return err
			}
			defer from.close()
			return o.withBus(func(bus *client.Bus) error { return o.replay(cmd, bus, from, speed, &r) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&r.speed, "speed", r.speed, "so many times as fast as it was, as a `NUMBER`; max waits for nothing")
	f.StringVar(&r.replies, "replies", r.replies, "wait for the replies to requests, as long as --timeout after the last of them, or ignore them, as this `WORD` says")
	f.IntVar(&r.count, "count", 0, "stop after `N` messages; 0 goes on")
	if err := cmd.RegisterFlagCompletionFunc("replies", cobra.FixedCompletions([]cobra.Completion{repliesWait, repliesIgnore}, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // there is no such flag
	}
	return cmd
}

// parseSpeed returns how many times as fast; 0 is as fast as can be.
func parseSpeed(word string) (float64, error) {
	if word == "max" {
		return 0, nil
	}
	n, err := strconv.ParseFloat(word, 64)
	if err != nil || !(n >= 1e-6 && n <= 1e6) {
		return 0, fmt.Errorf("--speed %q is not max, or a number between 0.000001 and 1000000", word)
	}
	return n, nil
}

// Why a record is not sent anew.
const (
	skipReply     = "replies"
	skipBus       = "messages of the bus itself"
	skipNotOn     = "never on the bus"
	skipAgain     = "sent already"
	skipForgotten = "without all of their data"
)

// replayed returns the message that a record tells of as it was on the bus that was tapped,
// ready to be sent, and its id there; why says why it is not to be sent.
func replayed(r *pb.TapRecord) (m *kbusdev.Message, id kbusdev.MsgID, why string) {
	on := r.GetRead()
	if r.GetDirection() == pb.TapDirection_TAP_DIRECTION_FROM_PEER {
		on = r.GetGiven()
	}
	flags := kbusdev.Flags(on.GetFlags())
	switch {
	case r.GetKind() == pb.TapKind_TAP_KIND_REPLY:
		return nil, id, skipReply
	case r.GetKind() == pb.TapKind_TAP_KIND_BIND_EVENT || flags&kbusdev.Synthetic != 0:
		return nil, id, skipBus
	case r.GetDirection() == pb.TapDirection_TAP_DIRECTION_FROM_PEER && r.GetVerdict() != pb.TapVerdict_TAP_VERDICT_DELIVERED:
		return nil, id, skipNotOn
	case on == nil: // of the second record, when it was lost later
		return nil, id, skipAgain
	case len(r.GetData()) != int(r.GetSize()):
		return nil, id, skipForgotten
	}
	const kept = kbusdev.Urgent | kbusdev.AllOrWait | kbusdev.AllOrFail | kbusdev.WantReply | kbusdev.UserFlags
	return &kbusdev.Message{Name: on.GetName(), Data: r.GetData(), Flags: flags & kept}, kbusdev.MsgID{Network: on.GetIdNetwork(), Serial: on.GetIdSerial()}, ""
}

// maxSeen bounds the ids that are remembered, so that a message that several links have
// carried is sent once.
const maxSeen = 1 << 16

// seenIDs are the latest ids.
type seenIDs struct {
	ids  map[kbusdev.MsgID]struct{}
	ring []kbusdev.MsgID
	at   int
}

// add notes an id, and reports whether it is new.
func (s *seenIDs) add(id kbusdev.MsgID) bool {
	if _, known := s.ids[id]; known {
		return false
	}
	if s.ids == nil {
		s.ids = make(map[kbusdev.MsgID]struct{})
	}
	if len(s.ring) < maxSeen {
		s.ring = append(s.ring, id)
	} else {
		delete(s.ids, s.ring[s.at])
		s.ring[s.at] = id
		s.at = (s.at + 1) % maxSeen
	}
	s.ids[id] = struct{}{}
	return true
}

// A replay sends the messages of a file.
type replay struct {
	from    *tapReader
	k       *client.Ksock
	speed   float64
	wait    bool
	network uint32 // of the bus that was tapped
	seen    seenIDs
	begun   time.Time // when the first was sent
	first   time.Time // when that was shown

	announced, asked int
	skipped          map[string]int
	refused          int
	why              error // the first refusal

	open openRequests
}

// maxAsked bounds the requests that are open at a time.
const maxAsked = 1024

// openRequests are those that wait for their replies.
type openRequests struct {
	room chan struct{} // has something for each, unless they are ignored

	mu                   sync.Mutex
	answered, unanswered int
}

// done makes room for another request.
func (o *openRequests) done() {
	select {
	case <-o.room:
	default: // they are ignored
	}
}

// replay sends what is to be sent, and says what it did.
func (o *options) replay(cmd *cobra.Command, bus *client.Bus, from *tapReader, speed float64, how *replaying) error {
	ctx := cmd.Context()
	k, err := bus.Ksock(ctx, kbusdev.ReadWrite)
	if err != nil {
		return err
	}
	defer k.Close() //nolint:errcheck // nothing to be done about it
	if err := k.Prefetch(true); err != nil {
		return err
	}
	r := &replay{from: from, k: k, speed: speed, wait: how.replies == repliesWait, skipped: make(map[string]int), open: openRequests{room: make(chan struct{}, maxAsked)}}
	receiving, stop := context.WithCancel(ctx)
	var receiver sync.WaitGroup
	receiver.Go(func() { r.receive(receiving) })
	begun := time.Now()
	err = r.all(ctx, how.count)
	if err == nil && r.wait {
		limited, cancel := o.limited(ctx)
		r.awaitReplies(limited)
		cancel()
	}
	stop()
	receiver.Wait()
	if said := o.sayReplay(cmd.OutOrStdout(), r, time.Since(begun)); err == nil {
		err = said
	}
	if err == nil && r.refused > 0 {
		return fmt.Errorf("the bus has refused %d messages; the first: %w", r.refused, r.why)
	}
	return err
}

// flushEach is how many messages are sent before it is asked which were refused.
const flushEach = 500

// all sends the messages of the file, up to count unless that is 0.
func (r *replay) all(ctx context.Context, count int) error {
	for count == 0 || r.announced+r.asked < count {
		some, err := r.from.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return errors.Join(err, r.flush(ctx))
		}
		if s := some.GetStart(); s != nil {
			r.network = s.GetNetworkId()
		}
		for _, rec := range some.GetRecords() {
			if err := r.one(ctx, rec); err != nil {
				return err
			}
		}
	}
	return r.flush(ctx)
}

// one sends what a record tells of, when its time has come.
func (r *replay) one(ctx context.Context, rec *pb.TapRecord) error {
	m, id, why := replayed(rec)
	if id.Network == 0 {
		id.Network = r.network
	}
	if why == "" && !r.seen.add(id) {
		why = skipAgain
	}
	if why != "" {
		r.skipped[why]++
		return nil
	}
	if err := r.pause(ctx, rec.GetTime().AsTime()); err != nil {
		return err
	}
	if !m.IsRequest() {
		r.announced++
		if err := r.k.Post(ctx, m); err != nil {
			return err
		}
		if r.announced%flushEach == 0 {
			return r.flush(ctx)
		}
		return nil
	}
	if r.wait {
		select {
		case r.open.room <- struct{}{}:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	r.asked++
	_, err := r.k.Send(ctx, m)
	if err != nil {
		r.open.done()
	}
	return r.refusal(ctx, err)
}

// pause waits until it is time for a message that was shown at this time.
func (r *replay) pause(ctx context.Context, at time.Time) error {
	if r.first.IsZero() {
		r.begun, r.first = time.Now(), at
	}
	if r.speed == 0 {
		return ctx.Err()
	}
	wait := time.Until(r.begun.Add(time.Duration(float64(at.Sub(r.first)) / r.speed)))
	if wait <= 0 {
		return ctx.Err()
	}
	select {
	case <-time.After(wait):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// flush waits until the bus has taken or refused everything.
func (r *replay) flush(ctx context.Context) error {
	err := r.k.Flush(ctx)
	var all interface{ Unwrap() []error }
	if errors.As(err, &all) {
		for _, one := range all.Unwrap() {
			if err := r.refusal(ctx, one); err != nil {
				return err
			}
		}
		return nil
	}
	return r.refusal(ctx, err)
}

// refusal counts what the bus has refused, and returns any other error.
func (r *replay) refusal(ctx context.Context, err error) error {
	if _, refused := kbusdev.ErrnoOf(err); err == nil || !refused || ctx.Err() != nil {
		return err
	}
	if r.refused++; r.why == nil {
		r.why = err
	}
	return nil
}

// receive takes the replies until ctx ends, or the Ksock is over.
func (r *replay) receive(ctx context.Context) {
	for {
		m, err := r.k.Recv(ctx)
		if err != nil {
			return
		}
		if !m.IsReply() {
			continue
		}
		r.open.done()
		r.open.mu.Lock()
		if outcome, _ := kbusdev.OutcomeOf(m); outcome == kbusdev.Answered {
			r.open.answered++
		} else {
			r.open.unanswered++
		}
		r.open.mu.Unlock()
	}
}

// awaitReplies waits until no request is open, or ctx ends.
func (r *replay) awaitReplies(ctx context.Context) {
	for range maxAsked { // when all room can be had, none is open
		select {
		case r.open.room <- struct{}{}:
		case <-ctx.Done():
			return
		}
	}
}

// sayReplay says what was sent, and what was not.
func (o *options) sayReplay(w io.Writer, r *replay, took time.Duration) error {
	skipped := 0
	var words []string
	for _, why := range slices.Sorted(maps.Keys(r.skipped)) {
		skipped += r.skipped[why]
		words = append(words, fmt.Sprintf("%d %s", r.skipped[why], why))
	}
	if o.json {
		return o.printJSON(w, object{
			{"announcements", r.announced}, {"requests", r.asked}, {"answered", r.open.answered}, {"unanswered", r.open.unanswered},
			{"refused", r.refused}, {"skipped", skipped}, {"skipped_by_reason", r.skipped}, {"time_seconds", took.Seconds()},
		})
	}
	if _, err := printable.Fprintf(w, "sent %d announcements and %d requests in %.3f s; %d requests answered, %d told why not; %d refused by the bus\n",
		r.announced, r.asked, took.Seconds(), r.open.answered, r.open.unanswered, r.refused); err != nil {
		return err
	}
	if skipped == 0 {
		return nil
	}
	_, err := printable.Fprintf(w, "skipped %d: %s\n", skipped, strings.Join(words, ", "))
	return err
}
