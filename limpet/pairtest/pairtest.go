// Package pairtest replays the recordings of two buses joined by two real
// limpets. Whatever joins the buses, the programs on both must see the same, up
// to a consistent renaming of serial numbers and Ksock ids.
package pairtest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/bustest"
)

// A Story is a recorded sequence of steps on two joined buses.
type Story struct {
	Name       string            `json:"name"`
	NetworkIDs map[string]uint32 `json:"network_ids"`
	Used       map[string]int    `json:"serials_used_before"`
	Steps      []Step            `json:"steps"`
}

// A Step is what a program does on one side.
type Step struct {
	Op      string           `json:"op"`
	K       int              `json:"k"`
	Side    string           `json:"side"`
	Mode    string           `json:"mode"`
	Name    string           `json:"name"`
	Replier bool             `json:"replier"`
	Msg     *bustest.Message `json:"msg"`
	Want    Want             `json:"want"`
}

// A Want is what the step answered when it was recorded.
type Want struct {
	ID   json.RawMessage    `json:"id"`
	Err  string             `json:"err"`
	At   string             `json:"at"`
	Msgs []*bustest.Message `json:"msgs"`
}

// A Pair is two buses and what joins them.
type Pair struct {
	// Buses by side, "a" and "b". They are fresh when the limpets start on them.
	Buses map[string]kbusdev.Bus
	// Settle returns when both limpets have nothing left to do.
	Settle func()
}

// An Option changes what Replay plays.
type Option func(*selection)

type selection struct{ step int }

// OneIn has only every n-th story played, the first included. n is at least 1.
func OneIn(n int) Option { return func(s *selection) { s.step = n } }

// Replay plays the stories of the recordings in files, all of them unless an
// option says otherwise. newPair gives a joined pair of fresh buses for the
// network ids of a story, and sees to its end; it may call t.Parallel.
func Replay(t *testing.T, files []string, newPair func(t *testing.T, networkIDs map[string]uint32) *Pair, opts ...Option) {
	t.Helper()
	chosen := selection{step: 1}
	for _, o := range opts {
		o(&chosen)
	}
	var total, same atomic.Int64
	t.Cleanup(func() { t.Logf("pair stories: %d/%d", same.Load(), total.Load()) })
	for _, file := range files {
		for i, s := range bustest.Load[Story](t, file) {
			if i%chosen.step != 0 {
				continue
			}
			total.Add(1)
			t.Run(s.Name, func(t *testing.T) {
				Play(t, &s, newPair(t, s.NetworkIDs))
				same.Add(1)
			})
		}
	}
}

type player struct {
	t      *testing.T
	pair   *Pair
	ksocks map[int]kbusdev.Ksock
	sides  map[int]string
	nets   map[uint32]string // side by network id
	// What a recording calls a serial or a Ksock, by side, and what it is here.
	serials map[string]*renaming
	locals  map[string]*renaming
}

// A renaming is one to one.
type renaming struct{ to, from map[uint32]uint32 }

func newRenaming() *renaming { return &renaming{map[uint32]uint32{}, map[uint32]uint32{}} }

func (r *renaming) equal(recorded, here uint32) bool {
	if recorded == 0 || here == 0 {
		return recorded == here
	}
	to, known := r.to[recorded]
	from, used := r.from[here]
	if !known && !used {
		r.to[recorded], r.from[here] = here, recorded
		return true
	}
	return known && used && to == here && from == recorded
}

// Play plays one story.
func Play(t *testing.T, s *Story, pair *Pair) {
	t.Helper()
	p := &player{
		t: t, pair: pair,
		ksocks:  make(map[int]kbusdev.Ksock),
		sides:   make(map[int]string),
		nets:    make(map[uint32]string),
		serials: map[string]*renaming{"a": newRenaming(), "b": newRenaming()},
		locals:  map[string]*renaming{"a": newRenaming(), "b": newRenaming()},
	}
	for side, id := range s.NetworkIDs {
		p.nets[id] = side
	}
	defer func() {
		for _, k := range p.ksocks {
			_ = k.Close()
		}
	}()
	p.pair.Settle()
	for i := range s.Steps {
		step := &s.Steps[i]
		if err := p.step(step); err != nil {
			raw, _ := json.Marshal(step)
			t.Fatalf("step %d: %.800s\n%v", i, raw, err)
		}
	}
}

func (p *player) step(s *Step) error {
	if s.Op != "drain" && s.Op != "replier" {
		defer p.pair.Settle()
	}
	k, side := p.ksocks[s.K], p.sides[s.K]
	if k == nil && s.Op != "open" {
		return errors.New("no such ksock in the story")
	}
	switch s.Op {
	case "open":
		k, err := p.pair.Buses[s.Side].Open(map[string]kbusdev.Mode{"r": kbusdev.ReadOnly, "w": kbusdev.WriteOnly, "rw": kbusdev.ReadWrite}[s.Mode])
		if err != nil {
			return err
		}
		p.ksocks[s.K], p.sides[s.K] = k, s.Side
		var want uint32
		if err := json.Unmarshal(s.Want.ID, &want); err != nil {
			return err
		}
		if !p.locals[s.Side].equal(want, uint32(k.ID())) {
			return fmt.Errorf("ksock id %d does not fit %d", k.ID(), want)
		}
		return nil
	case "close":
		delete(p.ksocks, s.K)
		return same(k.Close(), s.Want.Err)
	case "bind":
		return same(k.Bind(s.Name, kbusdev.Role(s.Replier)), s.Want.Err)
	case "unbind":
		return same(k.Unbind(s.Name, kbusdev.Role(s.Replier)), s.Want.Err)
	case "replier":
		id, _, err := k.Replier(s.Name)
		if err != nil || s.Want.Err != "" {
			return same(err, s.Want.Err)
		}
		var want uint32
		if err := json.Unmarshal(s.Want.ID, &want); err != nil {
			return err
		}
		if !p.locals[side].equal(want, uint32(id)) {
			return fmt.Errorf("replier %d does not fit %d", id, want)
		}
		return nil
	case "send":
		return p.send(k, side, s)
	case "drain":
		return p.drain(k, side, s)
	default:
		return fmt.Errorf("no such step: %s", s.Op)
	}
}

func same(err error, want string) error {
	got := ""
	if errno, ok := kbusdev.ErrnoOf(err); ok {
		got = kbusdev.ErrnoName(errno)
	} else if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("error %q, want %q", got, want)
	}
	return nil
}

// send renames what the recorded message refers to.
func (p *player) send(k kbusdev.Ksock, side string, s *Step) error {
	m := s.Msg.KBUS()
	m.InReplyTo = p.hereID(side, m.InReplyTo)
	m.ID = p.hereID(side, m.ID)
	m.To = kbusdev.KsockID(p.here(p.locals[side], uint32(m.To)))
	m.FinalTo.Local = kbusdev.KsockID(p.here(p.locals[p.sideOf(side, m.FinalTo.Network)], uint32(m.FinalTo.Local)))
	m.OrigFrom.Local = kbusdev.KsockID(p.here(p.locals[p.sideOf(side, m.OrigFrom.Network)], uint32(m.OrigFrom.Local)))
	id, err := k.Send(context.Background(), m)
	var op *kbusdev.OpError
	if errors.As(err, &op) && op.Op != s.Want.At {
		return fmt.Errorf("%w at %s, want %s", err, op.Op, s.Want.At)
	}
	if err != nil || s.Want.Err != "" {
		return same(err, s.Want.Err)
	}
	var want [2]uint32
	if err := json.Unmarshal(s.Want.ID, &want); err != nil {
		return err
	}
	if !p.sameID(side, want, id) {
		return fmt.Errorf("id %v does not fit %v", id, want)
	}
	return nil
}

func (p *player) sideOf(side string, network uint32) string {
	if s, ok := p.nets[network]; ok {
		return s
	}
	return side
}

func (p *player) here(r *renaming, recorded uint32) uint32 {
	if to, ok := r.to[recorded]; ok {
		return to
	}
	return recorded
}

func (p *player) hereID(side string, id kbusdev.MsgID) kbusdev.MsgID {
	if id.Network != 0 && p.nets[id.Network] == "" {
		return id // another network's: nothing here was renamed
	}
	id.Serial = p.here(p.serials[p.sideOf(side, id.Network)], id.Serial)
	return id
}

func (p *player) sameID(side string, want [2]uint32, got kbusdev.MsgID) bool {
	if want[0] != got.Network {
		return false
	}
	if want[0] != 0 && p.nets[want[0]] == "" {
		return want[1] == got.Serial
	}
	return p.serials[p.sideOf(side, want[0])].equal(want[1], got.Serial)
}

func (p *player) drain(k kbusdev.Ksock, side string, s *Step) error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // only what is there
	var got []*kbusdev.Message
	for {
		m, err := k.Recv(ctx)
		if errors.Is(err, context.Canceled) {
			break
		}
		if err != nil {
			return err
		}
		got = append(got, m)
	}
	if len(got) != len(s.Want.Msgs) {
		return fmt.Errorf("%d messages, want %d: %+v", len(got), len(s.Want.Msgs), got)
	}
	for i, m := range got {
		if err := p.sameMessage(side, s.Want.Msgs[i], m); err != nil {
			return fmt.Errorf("message %d: %w\n got %+v\nwant %+v", i, err, m, s.Want.Msgs[i])
		}
	}
	return nil
}

func (p *player) sameMessage(side string, want *bustest.Message, got *kbusdev.Message) error {
	local := func(network, want uint32, got kbusdev.KsockID) bool {
		return p.locals[p.sideOf(side, network)].equal(want, uint32(got))
	}
	data := string(want.Data) == string(got.Data)
	if g := got.Event; g != nil {
		w, err := kbusdev.ParseBindEvent(want.Data, kbusdev.LittleEndian64.Order)
		data = err == nil && w.Bound == g.Bound && w.Name == g.Name && local(0, uint32(w.Binder), g.Binder)
	}
	switch {
	case want.Name != got.Name:
		return errors.New("name")
	case !data:
		return errors.New("data")
	case want.Flags != uint32(got.Flags):
		return errors.New("flags")
	case !p.sameID(side, want.ID, got.ID):
		return errors.New("id")
	case !p.sameID(side, want.InReplyTo, got.InReplyTo):
		return errors.New("in_reply_to")
	case !local(0, want.To, got.To):
		return errors.New("to")
	case !local(0, want.From, got.From):
		return errors.New("from")
	case want.OrigFrom[0] != got.OrigFrom.Network || !local(want.OrigFrom[0], want.OrigFrom[1], got.OrigFrom.Local):
		return errors.New("orig_from")
	case want.FinalTo[0] != got.FinalTo.Network || !local(want.FinalTo[0], want.FinalTo[1], got.FinalTo.Local):
		return errors.New("final_to")
	}
	return nil
}
