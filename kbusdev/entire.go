package kbusdev

import (
	"encoding/binary"
	"fmt"

	"github.com/kbus-limpet/limpet/kbusdev/internal/abi"
)

// A Layout is how one kind of machine lays out a message for the device.
type Layout = abi.Layout

// A Header is a message's header as the device reads and writes it.
type Header = abi.Header

// The guard words of a message.
const (
	StartGuard = abi.StartGuard
	EndGuard   = abi.EndGuard
)

// Layouts to choose from.
var (
	// HostLayout is that of the machine this program runs on.
	HostLayout = abi.Host
	// LittleEndian64 is that of amd64, arm64 and riscv64, and of the recordings.
	LittleEndian64 = abi.LittleEndian64
)

// HeaderOf gives m's header, as it stands in front of an entire message.
func HeaderOf(m *Message) Header {
	return Header{
		StartGuard: StartGuard,
		IDNetwork:  m.ID.Network, IDSerial: m.ID.Serial,
		ReplyNetwork: m.InReplyTo.Network, ReplySerial: m.InReplyTo.Serial,
		To: uint32(m.To), From: uint32(m.From),
		OrigNetwork: m.OrigFrom.Network, OrigLocal: uint32(m.OrigFrom.Local),
		FinalNetwork: m.FinalTo.Network, FinalLocal: uint32(m.FinalTo.Local),
		Extra: m.Extra, Flags: uint32(m.Flags),
		NameLen: uint32(len(m.Name)), DataLen: uint32(m.Size() - len(m.Name)),
		EndGuard: EndGuard,
	}
}

// MessageFrom makes a message of a header, a name and data, which is kept, unless
// it is that of a bind event: order is the one its integers are in.
func MessageFrom(h *Header, name string, data []byte, order binary.ByteOrder) Message {
	m := Message{
		ID:        MsgID{h.IDNetwork, h.IDSerial},
		InReplyTo: MsgID{h.ReplyNetwork, h.ReplySerial},
		To:        KsockID(h.To), From: KsockID(h.From),
		OrigFrom: Address{h.OrigNetwork, KsockID(h.OrigLocal)},
		FinalTo:  Address{h.FinalNetwork, KsockID(h.FinalLocal)},
		Extra:    h.Extra, Flags: Flags(h.Flags),
		Name: name, Data: data,
	}
	if name == NameReplierBindEvent {
		if e, err := ParseBindEvent(data, order); err == nil {
			m.Event, m.Data = &e, nil
		}
	}
	return m
}

// EntireSize is the length in bytes of m as an entire message. It saturates
// rather than overflow for data beyond what a header can say.
func EntireSize(l Layout, m *Message) int {
	const most = 1 << 30
	if len(m.Data) > most || len(m.Name) > most {
		return most
	}
	return l.EntireSize(uint32(len(m.Name)), uint32(m.Size()-len(m.Name)))
}

// AppendEntire appends m as an entire message: what a device takes and gives.
func AppendEntire(dst []byte, l Layout, m *Message) []byte {
	data := m.Data
	if m.Event != nil {
		data = AppendBindEvent(nil, *m.Event, l.Order)
	}
	return l.AppendEntire(dst, HeaderOf(m), m.Name, data)
}

// ParseEntire reads the entire message that is all of b. The name is copied;
// Data lies in b. It does not judge the name or the flags.
func ParseEntire(b []byte, l Layout) (*Message, error) {
	h, name, data, err := l.ParseEntire(b)
	if err != nil {
		return nil, fmt.Errorf("reading a message: %w", err)
	}
	m := MessageFrom(&h, string(name), data, l.Order)
	return &m, nil
}
