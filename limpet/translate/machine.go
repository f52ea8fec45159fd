package translate

import (
	"syscall"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/rename"
)

// Config is what a machine has to know. NetworkID, PeerNetworkID and Ksock are
// required.
type Config struct {
	// NetworkID is ours, PeerNetworkID theirs: both > 0 and different.
	NetworkID, PeerNetworkID uint32
	// Ksock is our own Ksock's id.
	Ksock kbusdev.KsockID
	// Pattern limits what crosses from our bus, so also what is bound here for the
	// peer: a binding name. "" is "$.*".
	Pattern string
	// Rights are what the peer may do; nil is everything.
	Rights Rights
	// Renames are how names differ at the peer; nil is not at all. The machine renames
	// bindings. Messages it takes and gives by their names on our bus.
	Renames *rename.Map
	// Classic is true for a peer that is one of upstream's limpets: a copy of a request
	// for its listeners must not look like one, for it would ask again and keep the
	// answer waited for.
	Classic bool
	// Termination is the name of the message that stops the limpet; "" is none.
	Termination string
	// MaxOpen bounds the requests remembered for our bus's programs; 0 is 32 768.
	// Beyond it a request is answered RemoteError.EBUSY.
	MaxOpen int
	// MaxAsked bounds our own open requests on our bus; 0 is 32 768, half of the
	// 65 536 that a limpet sets MAXMSGS to. Beyond it the peer's are bounced ENOLCK.
	MaxAsked int
	// MaxProxies bounds the names bound for the peer; 0 is 131 072. A name beyond it
	// is refused, and tried again when the peer says again that it is bound.
	MaxProxies int
	// MaxHeard bounds the names the peer may say are bound there, whether or not
	// they are bound here; 0 is twice MaxProxies. Their lengths together are
	// bounded by 64 bytes a name.
	MaxHeard int
	// Names, unless nil, bounds the names of all peers together.
	Names Names
	// Took, unless nil, counts how long the requests of our bus took that the peer has
	// answered, and AskedTook those of the peer that our bus has answered.
	Took, AskedTook *Durations
	// Replied, unless nil, is told of each of these too, by the request's name, and
	// AskedReplied likewise.
	Replied, AskedReplied func(name string, took time.Duration)
	// LosesUnread is true if our bus is the kernel module, which loses a stateful
	// request whose replier unbinds or closes before reading it. Only then do Grace
	// and UnbindGrace count; other buses answer such a request themselves.
	LosesUnread bool
	// Grace is how long a stateful request may still be answered after its replier
	// has unbound its last name; then it is bounced GoneAway. 0 is 2 s.
	Grace time.Duration
	// UnbindGrace is how long it may still be answered after its replier has unbound
	// a name it matches but lives; then it is bounced OutcomeUnknown. 0 is 30 s.
	UnbindGrace time.Duration
	// RetryEvery is how soon a bind or reply that found no room is tried again; 0
	// is 50 ms.
	RetryEvery time.Duration
	// WishDelay is how long a name must have been free before a proxy takes it
	// from a local replier that left; 0 is 200 ms. In a loop the unbind comes round
	// first, and no ghost takes the name.
	WishDelay time.Duration
}

// Names has room for the names that peers tell of, all peers together.
type Names interface {
	// Take takes room for n more, and reports whether there was as much.
	Take(n int) bool
	// Give gives back what Take took.
	Give(n int)
}

func (c *Config) setDefaults() {
	if c.Pattern == "" {
		c.Pattern = "$.*"
	}
	if c.Took == nil {
		c.Took = new(Durations)
	}
	if c.AskedTook == nil {
		c.AskedTook = new(Durations)
	}
	setDefault(&c.MaxOpen, 32768)
	setDefault(&c.MaxAsked, 32768)
	setDefault(&c.MaxProxies, 1<<17)
	setDefault(&c.MaxHeard, 2*c.MaxProxies)
	setDefault(&c.Grace, 2*time.Second)
	setDefault(&c.UnbindGrace, 30*time.Second)
	setDefault(&c.RetryEvery, 50*time.Millisecond)
	setDefault(&c.WishDelay, 200*time.Millisecond)
}

func setDefault[T int | time.Duration](v *T, to T) {
	if *v <= 0 {
		*v = to
	}
}

// Facts are what the machine cannot know about a message from the peer.
type Facts struct {
	// Replier is who on our bus, ourselves apart, replies to the message's name, 0
	// if nobody. It counts for stateful requests only; Machine.Replier, called just
	// before, answers it.
	Replier kbusdev.KsockID
	// BroughtBefore: another link or an earlier session brought this id to our bus
	// lately.
	BroughtBefore bool
	// Denied: the peer may not send it; Machine.Admits, called just before, answers that.
	Denied bool
	// Foreign: its id or its origin is of a network for which the peer does not speak.
	Foreign bool
	// Nameless says why it can have no name on our bus; 0: it has one.
	Nameless syscall.Errno
}

// A Machine applies the rules for one epoch. It is not safe for concurrent use.
// Methods that yield effects append them to fx and return it, as append does; the
// effects belong to the caller. Everything is in an order that depends on the
// calls alone.
type Machine struct {
	cfg      Config
	us, them uint32
	now      time.Time
	born     time.Time // the first that was told
	timers   timers

	table    repliers
	snapshot snapshot
	ledger   ledger
	asked    asked

	outward, inward narrowing // of what we tell the peer, and of what it tells us
	there, here     renaming  // likewise
	told, heard     roster    // by the names that they have at the peer
	binds           proxies
}

// New returns a machine at the start of an epoch.
func New(cfg Config) *Machine {
	cfg.setDefaults()
	return &Machine{
		cfg:     cfg,
		us:      cfg.NetworkID,
		them:    cfg.PeerNetworkID,
		table:   newRepliers(),
		ledger:  newLedger(),
		asked:   newAsked(cfg.MaxAsked),
		outward: narrowing{pattern: cfg.Pattern},
		inward:  narrowing{pattern: cfg.Pattern},
		there:   newRenaming(cfg.Renames.BindThere),
		here:    newRenaming(cfg.Renames.BindHere),
		told:    newRoster(),
		heard:   newRoster(),
		binds:   newProxies(),
	}
}

// Replier returns who on our bus replies to messages of this name, wildcards
// considered, as far as bind events have told. It is 0 if nobody does, and if it
// is our own Ksock: that one stands for the peer, which is asking.
func (m *Machine) Replier(name string) kbusdev.KsockID {
	if id := m.table.lookup(name); id != m.cfg.Ksock {
		return id
	}
	return 0
}

// Oldest returns since when the oldest request of our bus is open, and the oldest of the
// peer's on our bus; zero if none is. It looks at all of them.
func (m *Machine) Oldest() (open, asked time.Time) {
	if r, ok := m.OldestRequest(); ok {
		open = r.Since
	}
	now := m.age()
	first := now
	for _, r := range m.asked.byID {
		first = min(first, r.at)
	}
	if len(m.asked.byID) > 0 {
		asked = m.now.Add(first - now)
	}
	return open, asked
}

// An OpenRequest is a request that waits for its reply.
type OpenRequest struct {
	// ID and Name are the request's, as it was read from our bus, or is there.
	ID   kbusdev.MsgID
	Name string
	// From is who asked.
	From kbusdev.KsockID
	// Since is when it was read, or sent.
	Since time.Time
}

// OldestRequest returns the request of our bus that has been open for longest; false if none
// is. It looks at all of them.
func (m *Machine) OldestRequest() (oldest OpenRequest, found bool) {
	var first time.Duration
	for id, r := range m.ledger.remembered {
		if !found || r.at < first {
			found, first = true, r.at
			oldest.ID, oldest.From, oldest.Name = id, r.from, r.name
		}
	}
	if found {
		oldest.Since = m.now.Add(first - m.age())
	}
	return oldest, found
}

// Requests calls f for each request of our bus that waits for its reply, in no order, and
// Asked for each of the peer's that waits on our bus. The machine may be used, but not by
// two at a time, while f runs: what comes or goes then is told or not.
func (m *Machine) Requests(f func(OpenRequest)) {
	for id, r := range m.ledger.remembered {
		f(OpenRequest{ID: id, Name: r.name, From: r.from, Since: m.born.Add(r.at)})
	}
}

// Asked is as Requests.
func (m *Machine) Asked(f func(OpenRequest)) {
	for id, r := range m.asked.byID {
		f(OpenRequest{ID: id, Name: r.name, From: m.cfg.Ksock, Since: m.born.Add(r.at)})
	}
}

// age returns how long there has been a time: what is kept for each request is smaller so.
func (m *Machine) age() time.Duration { return m.now.Sub(m.born) }

// Next returns when Tick must be called at the latest; zero when nothing waits.
func (m *Machine) Next() time.Time { return m.timers.first() }

// Tick tells the machine the time, which does not go back, and appends what has
// become due. What came after a deadline but before Tick is still in time, so call
// Tick before every batch of messages as well.
func (m *Machine) Tick(fx []Effect, now time.Time) []Effect {
	if m.born.IsZero() {
		m.born, m.now = now, now
	}
	if now.After(m.now) {
		m.now = now
	}
	for len(m.timers.heap) > 0 && !m.timers.heap[0].at.After(m.now) {
		t := m.timers.heap[0]
		m.timers.stop(t)
		fx = t.owner.due(m, fx)
	}
	return fx
}
