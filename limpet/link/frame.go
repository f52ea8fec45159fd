package link

import (
	"encoding/hex"
	"slices"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/explain"
)

// A Frame is one of *Greeting, *BatchOf, *Ack, *Topology, *Interest, *Table, *Drain,
// *Ping, *Error, *Question, *Answer and *Unknown. A stream is done with a frame when Send returns, but for the
// data of messages, which is never changed.
type Frame interface{ frame() }

// A Batch is messages in the order in which the receiver's bus is to get them.
type Batch = BatchOf[kbusdev.Message]

// A BatchOf is messages of some kind in the order in which they were put.
type BatchOf[T any] struct {
	// First is the sequence number of the first message; the others follow without
	// gaps. The first number of a session is 1.
	First uint64
	// Messages are at least one and at most MaxBatchMessages.
	Messages []T
	// Ack is an acknowledgement that is piggybacked; 0 is none.
	Ack uint64
	// Taken is set by a Driver in TakeFrame if nobody needs Messages any more, but for what
	// they refer to: who has decoded them may use their memory again.
	Taken bool
}

// Clone returns a batch of its own memory, but for the data of its messages.
func (b *BatchOf[T]) Clone() *BatchOf[T] {
	return &BatchOf[T]{First: b.First, Messages: slices.Clone(b.Messages), Ack: b.Ack}
}

// An Ack says that the fate of every message up to Sequence has been decided on the
// sender's bus.
type Ack struct{ Sequence uint64 }

// A Topology tells which networks lie behind the sender. Each one replaces the one
// before, or amends it.
type Topology struct {
	// Networks are all of them, or, if Amends is set, those that are new or have another
	// instance. At most MaxNetworks.
	Networks []Network
	// Amends is set if only what has changed is told.
	Amends bool
	// Removed are the ids of those that have gone, if Amends is set; at most MaxNetworks.
	Removed []uint32
}

// A Drain says that the sender is about to end the epoch.
type Drain struct {
	// Reason is why, for people.
	Reason string
	// Done makes it the answer to the other side's Drain instead: the sender waits for no
	// reply, and asks nothing any more.
	Done bool
}

// A Ping is a sign of life that each side sends every PingEvery. It has no answer.
type Ping struct {
	// Received is the last sequence number that the sender of the ping has received. Its
	// bus may not have taken that message yet.
	Received uint64
}

// MaxInterestNames bounds the names in an Interest.
const MaxInterestNames = 1024

// An Interest tells which messages are wanted behind the sender: those whose names the
// wanted names match. Announcements that nobody wants need not be sent.
type Interest struct {
	// Restart forgets all that was wanted before. Until Whole the sender may want
	// anything.
	Restart bool
	// Wanted and Unwanted are names, perhaps wildcards, in that order; at most
	// MaxInterestNames together.
	Wanted, Unwanted []string
	// Whole reports that the receiver knows all that is wanted now.
	Whole bool
}

// A TableKind says what a Table is for.
type TableKind uint8

// The kinds of a Table.
const (
	// TableDigest tells what the sender's table of repliers amounts to, as the receiver
	// must know it.
	TableDigest TableKind = iota + 1
	// TableResync asks the receiver to tell its whole table again.
	TableResync
	// TableBegin and TableEnd stand around such a telling: what none of the bind events
	// between them has named is not bound.
	TableBegin
	TableEnd
)

// A Table is about the table of repliers that the bind events add up to. It is sent
// when every bind event before it has been acknowledged.
type Table struct {
	Kind TableKind
	// Names and Sum are the digest, see translate.Digest; with TableDigest only.
	Names, Sum uint64
}

// A Question asks what would become of a message that the sender would send.
type Question struct{ explain.Question }

// An Answer answers a Question.
type Answer struct {
	// ID is the question's.
	ID uint64
	// Hop is what becomes of the message at the sender; nil if it is asked too often.
	Hop *explain.Hop
}

// Unknown is a frame of a kind that this version does not know. It is counted and
// ignored.
type Unknown struct{}

func (*Greeting) frame()   {}
func (*BatchOf[T]) frame() {}
func (*Ack) frame()        {}
func (*Topology) frame()   {}
func (*Drain) frame()      {}
func (*Ping) frame()       {}
func (*Error) frame()      {}
func (*Interest) frame()   {}
func (*Table) frame()      {}
func (*Question) frame()   {}
func (*Answer) frame()     {}
func (*Unknown) frame()    {}

// An InstanceID is made at random when a process starts. It tells two daemons with
// the same network id apart, and a daemon from the one before its restart.
type InstanceID [16]byte

// String returns the id in hexadecimal.
func (id InstanceID) String() string { return hex.EncodeToString(id[:]) }

// A SessionID is made at random for each session, by the side that accepts it. The
// zero value is no session.
type SessionID [16]byte

// String returns the id in hexadecimal.
func (id SessionID) String() string { return hex.EncodeToString(id[:]) }

// A Network is a bus that can be reached, and the daemon there.
type Network struct {
	// ID is the network id of the bus, above 0.
	ID uint32
	// Instance is that of the daemon.
	Instance InstanceID
	// Software is the version of its program, for people: at most 64 bytes, and "" if it is
	// not known.
	Software string
}

// Bounds of a batch.
const (
	// MaxBatchMessages bounds the messages of a batch.
	MaxBatchMessages = 256
	// MaxBatchBytes bounds a batch of more than one message, in encoded bytes: grpc-go
	// takes a frame of more than 32 KiB into a buffer of 1 MiB.
	MaxBatchBytes = 32<<10 - 512
	// messageOverhead is the most that the fields of a message other than its name and
	// data take when encoded, in bytes, but for its trace context.
	messageOverhead = 96
	// traceOverhead is what that takes.
	traceOverhead = 28
)

// EncodedSize returns an upper bound of what m takes in a batch, in bytes.
func EncodedSize(m *kbusdev.Message) int { return m.Size() + messageOverhead + int(TraceOverhead(m)) }

// TraceOverhead returns what the trace context of m takes in a batch, in bytes: mostly nothing.
func TraceOverhead(m *kbusdev.Message) uint16 {
	if m.Trace == nil {
		return 0
	}
	return traceOverhead
}
