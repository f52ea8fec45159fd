package classic_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/bustest"
	"github.com/kbus-limpet/limpet/limpet/classic"
)

// Every message that the real C limpet was recorded writing to its socket: the
// bytes are made exactly, and read exactly.
func TestGoldenWire(t *testing.T) {
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("the recordings' bind events are of a little-endian machine")
	}
	type story struct {
		Name  string
		Steps []struct {
			Want struct {
				Msg  *bustest.Message
				Wire string
			}
		}
	}
	total, same := 0, 0
	for _, file := range bustest.Files(t, "../translate/testdata", "translate*.jsonl.gz") {
		for _, s := range bustest.Load[story](t, file) {
			for i, step := range s.Steps {
				if step.Want.Wire == "" {
					continue
				}
				total++
				want, err := hex.DecodeString(step.Want.Wire)
				if err != nil {
					t.Fatal(err)
				}
				msg := step.Want.Msg.KBUS()
				if got := classic.AppendMessage(nil, msg); !bytes.Equal(got, want) {
					t.Errorf("%s step %d: written\n%x, want\n%x", s.Name, i, got, want)
					continue
				}
				got, err := classic.ParseMessage(want, kbusdev.AbsoluteMaxMessageSize)
				if diff := cmp.Diff(msg, &got, cmpopts.EquateEmpty()); diff != "" || err != nil {
					t.Errorf("%s step %d: read: %v\n%s", s.Name, i, err, diff)
					continue
				}
				same++
			}
		}
	}
	if total == 0 {
		t.Error("the recordings hold no bytes of the socket")
	}
	t.Logf("messages on the socket: %d/%d", same, total)
}
