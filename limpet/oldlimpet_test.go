package limpet_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

// An oldLimpet is a limpet as simple as the protocol's description lets it be: no
// batches, no window, one message after the other. Of ours it has the rules, but
// nothing that touches the socket.
type oldLimpet struct {
	ksock kbusdev.Ksock
	conn  net.Conn

	mu    sync.Mutex
	rules *translate.Machine
}

// oldMessage is the start of a message on the socket.
type oldMessage struct {
	Start                          uint32
	ID, InReplyTo                  [2]uint32
	To, From                       uint32
	OrigFrom, FinalTo              [2]uint32
	Extra, Flags, NameLen, DataLen uint32
	End                            uint32
}

const (
	oldStart = 0x7375624B // "Kbus" in a little-endian machine's memory
	oldEnd   = 0x4B627573
)

func padded(n, least int) int { return (n + least + 3) / 4 * 4 }

func (o *oldLimpet) write(m *kbusdev.Message) error {
	var b bytes.Buffer
	data := m.Data
	if e := m.Event; e != nil {
		var words [3]uint32
		if e.Bound {
			words[0] = 1
		}
		words[1], words[2] = uint32(e.Binder), uint32(len(e.Name))
		data, _ = binary.Append(nil, binary.BigEndian, words)
		data = append(data, e.Name...)
		data = append(data, make([]byte, padded(len(e.Name), 1)-len(e.Name))...)
	}
	_ = binary.Write(&b, binary.BigEndian, oldMessage{
		Start: oldStart, End: oldEnd,
		ID: [2]uint32{m.ID.Network, m.ID.Serial}, InReplyTo: [2]uint32{m.InReplyTo.Network, m.InReplyTo.Serial},
		To: uint32(m.To), From: uint32(m.From),
		OrigFrom: [2]uint32{m.OrigFrom.Network, uint32(m.OrigFrom.Local)}, FinalTo: [2]uint32{m.FinalTo.Network, uint32(m.FinalTo.Local)},
		Extra: m.Extra, Flags: uint32(m.Flags), NameLen: uint32(len(m.Name)), DataLen: uint32(len(data)),
	})
	b.WriteString(m.Name)
	b.Write(make([]byte, padded(len(m.Name), 1)-len(m.Name)))
	b.Write(data)
	b.Write(make([]byte, padded(len(data), 0)-len(data)))
	_ = binary.Write(&b, binary.BigEndian, uint32(oldEnd))
	_, err := o.conn.Write(b.Bytes())
	return err
}

func (o *oldLimpet) read() (*kbusdev.Message, error) {
	var h oldMessage
	if err := binary.Read(o.conn, binary.BigEndian, &h); err != nil {
		return nil, err
	}
	name, data := padded(int(h.NameLen), 1), padded(int(h.DataLen), 0)
	rest := make([]byte, name+data+4)
	if _, err := io.ReadFull(o.conn, rest); err != nil {
		return nil, err
	}
	if h.Start != oldStart || h.End != oldEnd || binary.BigEndian.Uint32(rest[name+data:]) != oldEnd {
		return nil, fmt.Errorf("bad guards in %+v", h)
	}
	m := &kbusdev.Message{
		ID: kbusdev.MsgID{Network: h.ID[0], Serial: h.ID[1]}, InReplyTo: kbusdev.MsgID{Network: h.InReplyTo[0], Serial: h.InReplyTo[1]},
		To: kbusdev.KsockID(h.To), From: kbusdev.KsockID(h.From),
		OrigFrom: kbusdev.Address{Network: h.OrigFrom[0], Local: kbusdev.KsockID(h.OrigFrom[1])},
		FinalTo:  kbusdev.Address{Network: h.FinalTo[0], Local: kbusdev.KsockID(h.FinalTo[1])},
		Extra:    h.Extra, Flags: kbusdev.Flags(h.Flags), Name: string(rest[:h.NameLen]), Data: rest[name : name+int(h.DataLen)],
	}
	if m.Name == "$.KBUS.ReplierBindEvent" {
		word := func(i int) uint32 { return binary.BigEndian.Uint32(m.Data[4*i:]) }
		m.Event = &kbusdev.BindEvent{Bound: word(0) == 1, Binder: kbusdev.KsockID(word(1)), Name: string(m.Data[12:][:word(2)])}
		m.Data = nil
	}
	return m, nil
}

func (o *oldLimpet) do(fx []translate.Effect) error {
	for i := range fx {
		f := fx[i]
		switch f.Kind {
		case translate.Forward, translate.Bounce:
			if err := o.write(&f.Msg); err != nil {
				return err
			}
		case translate.Send:
			if _, err := o.ksock.Send(context.Background(), &f.Msg); err == nil {
				o.rules.Sent(&f)
			} else if n, ok := kbusdev.ErrnoOf(err); ok {
				if err := o.do(o.rules.SendFailed(nil, &f, n)); err != nil {
					return err
				}
			}
		case translate.Bind:
			n, _ := kbusdev.ErrnoOf(o.ksock.Bind(f.Name, kbusdev.Replier))
			if err := o.do(o.rules.BindDone(nil, f.Name, n)); err != nil {
				return err
			}
		case translate.Unbind:
			n, _ := kbusdev.ErrnoOf(o.ksock.Unbind(f.Name, kbusdev.Replier))
			if err := o.do(o.rules.UnbindDone(nil, f.Name, n)); err != nil {
				return err
			}
		case translate.Drop, translate.Snapshot, translate.Stop: // it takes no snapshot again, and does not stop
		}
	}
	return nil
}

// run serves until the connection or ctx ends.
func (o *oldLimpet) run(ctx context.Context, bus kbusdev.Bus, us uint32) error {
	said := make(chan error, 1)
	go func() { _, err := o.conn.Write(binary.BigEndian.AppendUint32([]byte("HELO"), us)); said <- err }()
	var hello struct {
		Word [4]byte
		Them uint32
	}
	if err := binary.Read(o.conn, binary.BigEndian, &hello); err != nil || string(hello.Word[:]) != "HELO" {
		return fmt.Errorf("hello %q: %w", hello.Word, err)
	}
	if err := <-said; err != nil {
		return err
	}
	var err error
	if o.ksock, err = bus.Open(kbusdev.ReadWrite); err != nil {
		return err
	}
	defer o.ksock.Close()
	_, _ = o.ksock.MaxMessages(65536)
	_, _ = o.ksock.OnlyOnce(kbusdev.On)
	_ = o.ksock.Bind("$.*", kbusdev.Listener)
	o.rules = translate.New(translate.Config{NetworkID: us, PeerNetworkID: hello.Them, Ksock: o.ksock.ID(), Pattern: "$.*", MaxAsked: 1000, MaxOpen: 1000})
	_, _ = o.ksock.ReportReplierBinds(kbusdev.On)
	n, _ := o.ksock.NumMessages()
	o.rules.SnapshotAsked(nil, n)

	fromBus := make(chan error, 1)
	go func() {
		for {
			m, err := o.ksock.Recv(ctx)
			if err != nil {
				fromBus <- err
				return
			}
			o.mu.Lock()
			err = o.do(o.rules.FromBus(nil, m))
			o.mu.Unlock()
			if err != nil {
				fromBus <- err
				return
			}
		}
	}()
	for {
		m, err := o.read()
		if err != nil {
			_ = o.ksock.Close()
			<-fromBus
			return err
		}
		o.mu.Lock()
		err = o.do(o.rules.FromPeer(nil, m, translate.Facts{Replier: o.rules.Replier(m.Name)}))
		o.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// joinOld links a node of ours to an old limpet on the bus of the other.
func joinOld(t *testing.T, ours, old *limpet.Node, serve func(context.Context, *limpet.Node, net.Conn) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	here, there := socket(t)
	done := make(chan error, 2)
	go func() { done <- serve(ctx, ours, here) }()
	go func() {
		o := &oldLimpet{conn: there}
		err := o.run(ctx, old.Bus(), old.NetworkID())
		_ = there.Close()
		done <- err
	}()
	t.Cleanup(func() {
		cancel()
		for range 2 {
			<-done
		}
	})
}
