package program

import (
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
)

// ProtocolVersion is the version that this package speaks.
const ProtocolVersion = 1

// Limits of a hello.
const (
	maxFeatures = 64
	maxFeature  = 64 // bytes of its name
)

// A Hello is the first thing that a program says.
type Hello struct {
	// Version is that of the protocol.
	Version uint32
	// Features are what the program knows beyond the version, by name: at most 64 names of
	// at most 64 bytes.
	Features []string
	// Mode is what a new Ksock is for.
	Mode kbusdev.Mode
	// Session is to be resumed; zero is a new one.
	Session link.SessionID
	// Instance is that of the daemon that made the session.
	Instance link.InstanceID
	// Expected is the next sequence number that the program expects: 1 in a new session.
	Expected uint64
	// WindowMessages and WindowBytes bound what may be in flight to the program.
	WindowMessages uint32
	WindowBytes    uint64
}

// Check returns a *link.Error that says what is wrong with the hello by itself, or nil.
func (h *Hello) Check() error {
	if err := check(h.Version, h.Features, h.WindowMessages, h.WindowBytes); err != nil {
		return err
	}
	switch {
	case h.Session != link.SessionID{}:
	case !h.Mode.CanRead() && !h.Mode.CanWrite():
		return link.Errorf(link.Protocol, "the mode of a Ksock is %d, not 1 (read), 2 (write) or 3 (both)", h.Mode)
	case h.Expected != 1:
		return link.Errorf(link.Protocol, "sequence number %d is expected in a new session, it can only be 1", h.Expected)
	}
	return nil
}

// A Welcome is the answer to a hello: the session that holds from now on.
type Welcome struct {
	// Version is that of the protocol.
	Version uint32
	// Features are what the daemon knows beyond the version, as in Hello.
	Features []string
	// Session is the one that was to be resumed, or a new one.
	Session link.SessionID
	// Instance is the daemon's.
	Instance link.InstanceID
	// Expected is the next sequence number that the daemon expects: 1 in a new session.
	Expected uint64
	// Ksock is the Ksock's id on the bus.
	Ksock kbusdev.KsockID
	// WindowMessages and WindowBytes bound what may be in flight to the daemon. The lesser
	// of both sides' values holds for both directions.
	WindowMessages uint32
	WindowBytes    uint64
	// GraceMs is how long the session is kept after a stream has broken, in milliseconds.
	GraceMs uint64
	// MaxMessageSize is the bus's bound on an entire message, in bytes.
	MaxMessageSize uint32
}

// Check returns a *link.Error that says what is wrong with the welcome by itself, or nil.
func (w *Welcome) Check() error {
	if err := check(w.Version, w.Features, w.WindowMessages, w.WindowBytes); err != nil {
		return err
	}
	if w.Session == (link.SessionID{}) || w.Ksock == 0 {
		return link.Errorf(link.Protocol, "the daemon's welcome has session id %s and Ksock %d", w.Session, w.Ksock)
	}
	return nil
}

func check(version uint32, features []string, windowMessages uint32, windowBytes uint64) error {
	switch {
	case version != ProtocolVersion:
		return link.Errorf(link.Version, "the peer speaks version %d of the protocol for programs, this side %d", version, ProtocolVersion)
	case len(features) > maxFeatures:
		return link.Errorf(link.Protocol, "%d features, at most %d are allowed", len(features), maxFeatures)
	case windowMessages == 0 || windowBytes == 0:
		return link.Errorf(link.Protocol, "a window of %d messages and %d bytes takes nothing", windowMessages, windowBytes)
	}
	for _, f := range features {
		if len(f) > maxFeature {
			return link.Errorf(link.Protocol, "a feature's name has %d bytes, at most %d are allowed", len(f), maxFeature)
		}
	}
	return nil
}

// SessionConfig returns the configuration of the session that a hello and a welcome agree
// on.
func SessionConfig(h *Hello, w *Welcome) link.SessionConfig {
	return link.SessionConfig{
		ID:             w.Session,
		WindowMessages: int(min(h.WindowMessages, w.WindowMessages, 1<<20)),
		WindowBytes:    int(min(h.WindowBytes, w.WindowBytes, 1<<30)),
	}
}
