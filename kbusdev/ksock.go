package kbusdev

import "context"

// A Mode says what a Ksock is opened for. Any mode may bind.
type Mode uint8

// The modes a Ksock can be opened in.
const (
	ReadOnly Mode = iota + 1
	WriteOnly
	ReadWrite
)

// CanRead reports whether messages can be read in this mode.
func (m Mode) CanRead() bool { return m == ReadOnly || m == ReadWrite }

// CanWrite reports whether messages can be written in this mode.
func (m Mode) CanWrite() bool { return m == WriteOnly || m == ReadWrite }

// A Role is how a name is bound.
type Role bool

// The two ways to bind a name.
const (
	// Listener hears every message of that name.
	Listener Role = false
	// Replier gets the requests of that name and owes them replies.
	Replier Role = true
)

// String says "listener" or "replier".
func (r Role) String() string {
	if r == Replier {
		return "replier"
	}
	return "listener"
}

// A Switch is the argument and result of the ioctls that turn something on.
type Switch uint32

// The values a Switch may have; any other is EINVAL.
const (
	Off Switch = 0
	On  Switch = 1
	// Ask changes nothing.
	Ask Switch = 0xFFFFFFFF
)

// Facts of the module.
const (
	// DefaultMaxMessages is the bound of a new Ksock's queue, in messages.
	DefaultMaxMessages = 100
	// AbsoluteMaxMessageSize bounds an entire message, in bytes, in a module
	// built out of tree (1024 when built in tree).
	AbsoluteMaxMessageSize = 409600
	// MinMaxMessageSize is the least that the bound can be set to, in bytes.
	MinMaxMessageSize = 100
)

// Readiness is what poll tells of a Ksock.
type Readiness struct {
	// In: a message is queued.
	In bool
	// Out: the Ksock can write, and no send is pending.
	Out bool
}

// A Binding is one name bound on a bus.
type Binding struct {
	Ksock KsockID
	Role  Role
	Name  string
}

// A Bus is one KBUS device.
type Bus interface {
	// Open makes a new Ksock on the bus.
	Open(mode Mode) (Ksock, error)
	// Bindings lists every binding on the bus, newest first.
	Bindings() ([]Binding, error)
	// String names the bus for people, like "/dev/kbus0" or "embedded".
	String() string
}

// A Ksock is one open of a KBUS device: the device's every operation, and on
// top of them whole messages with contexts.
//
// Every method is safe for concurrent use. Methods return an *OpError around
// the errno, or around net.ErrClosed once the Ksock is closed.
//
// There are two ways to write, and two to read, which should not be mixed
// between goroutines: Send and Recv move whole messages; Write, Commit, Next
// and Read are the device's own steps.
type Ksock interface {
	// ID is the Ksock's id on its bus, never 0.
	ID() KsockID
	// String names the Ksock for people: bus and id.
	String() string

	// Send writes m and sends it, and returns the id it got. m is not kept, but
	// its Data may be: nobody may change those bytes afterwards.
	//
	// With AllOrWait the call waits for room until ctx ends; then the message is
	// discarded, and the error is EAGAIN and the context's error at once. A send
	// that failed while it waited counts as sent: the bus has queued a synthetic
	// reply to say so. The id is returned with every error that came after the bus
	// had given it, as LASTSENT would show it.
	Send(ctx context.Context, m *Message) (MsgID, error)
	// Recv waits for the next message and returns it; it is the caller's, but its
	// Data is shared and must not be changed. It returns at once when ctx ends or
	// the Ksock is closed; a message that is queued is given even when ctx has
	// ended before, so that an ended context asks without waiting.
	Recv(ctx context.Context) (*Message, error)
	// RecvBatch waits like Recv, then fills dst with what is queued, at least one,
	// and returns how many.
	RecvBatch(ctx context.Context, dst []*Message) (int, error)

	// Bind binds name. EBADMSG, ENAMETOOLONG; EADDRINUSE when somebody else is its
	// replier; EAGAIN when a listener for bind events has no room.
	Bind(name string, as Role) error
	// Unbind undoes the newest identical binding; EINVAL if there is none. What
	// was queued through it is gone, and requests among that answered Unbound.
	Unbind(name string, as Role) error
	// Replier asks who is bound as replier to exactly this string.
	Replier(name string) (KsockID, bool, error)

	// Write adds bytes of an entire message, in the bus's layout, to the message
	// being written; EALREADY, and nothing lost, while a send is pending.
	Write(b []byte) (int, error)
	// Commit sends what was written (the SEND ioctl). With EAGAIN the send is
	// pending, and the id already given.
	Commit() (MsgID, error)
	// Discard drops what was written or is pending.
	Discard() error
	// Next takes the next message for reading and returns its entire length in
	// bytes, 0 if none is queued. A half-read message is gone.
	Next() (int, error)
	// Read reads bytes of the message taken by Next; 0 and nil at its end.
	Read(b []byte) (int, error)
	// LenLeft says how many bytes of the taken message are still to be read.
	LenLeft() (int, error)
	// Poll tells what can be done without waiting, and tries a pending send again.
	Poll() (Readiness, error)

	// LastSent is the id of the last message this Ksock tried to send.
	LastSent() (MsgID, error)
	// NumMessages is how many messages are queued for us.
	NumMessages() (int, error)
	// Unreplied is how many requests we have read and still owe a reply.
	Unreplied() (int, error)
	// MaxMessages sets the bound of our queue, in messages; 0 asks. It returns the
	// bound now.
	MaxMessages(n uint32) (uint32, error)
	// MaxMessageSize sets the bus's bound on an entire message, in bytes: 0 asks, 1
	// asks for the absolute maximum, else EINVAL outside MinMaxMessageSize and that.
	MaxMessageSize(n uint32) (uint32, error)
	// OnlyOnce turns on that a message reaches this Ksock once however often it is
	// bound. It returns the previous value.
	OnlyOnce(s Switch) (Switch, error)
	// Verbose turns on the device's own log, where it has one. It returns the
	// previous value.
	Verbose(s Switch) (Switch, error)
	// ReportReplierBinds turns on, for the whole bus, an announcement for each
	// replier bound or unbound. On also queues one for every replier already bound
	// to this Ksock; EBUSY if they do not fit. It returns the previous value.
	ReportReplierBinds(s Switch) (Switch, error)
	// NewDevice makes another, empty bus beside this one and returns its number.
	NewDevice() (uint32, error)

	// Close gives back everything the Ksock holds; the bus answers what it owed.
	// It unblocks every waiting call. Closing again is net.ErrClosed.
	Close() error
}
