package wire

import (
	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/program"
)

var modeToProto = map[kbusdev.Mode]pb.KsockMode{
	kbusdev.ReadOnly: pb.KsockMode_KSOCK_MODE_READ, kbusdev.WriteOnly: pb.KsockMode_KSOCK_MODE_WRITE, kbusdev.ReadWrite: pb.KsockMode_KSOCK_MODE_BOTH,
}

// HelloToProto returns the first request of a program.
func HelloToProto(h *program.Hello) *pb.AttachRequest {
	out := &pb.AttachHello{
		ProtocolVersion: h.Version, Features: h.Features, Mode: modeToProto[h.Mode], ExpectedSequence: h.Expected,
		WindowMessages: h.WindowMessages, WindowBytes: h.WindowBytes,
	}
	if h.Session != (link.SessionID{}) {
		out.SessionId, out.InstanceId = h.Session[:], h.Instance[:]
	}
	return &pb.AttachRequest{Kind: &pb.AttachRequest_Hello{Hello: out}}
}

// HelloFromProto returns what the first request of a program says, checked. The error is a
// *link.Error: the program's own if it gives up at once, else what is wrong.
func HelloFromProto(in *pb.AttachRequest) (*program.Hello, error) {
	if e := in.GetError(); e != nil {
		return nil, errorFromProto(e)
	}
	h := in.GetHello()
	if h == nil {
		return nil, link.Errorf(link.Protocol, "the first frame must be a hello")
	}
	out := &program.Hello{
		Version: h.GetProtocolVersion(), Features: h.GetFeatures(), Expected: h.GetExpectedSequence(),
		WindowMessages: h.GetWindowMessages(), WindowBytes: h.GetWindowBytes(),
	}
	for mode, number := range modeToProto {
		if number == h.GetMode() {
			out.Mode = mode
		}
	}
	if h.GetProtocolVersion() != program.ProtocolVersion {
		return nil, out.Check() // whatever else it says
	}
	if len(h.GetSessionId()) > 0 {
		if err := idFromProto("a session", h.GetSessionId(), (*[16]byte)(&out.Session)); err != nil {
			return nil, err
		}
		if err := idFromProto("an instance", h.GetInstanceId(), (*[16]byte)(&out.Instance)); err != nil {
			return nil, err
		}
	}
	if err := out.Check(); err != nil {
		return nil, err
	}
	return out, nil
}

func idFromProto(what string, in []byte, out *[16]byte) error {
	if len(in) != len(out) {
		return link.Errorf(link.Protocol, "%s id of %d bytes, not %d", what, len(in), len(out))
	}
	copy(out[:], in)
	return nil
}

// WelcomeToProto returns the first response of a daemon.
func WelcomeToProto(w *program.Welcome) *pb.AttachResponse {
	return &pb.AttachResponse{Kind: &pb.AttachResponse_Welcome{Welcome: &pb.AttachWelcome{
		ProtocolVersion: w.Version, Features: w.Features, SessionId: w.Session[:], InstanceId: w.Instance[:], ExpectedSequence: w.Expected,
		Ksock: uint32(w.Ksock), WindowMessages: w.WindowMessages, WindowBytes: w.WindowBytes, GraceMs: w.GraceMs, MaxMessageSize: w.MaxMessageSize,
	}}}
}

// WelcomeFromProto returns what the first response of a daemon says, checked. The error is
// a *link.Error: the daemon's own if it refuses, else what is wrong.
func WelcomeFromProto(in *pb.AttachResponse) (*program.Welcome, error) {
	if e := in.GetError(); e != nil {
		return nil, errorFromProto(e)
	}
	w := in.GetWelcome()
	if w == nil {
		return nil, link.Errorf(link.Protocol, "the first frame must be a welcome")
	}
	out := &program.Welcome{
		Version: w.GetProtocolVersion(), Features: w.GetFeatures(), Expected: w.GetExpectedSequence(), Ksock: kbusdev.KsockID(w.GetKsock()),
		WindowMessages: w.GetWindowMessages(), WindowBytes: w.GetWindowBytes(), GraceMs: w.GetGraceMs(), MaxMessageSize: w.GetMaxMessageSize(),
	}
	if w.GetProtocolVersion() != program.ProtocolVersion {
		return nil, out.Check()
	}
	if err := idFromProto("a session", w.GetSessionId(), (*[16]byte)(&out.Session)); err != nil {
		return nil, err
	}
	if err := idFromProto("an instance", w.GetInstanceId(), (*[16]byte)(&out.Instance)); err != nil {
		return nil, err
	}
	if err := out.Check(); err != nil {
		return nil, err
	}
	return out, nil
}
