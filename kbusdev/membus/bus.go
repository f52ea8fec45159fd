package membus

import (
	"container/list"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// A Set is a family of buses, numbered like /dev/kbus0 and up. A Ksock on any of
// them can add another with NewDevice. Its methods are safe for concurrent use.
type Set struct {
	opts options

	mu    sync.Mutex
	buses []*Bus
}

// maxBuses bounds how many devices NewDevice makes in one set, as the module does.
const maxBuses = 256

type options struct {
	layout      kbusdev.Layout
	maxMessages uint32
	maxSize     uint32
	maxBytes    int
	maxAll      int
	firstSerial uint32
}

// DefaultMaxBytes bounds what waits in a queue, in bytes, unless WithMaxBytes says
// otherwise: 64 MiB, more than 100 messages of the greatest length need.
const DefaultMaxBytes = 64 << 20

// DefaultMaxBytesInAll bounds what waits in all queues of a bus together, in bytes, unless
// WithMaxBytesInAll says otherwise.
const DefaultMaxBytesInAll = 256 << 20

// An Option changes how the buses of a set are made.
type Option func(*options)

// WithLayout sets the layout of the bytes that Write takes and Read gives; the
// default is the host's.
func WithLayout(l kbusdev.Layout) Option { return func(o *options) { o.layout = l } }

// WithMaxMessages sets the queue bound that new Ksocks start with, in messages;
// the default is kbusdev.DefaultMaxMessages.
func WithMaxMessages(n uint32) Option { return func(o *options) { o.maxMessages = max(n, 1) } }

// WithMaxMessageSize sets the bound on entire messages that buses start with, in
// bytes; it is held within what the module allows, whose maximum is the default.
func WithMaxMessageSize(n uint32) Option {
	return func(o *options) {
		o.maxSize = min(max(n, kbusdev.MinMaxMessageSize), kbusdev.AbsoluteMaxMessageSize)
	}
}

// WithMaxBytes sets a second bound on each Ksock's queue, in bytes of names and data;
// the default is DefaultMaxBytes. A queue that has reached it has no room, and a send
// finds that as it finds a queue that is full of messages: EBUSY, EAGAIN, ENOLCK for
// a requester, or a listener that misses it. It passes the bound by one send at
// most, so an empty queue takes a message of any size. What needs no room, like a
// synthetic reply, is queued all the same. Data that several queues share is
// counted in each.
func WithMaxBytes(n int) Option { return func(o *options) { o.maxBytes = max(n, 1) } }

// WithMaxBytesInAll sets a bound on all queues of a bus together, in bytes of names and
// data; the default is DefaultMaxBytesInAll. Data that several queues share is counted once.
// A queue has room while it holds less than is free, so one that nobody reads leaves as much
// as it holds to others, and ten leave a tenth; and an empty queue takes a message in any
// case. Else it is as with WithMaxBytes.
func WithMaxBytesInAll(n int) Option { return func(o *options) { o.maxAll = max(n, 1) } }

// WithFirstSerial sets the serial number of the first message of each bus; the default
// is 1, as with the module. A bus that is made anew under the same network id should
// begin somewhere else than the one before: what that has sent may still be under way.
func WithFirstSerial(n uint32) Option { return func(o *options) { o.firstSerial = n } }

// NewSet makes a set with one bus, number 0.
func NewSet(opts ...Option) *Set {
	o := options{
		layout:      kbusdev.HostLayout,
		maxMessages: kbusdev.DefaultMaxMessages,
		maxSize:     kbusdev.AbsoluteMaxMessageSize,
		maxBytes:    DefaultMaxBytes,
		maxAll:      DefaultMaxBytesInAll,
		firstSerial: 1,
	}
	for _, opt := range opts {
		opt(&o)
	}
	s := &Set{opts: o}
	_, _ = s.Add()
	return s
}

// New makes a single bus, the first of a new set.
func New(opts ...Option) *Bus { return NewSet(opts...).Bus(0) }

// Bus gives bus number n, or nil if there is none.
func (s *Set) Bus(n int) *Bus {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n < 0 || n >= len(s.buses) {
		return nil
	}
	return s.buses[n]
}

// Add makes another bus, as a Ksock's NewDevice does, and gives its number; false
// when the set has all it may have.
func (s *Set) Add() (uint32, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.buses) == maxBuses {
		return 0, false
	}
	n := uint32(len(s.buses))
	s.buses = append(s.buses, &Bus{
		set:        s,
		number:     n,
		born:       time.Now(),
		layout:     s.opts.layout,
		maxSize:    s.opts.maxSize,
		lastSerial: s.opts.firstSerial - 1, // it wraps round
		names:      newIndex(),
	})
	return n, true
}

// A Bus is one KBUS device in memory. Its methods are safe for concurrent use.
type Bus struct {
	set    *Set
	number uint32
	layout kbusdev.Layout
	born   time.Time

	mu         sync.Mutex
	ksocks     idMap[*Ksock] // see ksock
	lastKsock  kbusdev.KsockID
	lastSerial uint32
	maxSize    uint32
	verbose    kbusdev.Switch
	reporting  kbusdev.Switch
	names      *index
	found      recipients // scratch space for one send at a time
	held       held       // what held up the last send that found no room
	waiting    list.List  // of *outgoing: all sends that wait for room
	spare      spares
	queued     load
	counts     counts
	judged     int // the Ksocks that have a judge
	watchers   []*watcher
	watches    []*watch
	onMiss     func(m *kbusdev.Message, by kbusdev.KsockID, reason string)    // see OnMiss
	onReply    func(name string, replier kbusdev.KsockID, took time.Duration) // see OnReply

	setAside    int  // unbind events set aside, over all Ksocks
	unbindsLost bool // more were to be set aside than may be; until there are none
}

var (
	_ kbusdev.Bus   = (*Bus)(nil)
	_ kbusdev.Ksock = (*Ksock)(nil)
)

// String names the bus: "embedded", with its number when it is not the first.
func (b *Bus) String() string {
	if b.number == 0 {
		return "embedded"
	}
	return fmt.Sprintf("embedded%d", b.number)
}

// Open makes a new Ksock. It fails only for a mode that is none.
func (b *Bus) Open(mode kbusdev.Mode) (kbusdev.Ksock, error) {
	if !mode.CanRead() && !mode.CanWrite() {
		return nil, &kbusdev.OpError{Op: "open", Name: b.String(), Err: errInvalid}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lastKsock++
	k := &Ksock{
		bus:         b,
		id:          b.lastKsock,
		mode:        mode,
		maxMessages: int(b.set.opts.maxMessages),
		maxBytes:    b.set.opts.maxBytes,
		queue:       queue{spare: &b.spare, all: &b.queued},
		readable:    make(chan struct{}, 1),
		room:        make(chan struct{}, 1),
		closed:      make(chan struct{}),
		awaited:     awaited{all: &b.counts.awaited},
	}
	b.counts.ksocks++
	b.ksocks.set(ksockKey(k.id), k)
	return k, nil
}

// FindReplier gives the binding of the most specific replier of a message name,
// or false if nobody replies to it, or it is no message name. It costs the same
// however much is bound.
func (b *Bus) FindReplier(name string) (kbusdev.Binding, bool) {
	if kbusdev.CheckName(name) != nil {
		return kbusdev.Binding{}, false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.names.replierFor(name)
	if r == nil {
		return kbusdev.Binding{}, false
	}
	return r.public(), true
}

// ksock returns the open Ksock with this id, or nil.
func (b *Bus) ksock(id kbusdev.KsockID) *Ksock { return b.ksocks.get(ksockKey(id)) }

func ksockKey(id kbusdev.KsockID) kbusdev.MsgID { return kbusdev.MsgID{Serial: uint32(id)} }

func (b *Bus) nextID() kbusdev.MsgID {
	b.lastSerial++
	if b.lastSerial == 0 { // wrapped: 0 is no serial number
		b.lastSerial = 1
	}
	return kbusdev.MsgID{Serial: b.lastSerial}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func opError(op, name string, err error) error {
	return &kbusdev.OpError{Op: op, Name: name, Err: err}
}

var errClosed = net.ErrClosed
