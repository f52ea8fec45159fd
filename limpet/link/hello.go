package link

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev"
)

// ProtocolVersion is the version of the frames that this package speaks.
const ProtocolVersion = 1

// An InstanceID is made at random when a process starts, and tells two daemons
// with the same network id apart.
type InstanceID [16]byte

// String gives the id in hexadecimal.
func (id InstanceID) String() string { return hex.EncodeToString(id[:]) }

// A Network is one that can be reached, and the daemon there.
type Network struct {
	ID       uint32
	Instance InstanceID
}

// maxNetworks bounds the networks that a peer may name.
const maxNetworks = 4096

// Config is our side of a session.
type Config struct {
	// NetworkID is ours, > 0.
	NetworkID uint32
	// Instance is ours.
	Instance InstanceID
	// LinkID names the link in the dialling process; nil at the side that is dialled.
	LinkID []byte
	// Pattern is what we forward: a binding name.
	Pattern string
	// MaxMessageSize is our bus's bound on entire messages, in bytes.
	MaxMessageSize uint32
	// WindowMessages and WindowBytes bound what the peer may have under way to us,
	// and with the peer's own bounds what we have under way to it. 0 is 16 384
	// messages and 16 MiB.
	WindowMessages uint32
	WindowBytes    uint64
	// Judge is asked about the peer, before a dialled side answers its hello; the
	// networks behind us are its other result. An *Error refuses the peer.
	Judge func(Peer) ([]Network, error)
	// Behind gives the networks behind a side that dials.
	Behind func() []Network
	// OnTopology is told what lies behind the peer when that changes. An *Error
	// ends the link. It must not block.
	OnTopology func([]Network) error
	// OnDrain is told that the peer is about to end the link. It must not block.
	OnDrain func(reason string)
	// OnAck is called when the peer has acked something. It must not block.
	OnAck func()
	// NoAcks is for a peer that sends no acks and keeps no window. A message counts as
	// taken by it once the stream has it, and the stream is not read while our own
	// window is full.
	NoAcks bool
	// HelloTimeout bounds the wait for the peer's hello; 0 is 10 s.
	HelloTimeout time.Duration
	// AckDelay is how long an ack waits for a batch to ride on; 0 is 2 ms.
	AckDelay time.Duration
	// CloseTimeout bounds the end of the stream; 0 is 1 s.
	CloseTimeout time.Duration
}

func (c *Config) setDefaults() {
	if c.Pattern == "" {
		c.Pattern = "$.*"
	}
	setDefault(&c.WindowMessages, 16384)
	setDefault(&c.WindowBytes, 16<<20)
	setDefault(&c.HelloTimeout, 10*time.Second)
	setDefault(&c.AckDelay, 2*time.Millisecond)
	setDefault(&c.CloseTimeout, time.Second)
}

func setDefault[T uint32 | uint64 | time.Duration](v *T, to T) {
	if *v == 0 {
		*v = to
	}
}

// A Peer is what the other side's hello says.
type Peer struct {
	NetworkID      uint32
	Instance       InstanceID
	LinkID         string // raw bytes; empty from the side that was dialled
	Pattern        string
	MaxMessageSize uint32
	Features       []string
	Behind         []Network

	windowMessages uint32
	windowBytes    uint64
}

// Dial says hello first, then waits for the peer's. It takes the stream over:
// when it fails the stream is closed.
func Dial(ctx context.Context, stream Stream, cfg Config) (*Session, error) {
	return open(ctx, stream, cfg, func(s *Session) error {
		var behind []Network
		if cfg.Behind != nil {
			behind = cfg.Behind()
		}
		if err := s.sayHello(behind); err != nil {
			return err
		}
		if err := s.hearHello(); err != nil {
			return err
		}
		if cfg.Judge != nil {
			_, err := cfg.Judge(s.peer)
			return err
		}
		return nil
	})
}

// Accept waits for the peer's hello, judges it, and answers. It takes the stream
// over: when it fails the peer has been told why and the stream is closed.
func Accept(ctx context.Context, stream Stream, cfg Config) (*Session, error) {
	return open(ctx, stream, cfg, func(s *Session) error {
		if err := s.hearHello(); err != nil {
			return err
		}
		var behind []Network
		if cfg.Judge != nil {
			var err error
			if behind, err = cfg.Judge(s.peer); err != nil {
				return err
			}
		}
		return s.sayHello(behind)
	})
}

func open(ctx context.Context, stream Stream, cfg Config, greet func(*Session) error) (*Session, error) {
	cfg.setDefaults()
	s := &Session{
		cfg:      cfg,
		stream:   stream,
		room:     make(chan struct{}, 1),
		wakeSend: make(chan struct{}, 1),
		wakeRecv: make(chan struct{}, 1),
		credit:   make(chan struct{}, 1),
		ended:    make(chan struct{}),
	}
	ctx, cancel := context.WithTimeoutCause(ctx, cfg.HelloTimeout, fmt.Errorf("no hello from the peer within %v", cfg.HelloTimeout))
	defer cancel()
	stop := context.AfterFunc(ctx, stream.Close)
	err := greet(s)
	if !stop() && err == nil || err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		var refusal *Error
		if errors.As(err, &refusal) && !refusal.Remote {
			refuse(stream, refusal, cfg.LinkID != nil, cfg.CloseTimeout)
		}
		stream.Close()
		return nil, err
	}
	s.out.windowMessages = int(min(s.peer.windowMessages, cfg.WindowMessages))
	s.out.windowBytes = int(min(s.peer.windowBytes, cfg.WindowBytes))
	return s, nil
}

// refuse tells the peer why. A side that dialled waits until it has been heard and
// the peer closes in its turn, for closing at once could overtake its word; what
// the other side has sent comes before its end anyway.
func refuse(stream Stream, why *Error, dialled bool, limit time.Duration) {
	defer time.AfterFunc(limit, stream.Close).Stop()
	if stream.Send(errorFrame(why)) != nil || stream.CloseSend() != nil || !dialled {
		return
	}
	for {
		if _, err := stream.Recv(); err != nil {
			return
		}
	}
}

func errorFrame(e *Error) *pb.Frame {
	return &pb.Frame{Kind: &pb.Frame_Error{Error: &pb.Error{Code: e.Code, Message: e.Message, NetworkId: e.NetworkID}}}
}

func remoteError(e *pb.Error) *Error {
	msg := e.GetMessage()
	if len(msg) > 1000 {
		msg = msg[:1000] + "..."
	}
	return &Error{Code: e.GetCode(), Message: msg, NetworkID: e.GetNetworkId(), Remote: true}
}

func (s *Session) sayHello(behind []Network) error {
	c := &s.cfg
	hello := &pb.Hello{
		ProtocolVersion: ProtocolVersion,
		NetworkId:       c.NetworkID,
		InstanceId:      c.Instance[:],
		LinkId:          c.LinkID,
		Pattern:         c.Pattern,
		MaxMessageSize:  c.MaxMessageSize,
		WindowMessages:  c.WindowMessages,
		WindowBytes:     c.WindowBytes,
		Topology:        topologyFrame(behind),
	}
	if err := s.stream.Send(&pb.Frame{Kind: &pb.Frame_Hello{Hello: hello}}); err != nil {
		// The peer may have refused us already: its word says more than the failure.
		if frame, rerr := s.stream.Recv(); rerr == nil && frame.GetError() != nil {
			return remoteError(frame.GetError())
		}
		return streamError("saying hello", err)
	}
	return nil
}

func (s *Session) hearHello() error {
	frame, err := s.stream.Recv()
	if err != nil {
		return streamError("waiting for the peer's hello", err)
	}
	if e := frame.GetError(); e != nil {
		return remoteError(e)
	}
	h := frame.GetHello()
	if h == nil {
		return errorf(Protocol, "the first frame must be a hello")
	}
	s.peer, err = parseHello(h)
	if err != nil {
		return err
	}
	if s.peer.NetworkID == s.cfg.NetworkID && s.peer.Instance != s.cfg.Instance {
		return &Error{Code: SameNetworkID, NetworkID: s.cfg.NetworkID,
			Message: fmt.Sprintf("both ends have network id %d; give each bus its own with --network-id", s.cfg.NetworkID)}
	}
	if s.peer.Instance == s.cfg.Instance {
		return &Error{Code: Loop, NetworkID: s.cfg.NetworkID, Message: "a daemon cannot link to itself"}
	}
	return nil
}

func parseHello(h *pb.Hello) (Peer, error) {
	switch {
	case h.GetProtocolVersion() != ProtocolVersion:
		return Peer{}, errorf(Version, "protocol version %d is spoken there, %d here", h.GetProtocolVersion(), ProtocolVersion)
	case h.GetNetworkId() == 0:
		return Peer{}, errorf(BadNetworkID, "network id 0 cannot be used on a link; choose one above 0 with --network-id")
	case len(h.GetInstanceId()) != len(InstanceID{}):
		return Peer{}, errorf(Protocol, "an instance id of %d bytes, not %d", len(h.GetInstanceId()), len(InstanceID{}))
	case len(h.GetLinkId()) > 64:
		return Peer{}, errorf(Protocol, "a link id of %d bytes, at most 64 are allowed", len(h.GetLinkId()))
	case len(h.GetFeatures()) > 64:
		return Peer{}, errorf(Protocol, "%d features, at most 64 are allowed", len(h.GetFeatures()))
	case h.GetWindowMessages() == 0 || h.GetWindowBytes() == 0:
		return Peer{}, errorf(Protocol, "a window of %d messages and %d bytes takes nothing", h.GetWindowMessages(), h.GetWindowBytes())
	}
	if err := kbusdev.CheckBindName(h.GetPattern()); err != nil {
		return Peer{}, errorf(Protocol, "the pattern %.100q is not a name: %v", h.GetPattern(), err)
	}
	behind, err := parseTopology(h.GetTopology())
	if err != nil {
		return Peer{}, err
	}
	return Peer{
		NetworkID:      h.GetNetworkId(),
		Instance:       InstanceID(h.GetInstanceId()),
		LinkID:         string(h.GetLinkId()),
		Pattern:        h.GetPattern(),
		MaxMessageSize: h.GetMaxMessageSize(),
		Features:       h.GetFeatures(),
		Behind:         behind,
		windowMessages: h.GetWindowMessages(),
		windowBytes:    h.GetWindowBytes(),
	}, nil
}

func parseTopology(t *pb.Topology) ([]Network, error) {
	if n := len(t.GetNetworks()); n > maxNetworks {
		return nil, errorf(Protocol, "%d networks behind the peer, at most %d are allowed", n, maxNetworks)
	}
	var networks []Network
	for _, n := range t.GetNetworks() {
		if n.GetNetworkId() == 0 || len(n.GetInstanceId()) != len(InstanceID{}) {
			return nil, errorf(Protocol, "a network behind the peer has id %d and an instance id of %d bytes", n.GetNetworkId(), len(n.GetInstanceId()))
		}
		networks = append(networks, Network{ID: n.GetNetworkId(), Instance: InstanceID(n.GetInstanceId())})
	}
	return networks, nil
}

func topologyFrame(networks []Network) *pb.Topology {
	t := &pb.Topology{}
	for _, n := range networks {
		t.Networks = append(t.Networks, &pb.Network{NetworkId: n.ID, InstanceId: n.Instance[:]})
	}
	return t
}
