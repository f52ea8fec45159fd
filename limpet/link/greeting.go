package link

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// ProtocolVersion is the version of the frames that this package speaks.
const ProtocolVersion = 1

// A Greeting is the first frame of each side: who the sender is, what it takes, and
// which session is to be resumed.
type Greeting struct {
	// Version is that of the protocol.
	Version uint32
	// Features are what the sender knows beyond the version, by name: at most 64 names of
	// at most 64 bytes.
	Features []string
	// NetworkID is the sender's, above 0.
	NetworkID uint32
	// Instance is the sender's.
	Instance InstanceID
	// LinkID names the link in the process that dials, the same each time it dials: at
	// most 64 bytes, any. It is empty from the side that is dialled.
	LinkID string
	// Pattern is what the sender forwards: a name that can be bound.
	Pattern string
	// MaxMessageSize is the sender's bus's bound on entire messages, in bytes.
	MaxMessageSize uint32
	// WindowMessages and WindowBytes bound what may be in flight to the sender. The
	// lesser of both sides' values holds for both directions.
	WindowMessages uint32
	WindowBytes    uint64
	// Behind are the networks behind the sender, at most MaxNetworks.
	Behind []Network
	// Session is the session that the dialling side wants to resume, zero for none. In
	// the answer it is the session that holds from now on: the same one, resumed, or a
	// new one.
	Session SessionID
	// Expected is the next sequence number that the sender expects in that session: 1
	// in a new one.
	Expected uint64
	// Software is the version of the sender's program, for people: at most 64 bytes, and ""
	// if it does not say.
	Software string
}

// MaxNetworks bounds the networks in a Greeting or a Topology.
const MaxNetworks = 4096

// Other limits of a greeting.
const (
	maxLinkID   = 64 // bytes
	maxFeatures = 64
	maxFeature  = 64 // bytes of its name
	maxSoftware = 64 // bytes
)

// Check returns an *Error that says what is wrong with a greeting by itself, or nil. The
// greeting's memory is bounded then.
func (g *Greeting) Check() error {
	switch {
	case g.Version != ProtocolVersion:
		return Errorf(Version, "the peer speaks protocol version %d, this side %d", g.Version, ProtocolVersion)
	case g.NetworkID == 0:
		return Errorf(BadNetworkID, "network id 0 cannot be used on a link; choose one above 0 with --network-id")
	case g.Instance == InstanceID{}:
		return Errorf(Protocol, "the greeting has no instance id")
	case len(g.LinkID) > maxLinkID:
		return Errorf(Protocol, "a link id of %d bytes, at most %d are allowed", len(g.LinkID), maxLinkID)
	case len(g.Features) > maxFeatures:
		return Errorf(Protocol, "%d features, at most %d are allowed", len(g.Features), maxFeatures)
	case len(g.Software) > maxSoftware:
		return Errorf(Protocol, "a version of %d bytes, at most %d are allowed", len(g.Software), maxSoftware)
	case g.WindowMessages == 0 || g.WindowBytes == 0:
		return Errorf(Protocol, "a window of %d messages and %d bytes takes nothing", g.WindowMessages, g.WindowBytes)
	}
	for _, f := range g.Features {
		if len(f) > maxFeature {
			return Errorf(Protocol, "a feature's name has %d bytes, at most %d are allowed", len(f), maxFeature)
		}
	}
	if err := kbusdev.CheckBindName(g.Pattern); err != nil {
		return Errorf(Protocol, "the pattern %.100q is not a name: %v", g.Pattern, err)
	}
	return CheckNetworks(g.Behind)
}

// CheckNetworks returns an *Error if a list of networks from a peer cannot be right, or is
// too long.
func CheckNetworks(networks []Network) error {
	if len(networks) > MaxNetworks {
		return Errorf(Protocol, "%d networks behind the peer, at most %d are allowed", len(networks), MaxNetworks)
	}
	for i := range networks {
		n := &networks[i]
		if len(n.Software) > maxSoftware {
			return Errorf(Protocol, "network %d behind the peer has a version of %d bytes, at most %d are allowed", n.ID, len(n.Software), maxSoftware)
		}
		if n.ID == 0 || n.Instance == (InstanceID{}) {
			return Errorf(Protocol, "a network behind the peer has id %d and instance id %s", n.ID, n.Instance)
		}
	}
	return nil
}

// Judge returns an *Error if the two sides cannot be linked whatever else is linked to
// them: they are the same daemon, or have the same network id.
func (g *Greeting) Judge(peer *Greeting) error {
	switch {
	case peer.Instance == g.Instance:
		return &Error{Code: Loop, NetworkID: g.NetworkID, Message: "a daemon cannot link to itself"}
	case peer.NetworkID == g.NetworkID:
		return &Error{Code: SameNetworkID, NetworkID: g.NetworkID,
			Message: fmt.Sprintf("both ends have network id %d; give each bus its own with --network-id", g.NetworkID)}
	}
	return nil
}

// greetTimeout bounds the wait for the peer's greeting.
const greetTimeout = 10 * time.Second

// Hear blocks until the peer's greeting comes, at most 10 s, and checks it. When it
// fails the peer has been told why, and the stream is closed.
func Hear(ctx context.Context, stream Stream) (*Greeting, error) {
	var peer *Greeting
	err := within(ctx, stream, func() (err error) { peer, err = hear(stream); return err })
	if err != nil {
		Refuse(stream, err, false)
		return nil, err
	}
	return peer, nil
}

// Greet sends our greeting, then hears the peer's: it is for the side that dials.
// When it fails the peer has been told why, and the stream is closed.
func Greet(ctx context.Context, stream Stream, ours *Greeting) (*Greeting, error) {
	var peer *Greeting
	err := within(ctx, stream, func() (err error) {
		if err := stream.Send(ours); err != nil {
			// The peer may have refused us already: its reason says more than the failure.
			if f, rerr := stream.Recv(); rerr == nil {
				if e, ok := f.(*Error); ok {
					return e
				}
			}
			return streamError("sending the greeting", err)
		}
		peer, err = hear(stream)
		return err
	})
	if err != nil {
		Refuse(stream, err, true)
		return nil, err
	}
	return peer, nil
}

func hear(stream Stream) (*Greeting, error) {
	f, err := stream.Recv()
	if err != nil {
		return nil, streamError("waiting for the peer's greeting", err)
	}
	switch f := f.(type) {
	case *Greeting:
		return f, f.Check()
	case *Error:
		return nil, f
	default:
		return nil, Errorf(Protocol, "the first frame must be a greeting")
	}
}

// within closes the stream when ctx ends or the time for greetings is over, and then
// gives that as the reason.
func within(ctx context.Context, stream Stream, greet func() error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, greetTimeout, fmt.Errorf("no greeting from the peer within %v", greetTimeout))
	defer cancel()
	stop := context.AfterFunc(ctx, stream.Close)
	err := greet()
	if !stop() {
		return context.Cause(ctx)
	}
	return err
}

// closeTimeout bounds the end of a stream after the last frame.
const closeTimeout = time.Second

// Refuse closes the stream, and tells the peer why if err is an *Error of ours. A
// side that dialled waits up to a second until the peer closes in its turn: to close
// at once could overtake the reason.
func Refuse(stream Stream, err error, dialled bool) {
	defer stream.Close()
	var why *Error
	if !errors.As(err, &why) || why.Remote {
		return
	}
	defer time.AfterFunc(closeTimeout, stream.Close).Stop()
	if stream.Send(why) != nil || stream.CloseSend() != nil || !dialled {
		return
	}
	for {
		if _, err := stream.Recv(); err != nil {
			return
		}
	}
}
