package translate_test

import (
	"encoding/json"
	"syscall"
	"testing"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/bustest"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

type story struct {
	Name          string `json:"name"`
	NetworkID     uint32 `json:"network_id"`
	PeerNetworkID uint32 `json:"peer_network_id"`
	KsockID       uint32 `json:"ksock_id"`
	Steps         []struct {
		Op      string           `json:"op"`
		Msg     *bustest.Message `json:"msg"`
		Replier uint32           `json:"replier"`
		Errno   int              `json:"errno"`
		Want    outcome          `json:"want"`
	} `json:"steps"`
}

type outcome struct {
	Action string           `json:"action"`
	Msg    *bustest.Message `json:"msg"`
	Name   string           `json:"name"`
}

// The recordings hold the errno of the machine they were made on.
func linuxErrno(n int) syscall.Errno {
	for _, e := range []struct {
		n     int
		errno syscall.Errno
	}{{11, syscall.EAGAIN}, {16, syscall.EBUSY}, {32, syscall.EPIPE}, {37, syscall.ENOLCK}, {90, syscall.EMSGSIZE}, {99, syscall.EADDRNOTAVAIL}} {
		if e.n == n {
			return e.errno
		}
	}
	panic("an errno the recordings should not have")
}

// What the real C limpet did, step by step.
func TestGolden(t *testing.T) {
	total, same := 0, 0
	for _, file := range bustest.Files(t, "testdata", "translate*.jsonl.gz") {
		for _, s := range bustest.Load[story](t, file) {
			total++
			if t.Run(s.Name, func(t *testing.T) { replay(t, &s) }) {
				same++
			}
		}
	}
	t.Logf("translate stories: %d/%d", same, total)
}

func replay(t *testing.T, s *story) {
	m := translate.New(translate.Config{
		NetworkID:     s.NetworkID,
		PeerNetworkID: s.PeerNetworkID,
		Ksock:         kbusdev.KsockID(s.KsockID),
	})
	for i, step := range s.Steps {
		var fx []translate.Effect
		switch step.Op {
		case "from_kbus":
			fx = m.FromBus(nil, step.Msg.KBUS())
		case "to_kbus":
			fx = m.FromPeer(nil, step.Msg.KBUS(), translate.Facts{Replier: kbusdev.KsockID(step.Replier)})
		case "send_failed":
			fx = m.SendFailed(nil, &translate.Effect{Kind: translate.Send, Msg: *step.Msg.KBUS()}, linuxErrno(step.Errno))
		default:
			t.Fatalf("no such step: %s", step.Op)
		}
		if len(fx) != 1 {
			t.Fatalf("step %d: %d effects: %+v", i, len(fx), fx)
		}
		got := outcome{Action: fx[0].Kind.String(), Name: fx[0].Name}
		switch fx[0].Kind {
		case translate.Forward, translate.Send, translate.Bounce:
			got.Msg = bustest.Recorded(&fx[0].Msg)
		case translate.Drop:
			if step.Op != "send_failed" {
				got.Action = "ignore"
			}
		case translate.Bind:
			m.BindDone(nil, got.Name, 0)
		case translate.Unbind:
			m.UnbindDone(nil, got.Name, 0)
		case translate.Snapshot, translate.Stop: // the action says all
		}
		if step.Want.Msg != nil && step.Want.Msg.Data == nil {
			step.Want.Msg.Data = bustest.Hex{}
		}
		a, _ := json.Marshal(got)
		b, _ := json.Marshal(step.Want)
		if string(a) != string(b) {
			t.Fatalf("step %d: %s %+v\n got %s\nwant %s", i, step.Op, step.Msg, a, b)
		}
	}
}
