package bustest

import (
	"context"
	"encoding/json"
	"fmt"
	"math"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// OnOneBus plays each story on a bus that others were played on before: newBus may
// give the same bus each time. A recording is of a fresh device, so the ids in the
// story are moved to those that the bus gives next. It is for devices of the kernel
// module, of which a machine has at most 256. No other program may use the bus.
func OnOneBus() Option { return func(p *player) { p.oneBus = true } }

// A base is what a bus has given away: the ids of Ksocks and messages up to these.
type base struct {
	ksock  kbusdev.KsockID
	serial uint32
}

// baseOf puts the settings of a bus back to those of a fresh one, and returns what
// it has given away.
func baseOf(bus kbusdev.Bus) (b base, err error) {
	k, err := bus.Open(kbusdev.ReadWrite)
	if err != nil {
		return b, err
	}
	defer func() {
		if closeErr := k.Close(); err == nil {
			err = closeErr
		}
	}()
	if _, err := k.ReportReplierBinds(kbusdev.Off); err != nil {
		return b, err
	}
	if _, err := k.MaxMessageSize(kbusdev.AbsoluteMaxMessageSize); err != nil {
		return b, err
	}
	id, err := k.Send(context.Background(), &kbusdev.Message{Name: "$.Base"})
	return base{ksock: k.ID(), serial: id.Serial}, err
}

// id moves the id of a message, unless it is none or from another network.
func (b base) id(network, serial uint32) uint32 {
	if network != 0 || serial == 0 {
		return serial
	}
	return serial + b.serial
}

// local moves the id of a Ksock, unless it is none.
func (b base) local(k uint32) uint32 {
	if k == 0 {
		return 0
	}
	return k + uint32(b.ksock)
}

// address moves one half of an address, unless it is of another network.
func (b base) address(a [2]uint32) [2]uint32 {
	if a[0] == 0 {
		a[1] = b.local(a[1])
	}
	return a
}

func (b base) message(m *Message) *Message {
	if m == nil {
		return nil
	}
	moved := *m
	moved.ID[1] = b.id(m.ID[0], m.ID[1])
	moved.InReplyTo[1] = b.id(m.InReplyTo[0], m.InReplyTo[1])
	moved.To, moved.From = b.local(m.To), b.local(m.From)
	moved.OrigFrom, moved.FinalTo = b.address(m.OrigFrom), b.address(m.FinalTo)
	if kbusdev.Flags(m.Flags)&kbusdev.Synthetic != 0 && m.Name == kbusdev.NameReplierBindEvent {
		moved.Data = b.bindEvent(m.Data)
	}
	return &moved
}

// bindEvent moves the binder, the second word of the data.
func (b base) bindEvent(data Hex) Hex {
	moved := append(Hex{}, data...)
	if len(moved) >= 8 {
		order.PutUint32(moved[4:], b.local(order.Uint32(moved[4:])))
	}
	return moved
}

var order = kbusdev.LittleEndian64.Order

// entire moves the ids in the bytes of a message, of which the end may be missing.
func (b base) entire(part []byte) []byte {
	const words = 15 // before the pointers
	headerSize := kbusdev.LittleEndian64.HeaderSize()
	whole := make([]byte, max(len(part), headerSize))
	copy(whole, part)
	word := func(i int) uint32 { return order.Uint32(whole[4*i:]) }
	put := func(i int, v uint32) { order.PutUint32(whole[4*i:], v) }
	put(2, b.id(word(1), word(2)))
	put(4, b.id(word(3), word(4)))
	put(5, b.local(word(5)))
	put(6, b.local(word(6)))
	for _, i := range []int{7, 9} {
		if word(i) == 0 {
			put(i+1, b.local(word(i+1)))
		}
	}
	nameLen := uint64(word(words - 2))
	if kbusdev.Flags(word(words-3))&kbusdev.Synthetic != 0 && uint64(len(part)) >= uint64(headerSize)+nameLen && nameLen <= kbusdev.MaxNameLen {
		dataAt := headerSize + (int(nameLen)+4)&^3
		name := string(whole[headerSize:][:nameLen])
		if name == kbusdev.NameReplierBindEvent && len(part) > dataAt {
			data := make([]byte, max(8, len(part)-dataAt))
			copy(data, whole[dataAt:])
			copy(whole[dataAt:], b.bindEvent(data))
		}
	}
	return whole[:len(part)]
}

// pieces are the steps in which a Ksock writes, or reads, one message.
type pieces struct {
	at    []*Hex
	bytes []byte
}

// add notes one more step's bytes.
func (p *pieces) add(data *Hex) {
	p.at = append(p.at, data)
	p.bytes = append(p.bytes, *data...)
}

// move moves the ids in the message, and starts the next one.
func (p *pieces) move(b base) {
	moved := b.entire(p.bytes)
	for _, data := range p.at {
		n := len(*data)
		*data, moved = append(Hex{}, moved[:n]...), moved[n:]
	}
	*p = pieces{}
}

// rebase moves the ids in a story by what the bus has given away.
func rebase(s Story, b base) (Story, error) {
	moved := Story{Name: s.Name, Steps: append([]Step(nil), s.Steps...)}
	wants := make([]answer, len(moved.Steps))
	written, read := make(map[int]*pieces), make(map[int]*pieces)
	for i := range moved.Steps {
		step, want := &moved.Steps[i], &wants[i]
		if err := json.Unmarshal(step.Want, want); err != nil {
			return s, fmt.Errorf("step %d: reading want: %w", i, err)
		}
		step.Msg, want.Msg = b.message(step.Msg), b.message(want.Msg)
		if err := want.moveID(b); err != nil {
			return s, fmt.Errorf("step %d: %w", i, err)
		}
		w, r := written[step.K], read[step.K]
		if w == nil {
			w, r = new(pieces), new(pieces)
			written[step.K], read[step.K] = w, r
		}
		switch step.Op {
		case "write":
			w.add(&step.Data)
			if want.Err != "" {
				w.move(b)
			}
		case "commit", "send", "discard":
			w.move(b)
		case "read":
			if want.Data != nil {
				r.add(want.Data)
			}
		case "next", "recv":
			r.move(b)
		}
	}
	for k := range written {
		written[k].move(b)
		read[k].move(b)
	}
	for i := range wants {
		raw, err := json.Marshal(wants[i])
		if err != nil {
			return s, err
		}
		moved.Steps[i].Want = raw
	}
	return moved, nil
}

// moveID moves what a step is to answer: a Ksock's id, or the id of a message.
func (a *answer) moveID(b base) error {
	switch id := a.ID.(type) {
	case nil:
	case float64:
		if id != math.Trunc(id) || id < 0 || id > math.MaxUint32 {
			return fmt.Errorf("the id %v is no u32", id)
		}
		a.ID = b.local(uint32(id))
	case []any:
		var pair [2]uint32
		raw, _ := json.Marshal(id)
		if err := json.Unmarshal(raw, &pair); err != nil {
			return fmt.Errorf("the id %s: %w", raw, err)
		}
		pair[1] = b.id(pair[0], pair[1])
		a.ID = pair
	default:
		return fmt.Errorf("the id %v is neither a number nor a pair", id)
	}
	return nil
}
