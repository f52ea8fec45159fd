package capture

import (
	"encoding/binary"
	"io"
	"time"

	"google.golang.org/protobuf/proto"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
)

// A Writer writes a file. It is not safe for concurrent use.
type Writer struct {
	to   io.Writer
	buf  []byte
	last time.Time // of the packets
}

// NewWriter begins a file; by is the program that writes it, for people.
func NewWriter(to io.Writer, by string) (*Writer, error) {
	w := &Writer{to: to}
	w.block(blockSection, func(b []byte) []byte {
		b = binary.LittleEndian.AppendUint32(b, byteOrderMagic)
		b = binary.LittleEndian.AppendUint16(b, 1) // version 1.0
		b = binary.LittleEndian.AppendUint16(b, 0)
		b = binary.LittleEndian.AppendUint64(b, ^uint64(0)) // of unknown length
		return end(option(b, optionApplication, []byte(by)))
	})
	w.block(blockInterface, func(b []byte) []byte {
		b = binary.LittleEndian.AppendUint16(b, LinkType)
		b = binary.LittleEndian.AppendUint16(b, 0)
		b = binary.LittleEndian.AppendUint32(b, 0) // no limit
		b = option(b, optionName, []byte("limpet"))
		b = option(b, optionDescription, []byte("messages on the links of a limpetd: kbus.limpet.v1.TapResponse, format 1"))
		return end(option(b, optionResolution, []byte{9})) // nanoseconds
	})
	return w, w.flush()
}

// Write writes what a tap has shown, each thing as a packet of its own.
func (w *Writer) Write(r *pb.TapResponse) error {
	if s := r.GetStart(); s != nil {
		if err := w.packet(s.GetTime().AsTime(), 0, &pb.TapResponse{Start: s}); err != nil {
			return err
		}
	}
	for _, rec := range r.GetRecords() {
		if err := w.packet(rec.GetTime().AsTime(), rec.GetDirection(), &pb.TapResponse{Records: []*pb.TapRecord{rec}}); err != nil {
			return err
		}
	}
	if l := r.GetLost(); l != nil {
		if err := w.packet(w.last, 0, &pb.TapResponse{Lost: l}); err != nil {
			return err
		}
	}
	return w.flush()
}

// packet adds a packet. Wireshark shows its direction.
func (w *Writer) packet(at time.Time, direction pb.TapDirection, r *pb.TapResponse) error {
	data, err := proto.Marshal(r)
	if err != nil {
		return err
	}
	w.last = at
	w.block(blockPacket, func(b []byte) []byte {
		ns := uint64(at.UnixNano())
		for _, n := range []uint32{0, uint32(ns >> 32), uint32(ns), uint32(len(data)), uint32(len(data))} {
			b = binary.LittleEndian.AppendUint32(b, n)
		}
		b = pad(append(b, data...))
		if direction == 0 {
			return b
		}
		inbound := map[pb.TapDirection]uint32{pb.TapDirection_TAP_DIRECTION_FROM_PEER: 1, pb.TapDirection_TAP_DIRECTION_TO_PEER: 2}
		return end(option(b, optionFlags, binary.LittleEndian.AppendUint32(nil, inbound[direction])))
	})
	return nil
}

// block adds a block, the body of which is what add appends.
func (w *Writer) block(kind uint32, add func([]byte) []byte) {
	at := len(w.buf)
	w.buf = binary.LittleEndian.AppendUint32(w.buf, kind)
	w.buf = add(binary.LittleEndian.AppendUint32(w.buf, 0))
	size := uint32(len(w.buf) - at + 4)
	binary.LittleEndian.PutUint32(w.buf[at+4:], size)
	w.buf = binary.LittleEndian.AppendUint32(w.buf, size)
}

func (w *Writer) flush() error {
	_, err := w.to.Write(w.buf)
	w.buf = w.buf[:0]
	return err
}

func option(b []byte, code uint16, value []byte) []byte {
	b = binary.LittleEndian.AppendUint16(b, code)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(value)))
	return pad(append(b, value...))
}

// end ends a list of options.
func end(b []byte) []byte { return option(b, optionEnd, nil) }

// pad fills up to four bytes. Everything before it in the buffer has such a length.
func pad(b []byte) []byte {
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}
