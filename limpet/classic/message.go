package classic

import (
	"encoding/binary"
	"fmt"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
)

const (
	words      = 16
	headerSize = words * 4
	guardSize  = 4
)

var wire = binary.BigEndian

// AppendMessage appends m to dst as it goes over the socket, and returns the result. It
// does not judge m: its name must have 1 to 1000 bytes.
func AppendMessage(dst []byte, m *kbusdev.Message) []byte {
	data := m.Data
	if m.Event != nil {
		data = kbusdev.AppendBindEvent(nil, *m.Event, wire)
	}
	for _, w := range [words]uint32{
		kbusdev.StartGuard,
		m.ID.Network, m.ID.Serial,
		m.InReplyTo.Network, m.InReplyTo.Serial,
		uint32(m.To), uint32(m.From),
		m.OrigFrom.Network, uint32(m.OrigFrom.Local),
		m.FinalTo.Network, uint32(m.FinalTo.Local),
		m.Extra, uint32(m.Flags),
		uint32(len(m.Name)), uint32(len(data)),
		kbusdev.EndGuard,
	} {
		dst = wire.AppendUint32(dst, w)
	}
	dst = append(dst, m.Name...)
	dst = append(dst, make([]byte, nameSize(len(m.Name))-len(m.Name))...)
	dst = append(dst, data...)
	dst = append(dst, make([]byte, dataSize(len(data))-len(data))...)
	return wire.AppendUint32(dst, kbusdev.EndGuard)
}

func nameSize(n int) int { return (n + 4) &^ 3 }
func dataSize(n int) int { return (n + 3) &^ 3 }

// A header is the first sixteen words of a message.
type header [words]uint32

func (h *header) nameLen() int { return int(h[13]) }
func (h *header) dataLen() int { return int(h[14]) }

// rest returns how many bytes follow the header.
func (h *header) rest() int { return nameSize(h.nameLen()) + dataSize(h.dataLen()) + guardSize }

// parseHeader reads a header and judges it, so that its lengths may be allocated.
// maxData bounds the data, in bytes. The error is a *link.Error.
func parseHeader(b []byte, maxData int) (h header, err error) {
	for i := range h {
		h[i] = wire.Uint32(b[4*i:])
	}
	switch {
	case h[0] != kbusdev.StartGuard || h[words-1] != kbusdev.EndGuard:
		return h, protocolError("a message starts with the guards %#08x and %#08x, not %#08x and %#08x", h[0], h[words-1], uint32(kbusdev.StartGuard), uint32(kbusdev.EndGuard))
	case h[13] == 0 || h[13] > kbusdev.MaxNameLen:
		return h, protocolError("a message's name has %d bytes, it must have 1 to %d", h[13], kbusdev.MaxNameLen)
	case uint64(h[14]) > uint64(maxData):
		return h, protocolError("a message's data has %d bytes, the bus takes %d", h[14], maxData)
	}
	return h, nil
}

// message returns the message of a header and the bytes after it. If ours, its data
// shares them, else it is copied.
func (h *header) message(rest []byte, ours bool) (kbusdev.Message, error) {
	if guard := wire.Uint32(rest[len(rest)-guardSize:]); guard != kbusdev.EndGuard {
		return kbusdev.Message{}, protocolError("a message ends with the guard %#08x, not %#08x", guard, uint32(kbusdev.EndGuard))
	}
	name := string(rest[:h.nameLen()])
	var data []byte
	if n := h.dataLen(); n > 0 {
		data = rest[nameSize(h.nameLen()):][:n:n]
		if !ours {
			data = append(make([]byte, 0, n), data...)
		}
	}
	m := kbusdev.Message{
		ID:        kbusdev.MsgID{Network: h[1], Serial: h[2]},
		InReplyTo: kbusdev.MsgID{Network: h[3], Serial: h[4]},
		To:        kbusdev.KsockID(h[5]),
		From:      kbusdev.KsockID(h[6]),
		OrigFrom:  kbusdev.Address{Network: h[7], Local: kbusdev.KsockID(h[8])},
		FinalTo:   kbusdev.Address{Network: h[9], Local: kbusdev.KsockID(h[10])},
		Extra:     h[11],
		Flags:     kbusdev.Flags(h[12]),
		Name:      name,
		Data:      data,
	}
	if name == kbusdev.NameReplierBindEvent {
		if e, err := kbusdev.ParseBindEvent(data, wire); err == nil {
			m.Event, m.Data = &e, nil
		}
	}
	return m, nil
}

// ParseMessage returns the one message that b consists of, as AppendMessage has made it
// or a peer has sent it. maxData bounds its data, in bytes. It keeps nothing of b. The
// error is a *link.Error that says what is wrong.
func ParseMessage(b []byte, maxData int) (kbusdev.Message, error) {
	if len(b) < headerSize {
		return kbusdev.Message{}, protocolError("%d bytes are no message, which has at least %d", len(b), headerSize)
	}
	h, err := parseHeader(b, maxData)
	if err != nil {
		return kbusdev.Message{}, err
	}
	if got := len(b) - headerSize; got != h.rest() {
		return kbusdev.Message{}, protocolError("a message has %d bytes after its header, not %d", got, h.rest())
	}
	return h.message(b[headerSize:], false)
}

func protocolError(format string, args ...any) *link.Error {
	return &link.Error{Code: link.Protocol, Message: fmt.Sprintf(format, args...)}
}
