package wire

import (
	"strings"
	"time"
	"unicode"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
)

// FrameToProto returns f, which is sent at now, as protobuf. Names and data are shared:
// as long as the result is in use nobody may change them. A frame of an unknown kind is
// an empty one.
func FrameToProto(f link.Frame, now time.Time) *pb.Frame {
	switch f := f.(type) {
	case *link.Batch:
		return batchToProto(f, now)
	case *link.Ack:
		return &pb.Frame{Kind: &pb.Frame_Ack{Ack: &pb.Ack{Sequence: f.Sequence}}}
	case *link.Ping:
		return &pb.Frame{Kind: &pb.Frame_Ping{Ping: &pb.Ping{ReceivedSequence: f.Received}}}
	case *link.Interest:
		return &pb.Frame{Kind: &pb.Frame_Interest{Interest: &pb.Interest{Restart: f.Restart, Wanted: f.Wanted, Unwanted: f.Unwanted, Whole: f.Whole}}}
	case *link.Table:
		return &pb.Frame{Kind: &pb.Frame_Table{Table: tableToProto(f)}}
	case *link.Topology:
		t := topologyToProto(f.Networks)
		t.Amends, t.RemovedNetworkIds = f.Amends, f.Removed
		return &pb.Frame{Kind: &pb.Frame_Topology{Topology: t}}
	case *link.Drain:
		return &pb.Frame{Kind: &pb.Frame_Drain{Drain: &pb.Drain{Reason: f.Reason, Done: f.Done}}}
	case *link.Error:
		return &pb.Frame{Kind: &pb.Frame_Error{Error: &pb.Error{Code: pb.ErrorCode(f.Code), Message: f.Message, NetworkId: f.NetworkID}}}
	case *link.Greeting:
		return greetingToProto(f)
	case *link.Question:
		return &pb.Frame{Kind: &pb.Frame_Explain{Explain: questionToProto(f)}}
	case *link.Answer:
		return &pb.Frame{Kind: &pb.Frame_Explained{Explained: &pb.ExplainAnswer{Id: f.ID, Hop: HopToProto(f.Hop)}}}
	default:
		return &pb.Frame{}
	}
}

// A slab is the memory of one batch, made in a few allocations. It is not used again:
// gRPC may still hold a frame after Send.
type slab struct {
	frame    pb.Frame
	kind     pb.Frame_Batch
	batch    pb.Batch
	messages []pb.Message
}

func batchToProto(b *link.Batch, now time.Time) *pb.Frame {
	n := len(b.Messages)
	s := &slab{messages: make([]pb.Message, n)}
	s.batch.Messages = make([]*pb.Message, n)
	s.batch.FirstSequence, s.batch.Ack = b.First, b.Ack
	for i := range s.messages {
		ToProto(&s.messages[i], &b.Messages[i], now)
		s.batch.Messages[i] = &s.messages[i]
	}
	s.kind.Batch = &s.batch
	s.frame.Kind = &s.kind
	return &s.frame
}

func topologyToProto(networks []link.Network) *pb.Topology {
	t := &pb.Topology{Networks: make([]*pb.Network, len(networks))}
	for i, n := range networks {
		t.Networks[i] = &pb.Network{NetworkId: n.ID, InstanceId: n.Instance[:], Software: n.Software}
	}
	return t
}

func greetingToProto(g *link.Greeting) *pb.Frame {
	out := &pb.Greeting{
		ProtocolVersion:  g.Version,
		Features:         g.Features,
		NetworkId:        g.NetworkID,
		InstanceId:       g.Instance[:],
		LinkId:           []byte(g.LinkID),
		Pattern:          g.Pattern,
		MaxMessageSize:   g.MaxMessageSize,
		WindowMessages:   g.WindowMessages,
		WindowBytes:      g.WindowBytes,
		Topology:         topologyToProto(g.Behind),
		ExpectedSequence: g.Expected,
		Software:         g.Software,
	}
	if g.Session != (link.SessionID{}) {
		out.SessionId = g.Session[:]
	}
	return &pb.Frame{Kind: &pb.Frame_Greeting{Greeting: out}}
}

// FrameFromProto returns the frame that a peer has sent as in, and that came at now. Names
// and data are shared. A frame of an unknown kind is a *link.Unknown, an *link.Error is
// marked Remote. The error is a *link.Error of code Protocol: in cannot be a frame, or it
// has more parts than its kind may have.
func FrameFromProto(in *pb.Frame, now time.Time) (link.Frame, error) {
	switch kind := in.GetKind().(type) {
	case *pb.Frame_Batch:
		if kind.Batch == nil {
			return nil, link.Errorf(link.Protocol, "a batch without contents")
		}
		n := len(kind.Batch.Messages)
		if n > link.MaxBatchMessages {
			return nil, link.Errorf(link.Protocol, "a batch of %d messages, at most %d are allowed", n, link.MaxBatchMessages)
		}
		b := &link.Batch{First: kind.Batch.FirstSequence, Ack: kind.Batch.Ack, Messages: make([]kbusdev.Message, n)}
		for i, m := range kind.Batch.Messages {
			if m == nil {
				return nil, link.Errorf(link.Protocol, "a batch with an empty message")
			}
			FromProto(&b.Messages[i], m, now)
		}
		return b, nil
	case *pb.Frame_Ack:
		return &link.Ack{Sequence: kind.Ack.GetSequence()}, nil
	case *pb.Frame_Ping:
		return &link.Ping{Received: kind.Ping.GetReceivedSequence()}, nil
	case *pb.Frame_Interest:
		i := kind.Interest
		if n := len(i.GetWanted()) + len(i.GetUnwanted()); n > link.MaxInterestNames {
			return nil, link.Errorf(link.Protocol, "%d names in an interest, at most %d are allowed", n, link.MaxInterestNames)
		}
		return &link.Interest{Restart: i.GetRestart(), Wanted: i.GetWanted(), Unwanted: i.GetUnwanted(), Whole: i.GetWhole()}, nil
	case *pb.Frame_Table:
		return tableFromProto(kind.Table), nil
	case *pb.Frame_Topology:
		networks, err := topologyFromProto(kind.Topology)
		if err != nil {
			return nil, err
		}
		t := &link.Topology{Networks: networks, Amends: kind.Topology.GetAmends()}
		if removed := kind.Topology.GetRemovedNetworkIds(); t.Amends {
			if len(removed) > link.MaxNetworks {
				return nil, link.Errorf(link.Protocol, "%d networks behind the peer have gone, at most %d are allowed", len(removed), link.MaxNetworks)
			}
			t.Removed = removed
		}
		return t, nil
	case *pb.Frame_Drain:
		return &link.Drain{Reason: clip(kind.Drain.GetReason()), Done: kind.Drain.GetDone()}, nil
	case *pb.Frame_Error:
		e := kind.Error
		return &link.Error{Code: link.Code(e.GetCode()), Message: clip(e.GetMessage()), NetworkID: e.GetNetworkId(), Remote: true}, nil
	case *pb.Frame_Greeting:
		return greetingFromProto(kind.Greeting)
	case *pb.Frame_Explain:
		return questionFromProto(kind.Explain), nil
	case *pb.Frame_Explained:
		return answerFromProto(kind.Explained)
	default:
		return &link.Unknown{}, nil
	}
}

func tableToProto(t *link.Table) *pb.Table {
	switch t.Kind {
	case link.TableDigest:
		return &pb.Table{Kind: &pb.Table_Digest_{Digest: &pb.Table_Digest{Names: t.Names, Sum: t.Sum}}}
	case link.TableResync:
		return &pb.Table{Kind: &pb.Table_Resync_{Resync: &pb.Table_Resync{}}}
	case link.TableBegin:
		return &pb.Table{Kind: &pb.Table_Begin_{Begin: &pb.Table_Begin{}}}
	case link.TableEnd:
		return &pb.Table{Kind: &pb.Table_End_{End: &pb.Table_End{}}}
	}
	return &pb.Table{}
}

func tableFromProto(t *pb.Table) link.Frame {
	switch t.GetKind().(type) {
	case *pb.Table_Digest_:
		return &link.Table{Kind: link.TableDigest, Names: t.GetDigest().GetNames(), Sum: t.GetDigest().GetSum()}
	case *pb.Table_Resync_:
		return &link.Table{Kind: link.TableResync}
	case *pb.Table_Begin_:
		return &link.Table{Kind: link.TableBegin}
	case *pb.Table_End_:
		return &link.Table{Kind: link.TableEnd}
	}
	return &link.Unknown{}
}

// clip returns what a peer says to people in at most about 1000 bytes, and without the
// control characters that a terminal would obey.
func clip(s string) string {
	const most = 1000
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}

func topologyFromProto(t *pb.Topology) ([]link.Network, error) {
	if n := len(t.GetNetworks()); n > link.MaxNetworks {
		return nil, link.Errorf(link.Protocol, "%d networks behind the peer, at most %d are allowed", n, link.MaxNetworks)
	}
	networks := make([]link.Network, len(t.GetNetworks()))
	for i, n := range t.GetNetworks() {
		if len(n.GetInstanceId()) != len(link.InstanceID{}) {
			return nil, link.Errorf(link.Protocol, "a network behind the peer has an instance id of %d bytes, not %d", len(n.GetInstanceId()), len(link.InstanceID{}))
		}
		networks[i] = link.Network{ID: n.GetNetworkId(), Instance: link.InstanceID(n.GetInstanceId()), Software: n.GetSoftware()}
	}
	return networks, nil
}

func greetingFromProto(g *pb.Greeting) (link.Frame, error) {
	if g.GetProtocolVersion() != link.ProtocolVersion {
		return &link.Greeting{Version: g.GetProtocolVersion()}, nil // whatever else it says, it is refused
	}
	if n := len(g.GetInstanceId()); n != len(link.InstanceID{}) {
		return nil, link.Errorf(link.Protocol, "an instance id of %d bytes, not %d", n, len(link.InstanceID{}))
	}
	if n := len(g.GetSessionId()); n != 0 && n != len(link.SessionID{}) {
		return nil, link.Errorf(link.Protocol, "a session id of %d bytes, not %d", n, len(link.SessionID{}))
	}
	behind, err := topologyFromProto(g.GetTopology())
	if err != nil {
		return nil, err
	}
	out := &link.Greeting{
		Version:        g.GetProtocolVersion(),
		Features:       g.GetFeatures(),
		NetworkID:      g.GetNetworkId(),
		Instance:       link.InstanceID(g.GetInstanceId()),
		LinkID:         string(g.GetLinkId()),
		Pattern:        g.GetPattern(),
		MaxMessageSize: g.GetMaxMessageSize(),
		WindowMessages: g.GetWindowMessages(),
		WindowBytes:    g.GetWindowBytes(),
		Behind:         behind,
		Expected:       g.GetExpectedSequence(),
		Software:       g.GetSoftware(),
	}
	if len(g.GetSessionId()) > 0 {
		out.Session = link.SessionID(g.GetSessionId())
	}
	return out, nil
}
