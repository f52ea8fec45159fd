package bustest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// A Story is a recorded sequence of steps on a fresh device.
type Story struct {
	Name  string `json:"name"`
	Steps []Step `json:"steps"`
}

// A Step is one operation on Ksock K, and what the module answered.
type Step struct {
	Op      string          `json:"op"`
	K       int             `json:"k"`
	Mode    string          `json:"mode"`
	N       uint32          `json:"n"`
	Name    string          `json:"name"`
	Replier bool            `json:"replier"`
	Msg     *Message        `json:"msg"`
	Data    Hex             `json:"data"`
	Want    json.RawMessage `json:"want"`
}

// An answer is what a step gives, with the fields that a recording's want has.
type answer struct {
	Err  string   `json:"err,omitempty"`
	At   string   `json:"at,omitempty"`
	ID   any      `json:"id,omitempty"`
	N    *uint32  `json:"n,omitempty"`
	Len  *int     `json:"len,omitempty"`
	Left *int     `json:"left,omitempty"`
	Msg  *Message `json:"msg,omitempty"`
	Data *Hex     `json:"data,omitempty"`
	In   *bool    `json:"in,omitempty"`
	Out  *bool    `json:"out,omitempty"`
}

// A Runner runs one step's function; the default calls it. A runner that uses
// another goroutine for each Ksock must wait for the function to return.
type Runner func(ksock int, step func())

// An Option changes how stories are replayed.
type Option func(*player)

// Whole uses Send and Recv for whole messages instead of the device's own steps,
// wherever a story does not need those: not for sends that may stay pending.
func Whole() Option { return func(p *player) { p.whole = true } }

// On gives a Runner to each story; the function it returns is called at its end.
func On(newRunner func() (Runner, func())) Option {
	return func(p *player) { p.newRunner = newRunner }
}

// OneIn has only every n-th story played, the first included. n is at least 1.
func OneIn(n int) Option { return func(p *player) { p.step = n } }

type player struct {
	step      int
	whole     bool
	oneBus    bool
	newRunner func() (Runner, func())
	bus       kbusdev.Bus
	ksocks    map[int]kbusdev.Ksock
}

// Replay plays the stories of the recordings in files, all of them unless an option
// says otherwise, each on a bus of its own (which must use kbusdev.LittleEndian64), and
// reports how many there were.
func Replay(t *testing.T, files []string, newBus func(t testing.TB) kbusdev.Bus, opts ...Option) {
	t.Helper()
	chosen := player{step: 1}
	for _, o := range opts {
		o(&chosen)
	}
	seen, total, same := 0, 0, 0
	for _, file := range files {
		for _, s := range Load[Story](t, file) {
			if seen++; (seen-1)%chosen.step != 0 {
				continue
			}
			total++
			if t.Run(s.Name, func(t *testing.T) { replayStory(t, s, newBus(t), opts) }) {
				same++
			}
		}
	}
	t.Logf("bus stories: %d/%d", same, total)
}

func replayStory(t *testing.T, s Story, bus kbusdev.Bus, opts []Option) {
	p := &player{bus: bus, ksocks: make(map[int]kbusdev.Ksock)}
	for _, o := range opts {
		o(p)
	}
	if p.oneBus {
		b, err := baseOf(bus)
		if err == nil {
			s, err = rebase(s, b)
		}
		if err != nil {
			t.Fatalf("moving the story: %v", err)
		}
	}
	run, done := Runner(func(_ int, step func()) { step() }), func() {}
	if p.newRunner != nil {
		run, done = p.newRunner()
	}
	defer done()
	defer func() {
		for _, k := range p.ksocks {
			_ = k.Close()
		}
	}()
	for i, step := range s.Steps {
		var got answer
		run(step.K, func() { got = p.play(&step) })
		if err := same(got, step.Want); err != nil {
			raw, _ := json.Marshal(step)
			t.Fatalf("step %d: %.600s\n%v", i, raw, err)
		}
	}
}

// same compares an answer with a want through JSON, so that absent is zero.
func same(got answer, want json.RawMessage) error {
	var w answer
	if err := json.Unmarshal(want, &w); err != nil {
		return fmt.Errorf("reading want: %w", err)
	}
	a, _ := json.Marshal(got)
	b, _ := json.Marshal(w)
	if string(a) != string(b) {
		return fmt.Errorf(" got %.600s\nwant %.600s", a, b)
	}
	return nil
}

func (p *player) play(s *Step) answer {
	k := p.ksocks[s.K]
	if k == nil && s.Op != "open" {
		return answer{Err: "no such ksock in the story"}
	}
	switch s.Op {
	case "open":
		mode, ok := map[string]kbusdev.Mode{"r": kbusdev.ReadOnly, "w": kbusdev.WriteOnly, "rw": kbusdev.ReadWrite}[s.Mode]
		if !ok {
			return answer{Err: "no such mode: " + s.Mode}
		}
		k, err := p.bus.Open(mode)
		if err != nil {
			return failed(err)
		}
		p.ksocks[s.K] = k
		return answer{ID: uint32(k.ID())}
	case "close":
		delete(p.ksocks, s.K)
		return failed(k.Close())
	case "bind":
		return failed(k.Bind(s.Name, kbusdev.Role(s.Replier)))
	case "unbind":
		return failed(k.Unbind(s.Name, kbusdev.Role(s.Replier)))
	case "replier":
		id, _, err := k.Replier(s.Name)
		return orFailed(answer{ID: uint32(id)}, err)
	case "send":
		return p.send(k, s.Msg.KBUS())
	case "write":
		n, err := k.Write(s.Data)
		return orFailed(number(n), err)
	case "commit":
		id, err := k.Commit()
		return orFailed(answer{ID: pair(id)}, err)
	case "discard":
		return failed(k.Discard())
	case "recv":
		return p.recv(k)
	case "next":
		n, err := k.Next()
		return orFailed(answer{Len: &n}, err)
	case "read":
		b := make(Hex, s.N)
		n, err := k.Read(b)
		b = b[:n]
		return orFailed(answer{Data: &b}, err)
	case "lenleft":
		n, err := k.LenLeft()
		return orFailed(number(n), err)
	case "lastsent":
		id, err := k.LastSent()
		return orFailed(answer{ID: pair(id)}, err)
	case "nummsgs":
		n, err := k.NumMessages()
		return orFailed(number(n), err)
	case "unreplied":
		n, err := k.Unreplied()
		return orFailed(number(n), err)
	case "maxmsgs":
		n, err := k.MaxMessages(s.N)
		return orFailed(number(n), err)
	case "maxsize":
		n, err := k.MaxMessageSize(s.N)
		return orFailed(number(n), err)
	case "once":
		n, err := k.OnlyOnce(kbusdev.Switch(s.N))
		return orFailed(number(n), err)
	case "reportbinds":
		n, err := k.ReportReplierBinds(kbusdev.Switch(s.N))
		return orFailed(number(n), err)
	case "poll":
		r, err := k.Poll()
		return orFailed(answer{In: &r.In, Out: &r.Out}, err)
	default:
		return answer{Err: "no such step: " + s.Op}
	}
}

func (p *player) send(k kbusdev.Ksock, m *kbusdev.Message) answer {
	if p.whole && m.Flags&kbusdev.AllOrWait == 0 {
		id, err := k.Send(context.Background(), m)
		var op *kbusdev.OpError
		if errors.As(err, &op) {
			a := failed(err)
			a.At = op.Op
			return a
		}
		return orFailed(answer{ID: pair(id)}, err)
	}
	if _, err := k.Write(kbusdev.AppendEntire(nil, kbusdev.LittleEndian64, m)); err != nil {
		a := failed(err)
		a.At = "write"
		return a
	}
	id, err := k.Commit()
	a := answer{ID: pair(id)}
	if err != nil {
		a = failed(err)
		a.At = "send"
		if a.Err == "EAGAIN" {
			a.ID = pair(id)
		}
	}
	return a
}

func (p *player) recv(k kbusdev.Ksock) answer {
	if p.whole {
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // what is queued is given all the same
		m, err := k.Recv(ctx)
		if errors.Is(err, context.Canceled) {
			return answer{Len: new(int)}
		}
		if err != nil {
			return failed(err)
		}
		n := kbusdev.EntireSize(kbusdev.LittleEndian64, m)
		return answer{Len: &n, Left: new(int), Msg: Recorded(m)}
	}
	n, err := k.Next()
	if err != nil || n == 0 {
		return orFailed(answer{Len: &n}, err)
	}
	b := make([]byte, n)
	if _, err := k.Read(b); err != nil {
		return failed(err)
	}
	m, err := kbusdev.ParseEntire(b, kbusdev.LittleEndian64)
	if err != nil {
		return answer{Err: err.Error()}
	}
	left, err := k.LenLeft()
	return orFailed(answer{Len: &n, Left: &left, Msg: Recorded(m)}, err)
}

// Recorded writes a message as recordings do, for tests that compare with them.
func Recorded(m *kbusdev.Message) *Message {
	return &Message{
		ID:        [2]uint32{m.ID.Network, m.ID.Serial},
		InReplyTo: [2]uint32{m.InReplyTo.Network, m.InReplyTo.Serial},
		To:        uint32(m.To),
		From:      uint32(m.From),
		OrigFrom:  [2]uint32{m.OrigFrom.Network, uint32(m.OrigFrom.Local)},
		FinalTo:   [2]uint32{m.FinalTo.Network, uint32(m.FinalTo.Local)},
		Extra:     m.Extra,
		Flags:     uint32(m.Flags),
		Name:      m.Name,
		Data:      append(Hex{}, recordedData(m)...),
	}
}

func pair(id kbusdev.MsgID) [2]uint32 { return [2]uint32{id.Network, id.Serial} }

func number[T ~int | ~uint32](n T) answer {
	u := uint32(n)
	return answer{N: &u}
}

func failed(err error) answer { return orFailed(answer{}, err) }

func orFailed(a answer, err error) answer {
	if err == nil {
		return a
	}
	if errno, ok := kbusdev.ErrnoOf(err); ok {
		return answer{Err: kbusdev.ErrnoName(errno)}
	}
	return answer{Err: err.Error()}
}

// recordedData is the data of m as the recordings have it.
func recordedData(m *kbusdev.Message) []byte {
	if m.Event != nil {
		return kbusdev.AppendBindEvent(nil, *m.Event, kbusdev.LittleEndian64.Order)
	}
	return m.Data
}
