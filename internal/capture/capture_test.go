package capture_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/capture"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 250e6, time.UTC)

func record(i int) *pb.TapRecord {
	return &pb.TapRecord{
		Time: timestamppb.New(noon.Add(time.Duration(i) * time.Millisecond)), Link: "network 2", Direction: pb.TapDirection(1 + i%2), Verdict: pb.TapVerdict(1 + i%3),
		Kind: pb.TapKind_TAP_KIND_ANNOUNCEMENT, Read: &pb.Message{Name: "$.A", IdSerial: uint32(i)}, Size: uint32(i % 9), Data: bytes.Repeat([]byte{'x'}, i%9),
	}
}

// written returns what was shown, and the file of it.
func written(t testing.TB) ([]*pb.TapResponse, []byte) {
	t.Helper()
	shown := []*pb.TapResponse{
		{Start: &pb.TapStart{Format: capture.Format, Version: "v1", NetworkId: 1, Time: timestamppb.New(noon)}},
		{Records: []*pb.TapRecord{record(0)}},
		{Records: []*pb.TapRecord{record(1)}},
		{Lost: &pb.TapLost{NoRoom: 7}},
		{Records: []*pb.TapRecord{record(2)}},
	}
	var b bytes.Buffer
	w, err := capture.NewWriter(&b, "a test")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []*pb.TapResponse{shown[0], {Records: []*pb.TapRecord{record(0), record(1)}, Lost: shown[3].GetLost()}, shown[4]} {
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	return shown, b.Bytes()
}

// read returns what a file has, and how it ends.
func read(file []byte) (all []*pb.TapResponse, err error) {
	r, err := capture.NewReader(bytes.NewReader(file))
	if err != nil {
		return nil, err
	}
	for {
		one, _, err := r.Next()
		if err != nil {
			return all, err
		}
		all = append(all, one)
	}
}

func same(a, b []*pb.TapResponse) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !proto.Equal(a[i], b[i]) {
			return false
		}
	}
	return true
}

func TestWriteAndRead(t *testing.T) {
	shown, file := written(t)
	all, err := read(file)
	if !errors.Is(err, io.EOF) || !same(all, shown) {
		t.Errorf("read is %v, %v", all, err)
	}
}

// Cut anywhere, a file gives what is whole, and then says where it ends.
func TestCutOff(t *testing.T) {
	shown, file := written(t)
	for n := range file {
		all, err := read(file[:n])
		if !same(all, shown[:len(all)]) {
			t.Fatalf("cut at %d: %v", n, all)
		}
		var wrong *capture.Error
		switch {
		case errors.As(err, &wrong):
			if wrong.Offset > int64(n) || !strings.Contains(err.Error(), fmt.Sprintf("at byte %d: ", wrong.Offset)) {
				t.Fatalf("cut at %d: %v", n, err)
			}
		case !errors.Is(err, io.EOF):
			t.Fatalf("cut at %d: %v", n, err)
		}
	}
}

// A file of the other byte order, with more in it, as another program may have written it.
func TestOtherByteOrder(t *testing.T) {
	data, err := proto.Marshal(&pb.TapResponse{Records: []*pb.TapRecord{record(5)}})
	if err != nil {
		t.Fatal(err)
	}
	var file []byte
	block := func(kind uint32, body []byte) {
		for len(body)%4 != 0 {
			body = append(body, 0)
		}
		size := uint32(len(body) + 12)
		file = binary.BigEndian.AppendUint32(file, kind)
		file = binary.BigEndian.AppendUint32(file, size)
		file = append(file, body...)
		file = binary.BigEndian.AppendUint32(file, size)
	}
	words := func(all ...uint32) (b []byte) {
		for _, n := range all {
			b = binary.BigEndian.AppendUint32(b, n)
		}
		return b
	}
	block(0x0a0d0d0a, words(0x1a2b3c4d, 1<<16, ^uint32(0), ^uint32(0)))
	block(5, make([]byte, 40)) // statistics
	block(1, words(capture.LinkType<<16, 0))
	block(0xbad, make([]byte, 2<<20)) // larger than what is looked at
	block(6, append(words(0, 0, 0, uint32(len(data)), uint32(len(data))), data...))
	all, err := read(file)
	if !errors.Is(err, io.EOF) || !same(all, []*pb.TapResponse{{Records: []*pb.TapRecord{record(5)}}}) {
		t.Errorf("read is %v, %v", all, err)
	}
}

func TestMalformed(t *testing.T) {
	_, file := written(t)
	section := int(binary.LittleEndian.Uint32(file[4:]))
	first := section + int(binary.LittleEndian.Uint32(file[section+4:])) // the first packet
	for _, c := range []struct {
		at   int
		to   []byte
		want string
	}{
		{0, []byte("PK"), "at byte 0: this is no pcapng file"},
		{8, []byte{0}, "at byte 0: a section with the byte order"},
		{12, []byte{9}, "at byte 0: version 9 of pcapng"},
		{4, []byte{3}, "at byte 0: a block of 3 bytes"},
		{4, []byte{0, 0, 0xff, 0x7f}, "at byte 0: a block of 2147418112 bytes: at most"},
		{section + 8, []byte{1}, fmt.Sprintf("at byte %d: packets of link type 1, not 147", first)},
		{first + 8, []byte{1}, fmt.Sprintf("at byte %d: a packet of interface 1, of 1", first)},
		{first + 22, []byte{1}, fmt.Sprintf("at byte %d: a packet of 65", first)},
		{first + 28, []byte{0xff}, fmt.Sprintf("at byte %d: the packet is no message of a tap", first)},
		{first + 4, []byte{8}, fmt.Sprintf("at byte %d: a block of 8 bytes", first)},
		{first + 4, []byte{12}, fmt.Sprintf("at byte %d: a block says", first)},
	} {
		bad := bytes.Clone(file)
		copy(bad[c.at:], c.to)
		if _, err := read(bad); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d: %v, want %q", c.at, err, c.want)
		}
	}
	var b bytes.Buffer
	w, err := capture.NewWriter(&b, "tomorrow's")
	if err == nil {
		err = w.Write(&pb.TapResponse{Start: &pb.TapStart{Format: capture.Format + 1}})
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := read(b.Bytes()); err == nil || !strings.Contains(err.Error(), "a newer limpetctl is needed") {
		t.Error(err)
	}
	if _, err := read(nil); err == nil || !strings.Contains(err.Error(), "no pcapng file") {
		t.Error(err)
	}
}

// Whatever a file has, reading it ends in an error that says where, or at its end, and takes
// no more memory than the file. What is read is written and read again as it was.
func FuzzReader(f *testing.F) {
	_, file := written(f)
	f.Add(file)
	r := rand.New(rand.NewPCG(1, 2))
	for range 8 {
		bad := bytes.Clone(file[:1+r.IntN(len(file))])
		for range 1 + r.IntN(4) {
			bad[r.IntN(len(bad))] = byte(r.Uint32())
		}
		f.Add(bad)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		all, err := read(file)
		var wrong *capture.Error
		if !errors.As(err, &wrong) && !errors.Is(err, io.EOF) || wrong != nil && (wrong.Offset < 0 || wrong.Offset > int64(len(file))) {
			t.Fatalf("it ends with %v", err)
		}
		var b bytes.Buffer
		w, err := capture.NewWriter(&b, "")
		if err != nil {
			t.Fatal(err)
		}
		var things []*pb.TapResponse
		for _, one := range all {
			if err := w.Write(one); err != nil {
				return // a string that is no UTF-8 is not read in the first place
			}
			if one.GetStart() != nil {
				things = append(things, &pb.TapResponse{Start: one.GetStart()})
			}
			for _, rec := range one.GetRecords() {
				things = append(things, &pb.TapResponse{Records: []*pb.TapRecord{rec}})
			}
			if one.GetLost() != nil {
				things = append(things, &pb.TapResponse{Lost: one.GetLost()})
			}
		}
		if again, err := read(b.Bytes()); !errors.Is(err, io.EOF) || !same(again, things) {
			t.Fatalf("written and read again: %v, %v, not %v", again, err, things)
		}
	})
}
