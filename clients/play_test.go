package clients

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/client"
	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev"
)

// A play is one story that is being played.
type play struct {
	t       *testing.T
	ctx     context.Context
	world   world
	prefix  string
	closing []func()              // last first
	started map[string]chan error // steps that go on beside others

	mu     sync.Mutex
	things map[string]any // *client.Ksock, *client.Caller, *client.Listener, *client.Replier, watch
	cables map[string]*cable
	labels map[string]*kbusdev.Message
}

// A watch returns the names that are gone, and those that are here.
type watch func() (gone, here []string, err error)

func newPlay(t *testing.T, w world, number int) *play {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return &play{
		t: t, ctx: ctx, world: w, prefix: fmt.Sprintf("$.S%d.", number), started: make(map[string]chan error),
		things: make(map[string]any), cables: make(map[string]*cable), labels: make(map[string]*kbusdev.Message),
	}
}

func (p *play) end() {
	for _, c := range p.cables {
		c.mend()
	}
	for _, f := range slices.Backward(p.closing) {
		f()
	}
	for _, c := range p.cables {
		c.close()
	}
}

// step does a step, or starts it.
func (p *play) step(s step) error {
	p.rename(&s)
	if s.Do == "finish" {
		err := <-p.started[s.What]
		delete(p.started, s.What)
		return err
	}
	if s.Start == "" {
		return p.refused(s)
	}
	ended := make(chan error, 1)
	p.started[s.Start] = ended
	go func() { ended <- p.refused(s) }()
	return nil
}

// rename puts the story's own names in the place of those in the step.
func (p *play) rename(s *step) {
	own := func(name *string) {
		if rest, ok := strings.CutPrefix(*name, "$."); ok && !strings.HasPrefix(rest, "KBUS.") {
			*name = p.prefix + rest
		}
	}
	own(&s.Name)
	for _, list := range [][]string{s.Names, s.Here, s.Gone} {
		for i := range list {
			own(&list[i])
		}
	}
	for _, name := range []*string{s.Bound, s.Unbound} {
		if name != nil {
			own(name)
		}
	}
	if want, ok := s.Want.(string); ok {
		own(&want)
		s.Want = want
	}
	if s.NameLength > 0 {
		s.Name = (p.prefix + strings.Repeat("x", s.NameLength))[:s.NameLength]
	}
}

// refused does a step, and compares the errno with which the bus refuses it.
func (p *play) refused(s step) error {
	err := p.do(s)
	if s.Do == "call" { // it has compared the errno itself
		return err
	}
	errno, ok := kbusdev.ErrnoOf(err)
	switch {
	case err == nil && s.Errno != "":
		return fmt.Errorf("it is not refused with %s", s.Errno)
	case s.Errno == "", err == nil:
		return err
	case !ok || kbusdev.ErrnoName(errno) != s.Errno:
		return fmt.Errorf("it is refused with %w, want %s", err, s.Errno)
	}
	return nil
}

func thing[T any](p *play, name string) T {
	p.mu.Lock()
	defer p.mu.Unlock()
	x, ok := p.things[name].(T)
	if !ok {
		p.t.Errorf("%s is a %T, which cannot do that", name, p.things[name])
	}
	return x
}

func (p *play) keep(name string, x any, closing func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.things[name] = x
	p.closing = append(p.closing, closing)
}

func (p *play) label(name string) *kbusdev.Message {
	p.mu.Lock()
	defer p.mu.Unlock()
	return cmp.Or(p.labels[name], new(kbusdev.Message))
}

func (p *play) remember(name string, m *kbusdev.Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.labels[name] = m
}

// bus opens the bus of a daemon, over a cable if that is to be cut.
func (p *play) bus(s *step) (*client.Bus, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	address := p.world[s.At].api
	if s.Cuttable {
		c := newCable(p.t, address+"."+s.By, address)
		p.cables[s.By] = c
		address = c.path
	}
	bus, err := client.Open(address)
	if err == nil {
		p.closing = append(p.closing, func() { _ = bus.Close() })
	}
	return bus, err
}

func (p *play) do(s step) error {
	switch s.Do {
	case "open", "caller", "listen", "serve", "watch":
		bus, err := p.bus(&s)
		if err != nil {
			return err
		}
		return p.open(bus, &s)
	case "find", "bindings":
		bus, err := p.bus(&s)
		if err != nil {
			return err
		}
		return p.look(bus, &s)
	case "close":
		switch x := thing[any](p, s.By).(type) {
		case *client.Ksock:
			return x.Close()
		case *client.Caller:
			return x.Close()
		case interface{ Close() }:
			x.Close()
			return nil
		}
	case "bind":
		return thing[*client.Ksock](p, s.By).Bind(s.Name, role(s.As))
	case "unbind":
		return thing[*client.Ksock](p, s.By).Unbind(s.Name, role(s.As))
	case "announce", "request", "post":
		return p.send(&s)
	case "reply":
		return p.reply(&s)
	case "flush":
		return p.flush(&s)
	case "recv":
		return p.recv(&s)
	case "call":
		return p.call(&s)
	case "ask":
		return p.ask(&s)
	case "set":
		return p.set(&s)
	case "told":
		return p.told(&s)
	case "cut":
		p.cables[s.By].cut(s.Away)
		return nil
	case "mend":
		p.cables[s.By].mend()
		return nil
	case "kill":
		p.world[s.At].end(syscall.SIGKILL)
		return nil
	case "stop":
		p.world[s.At].end(syscall.SIGTERM)
		return nil
	case "start":
		if err := p.world[s.At].start(p.ctx); err != nil {
			return err
		}
		return p.world.waitLinked(p.ctx)
	case "lost":
		_, err := thing[*client.Ksock](p, s.By).Recv(p.ctx)
		if !errors.Is(err, net.ErrClosed) || !strings.Contains(err.Error(), "session") {
			return fmt.Errorf("it says %w", err)
		}
		return nil
	}
	return fmt.Errorf("%s: %w", s.Do, errFailed)
}

func role(as string) kbusdev.Role { return as == "replier" }

func (p *play) open(bus *client.Bus, s *step) error {
	switch s.Do {
	case "open":
		mode := map[string]kbusdev.Mode{"": kbusdev.ReadWrite, "both": kbusdev.ReadWrite, "read": kbusdev.ReadOnly, "write": kbusdev.WriteOnly}[s.Mode]
		k, err := bus.Ksock(p.ctx, mode)
		if err != nil {
			return err
		}
		p.keep(s.By, k, func() { _ = k.Close() })
	case "caller":
		c := bus.Caller()
		p.keep(s.By, c, func() { _ = c.Close() })
	case "listen":
		l, err := bus.Listen(p.ctx, client.ListenConfig{Names: s.Names, MaxMessages: s.MaxMessages, OnlyOnce: s.OnlyOnce})
		if err != nil {
			return err
		}
		p.keep(s.By, l, l.Close)
	case "serve":
		r, err := bus.Serve(p.ctx, 0, s.Names...)
		if err != nil {
			return err
		}
		p.keep(s.By, r, r.Close)
	case "watch":
		w, stop, err := p.watch(bus, s)
		if err != nil {
			return err
		}
		p.keep(s.By, w, stop)
	}
	return nil
}

func (p *play) watch(bus *client.Bus, s *step) (watch, func(), error) {
	switch s.What {
	case "bindings":
		w, err := bus.WatchBindings(p.ctx, s.Name)
		return watching(w, func(b kbusdev.Binding) string { return b.Name }), w.Close, err
	case "repliers":
		w, err := bus.WatchRepliers(p.ctx, s.Name)
		return watching(w, func(b client.ReplierBinding) string { return b.Name }), w.Close, err
	default:
		w, err := bus.WatchLinks(p.ctx, s.Name)
		return watching(w, (*pb.LinkStatus).GetName), w.Close, err
	}
}

func watching[T any](w *client.Watch[T], name func(T) string) watch {
	names := func(all []T) (out []string) {
		for _, x := range all {
			out = append(out, name(x))
		}
		return out
	}
	return func() (gone, here []string, err error) {
		c, err := w.Recv()
		return names(c.Gone), names(c.Here), err
	}
}

func (p *play) told(s *step) error {
	next := thing[watch](p, s.By)
	for len(s.Gone)+len(s.Here) > 0 {
		gone, here, err := next()
		if err != nil {
			return err
		}
		s.Gone = slices.DeleteFunc(s.Gone, func(name string) bool { return slices.Contains(gone, name) })
		s.Here = slices.DeleteFunc(s.Here, func(name string) bool { return slices.Contains(here, name) })
	}
	return nil
}

func (p *play) look(bus *client.Bus, s *step) error {
	if s.Do == "bindings" {
		all, err := bus.Bindings(p.ctx)
		if err != nil {
			return err
		}
		var names []string
		for _, b := range all {
			if strings.HasPrefix(b.Name, p.prefix) {
				names = append(names, b.Name)
			}
		}
		slices.Sort(names)
		slices.Sort(s.Names)
		if !slices.Equal(names, s.Names) {
			return fmt.Errorf("%v is bound, want %v", names, s.Names)
		}
		return nil
	}
	want, _ := s.Want.(string)
	return until(s.Until, func() error {
		_, binding, _, err := bus.FindReplier(p.ctx, s.Name)
		return cmp.Or(err, equal("the replier's name", binding, &want))
	})
}

// until does f, again and again until it is right if that is asked for.
func until(again bool, f func() error) error {
	for end := time.Now().Add(patience); ; {
		if err := f(); err == nil || !again || time.Now().After(end) {
			return err
		}
	}
}

var flags = map[string]kbusdev.Flags{"urgent": kbusdev.Urgent, "all_or_fail": kbusdev.AllOrFail, "all_or_wait": kbusdev.AllOrWait}

// message returns what a step sends.
func (p *play) message(s *step) *kbusdev.Message {
	m := &kbusdev.Message{Name: s.Name}
	for _, f := range s.Flags {
		m.Flags |= flags[f]
	}
	if s.UserFlags != nil {
		m.Flags |= kbusdev.Flags(*s.UserFlags << 16)
	}
	if s.Data != nil {
		m.Data = []byte(*s.Data)
	}
	if s.Size != nil {
		m.Data = bytes.Repeat([]byte("x"), *s.Size)
	}
	if reply := p.label(s.Replier); s.Replier != "" {
		m.To, m.FinalTo = reply.From, reply.OrigFrom
	}
	return m
}

func (p *play) send(s *step) error {
	k, m := thing[*client.Ksock](p, s.By), p.message(s)
	if s.Do == "request" {
		m.Flags |= kbusdev.WantReply
		if s.DeadlineMs > 0 {
			m.Expires = time.Now().Add(time.Duration(s.DeadlineMs) * time.Millisecond)
		}
	}
	for i := range max(s.Times, 1) {
		if s.Times > 0 {
			m.Data = strconv.AppendInt(nil, int64(i+1), 10)
		}
		if s.Do == "post" {
			if err := k.Post(p.ctx, m); err != nil {
				return err
			}
			continue
		}
		ctx, cancel := p.within(s)
		id, err := k.Send(ctx, m)
		cancel()
		if err != nil {
			return err
		}
		p.remember(s.As, &kbusdev.Message{ID: id})
	}
	return nil
}

func (p *play) within(s *step) (context.Context, context.CancelFunc) {
	if s.TimeoutMs == 0 {
		return context.WithCancel(context.WithoutCancel(p.ctx)) // without a deadline
	}
	return context.WithTimeout(p.ctx, time.Duration(s.TimeoutMs)*time.Millisecond)
}

func (p *play) reply(s *step) error {
	q, m := p.label(s.To), p.message(s)
	if r, ok := thing[any](p, s.By).(*client.Replier); ok {
		return r.Reply(q, "", m.Data)
	}
	m.Name, m.To, m.InReplyTo = q.Name, q.From, q.ID
	_, err := thing[*client.Ksock](p, s.By).Send(p.ctx, m)
	return err
}

func (p *play) flush(s *step) error {
	err := thing[*client.Ksock](p, s.By).Flush(p.ctx)
	var got []string
	if all, ok := err.(interface{ Unwrap() []error }); ok { // it is the outermost
		for _, e := range all.Unwrap() {
			errno, _ := kbusdev.ErrnoOf(e)
			got = append(got, kbusdev.ErrnoName(errno))
		}
	}
	if !slices.Equal(got, s.Refused) {
		return fmt.Errorf("%v is refused, want %v", got, s.Refused)
	}
	return nil
}

func (p *play) recv(s *step) error {
	if s.Nothing {
		ended, cancel := context.WithCancel(p.ctx)
		cancel()
		m, err := thing[*client.Ksock](p, s.By).Recv(ended)
		if !errors.Is(err, context.Canceled) {
			return fmt.Errorf("there is %v, %w", m, err)
		}
		return nil
	}
	for i := range max(s.Times, 1) {
		var m *kbusdev.Message
		var err error
		switch x := thing[any](p, s.By).(type) {
		case *client.Ksock:
			m, err = x.Recv(p.ctx)
		case interface {
			Recv() (*kbusdev.Message, error)
		}:
			m, err = x.Recv()
		}
		if err != nil {
			return err
		}
		if s.Times > 0 {
			n := strconv.Itoa(i + 1)
			s.Data = &n
		}
		if err := p.compare(m, s); err != nil {
			return err
		}
		p.remember(s.As, m)
	}
	return nil
}

func (p *play) compare(m *kbusdev.Message, s *step) error {
	var all []error
	if s.Name != "" {
		all = append(all, equal("name", m.Name, &s.Name))
	}
	if s.Answers != "" {
		all = append(all, equal("what it answers", m.InReplyTo, &p.label(s.Answers).ID))
	}
	if s.Sender != nil {
		all = append(all, equal("the sender", m.From, ptr(thing[*client.Ksock](p, *s.Sender).ID())))
	}
	for _, f := range s.Flags {
		all = append(all, equal(f, m.Flags&flags[f] != 0, ptr(true)))
	}
	outcome, reason := kbusdev.OutcomeOf(m)
	if !m.IsReply() {
		outcome, reason = kbusdev.Answered, ""
	}
	bound, unbound := "", ""
	if m.Event != nil && m.Event.Bound {
		bound = m.Event.Name
	} else if m.Event != nil {
		unbound = m.Event.Name
	}
	return errors.Join(append(all,
		equal("data", string(m.Data), s.Data), equal("size", len(m.Data), s.Size), equal("kind", m.Kind(), s.Kind),
		equal("ours", m.WantsUsToReply(), s.Ours), equal("far", !m.OrigFrom.IsZero(), s.Far),
		equal("user_flags", uint32(m.Flags)>>16, s.UserFlags), equal("deadline", !m.Expires.IsZero(), s.Deadline),
		equal("outcome", outcome.String(), s.Outcome), equal("reason", reason, s.Reason),
		equal("bound", bound, s.Bound), equal("unbound", unbound, s.Unbound))...)
}

func ptr[T any](x T) *T { return &x }

func (p *play) call(s *step) error {
	ctx, cancel := p.within(s)
	defer cancel()
	reply, err := thing[*client.Caller](p, s.By).Call(ctx, p.message(s))
	outcome := cmp.Or(s.Outcome, ptr(kbusdev.Answered.String()))
	var none *client.NoAnswerError
	switch {
	case err == nil:
		p.remember(s.As, reply)
		return errors.Join(equal("the outcome", kbusdev.Answered.String(), outcome), equal("the answer", string(reply.Data), s.Answer))
	case !errors.As(err, &none):
		return err
	}
	got := equal("the outcome", none.Outcome.String(), outcome)
	if slices.Contains(s.Outcomes, none.Outcome.String()) {
		got = nil
	}
	if s.Errno != "" {
		errno, _ := kbusdev.ErrnoOf(err)
		got = errors.Join(got, equal("errno", kbusdev.ErrnoName(errno), &s.Errno))
	}
	return errors.Join(got, equal("the reason", none.Reason, s.Reason))
}

func (p *play) ask(s *step) error {
	k := thing[*client.Ksock](p, s.By)
	want, _ := s.Want.(int)
	return until(s.Until, func() (err error) {
		var got int
		switch s.What {
		case "num_messages":
			got, err = k.NumMessages()
		case "unreplied":
			got, err = k.Unreplied()
		case "missed":
			got = int(k.Missed())
		case "max_messages":
			var n uint32
			n, err = k.MaxMessages(0)
			got = int(n)
		case "only_once":
			var was kbusdev.Switch
			was, err = k.OnlyOnce(kbusdev.Ask)
			got = int(was)
		default:
			err = errFailed
		}
		return cmp.Or(err, equal(s.What, got, &want))
	})
}

func (p *play) set(s *step) (err error) {
	k := thing[*client.Ksock](p, s.By)
	switch s.What {
	case "max_messages":
		_, err = k.MaxMessages(s.Value)
	case "only_once":
		_, err = k.OnlyOnce(kbusdev.Switch(s.Value))
	case "report_replier_binds":
		_, err = k.ReportReplierBinds(kbusdev.Switch(s.Value))
	case "prefetch":
		err = k.Prefetch(s.Value != 0)
	default:
		err = errFailed
	}
	return err
}
