package translate

import (
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// Config is what a machine has to know. NetworkID, PeerNetworkID and Ksock are
// required.
type Config struct {
	// NetworkID is ours, PeerNetworkID theirs: both > 0 and different.
	NetworkID, PeerNetworkID uint32
	// Ksock is our own Ksock's id.
	Ksock kbusdev.KsockID
	// Pattern limits what crosses from our bus: a binding name. "" is "$.*".
	Pattern string
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
	// MaxProxies bounds the names bound for the peer; 0 is 262 144.
	MaxProxies int
	// Grace is how long a stateful request whose replier has gone may still be
	// answered; 0 is 2 s.
	Grace time.Duration
	// RetryEvery is how soon a bind or reply that found no room is tried again; 0
	// is 50 ms.
	RetryEvery time.Duration
	// WishDelay is how long a name must have been free before a proxy takes it
	// from a local replier that left; 0 is 200 ms. In a loop the unbind comes round
	// first, and no ghost takes the name.
	WishDelay time.Duration
}

func (c *Config) setDefaults() {
	if c.Pattern == "" {
		c.Pattern = "$.*"
	}
	setDefault(&c.MaxOpen, 32768)
	setDefault(&c.MaxAsked, 32768)
	setDefault(&c.MaxProxies, 1<<18)
	setDefault(&c.Grace, 2*time.Second)
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
	// if nobody. It counts for stateful requests only; Machine.Replier answers it.
	Replier kbusdev.KsockID
	// BroughtBefore: another link or an earlier session brought this id to our bus
	// lately.
	BroughtBefore bool
}

// A Machine applies the rules for one epoch. It is not safe for concurrent use.
// Each method that returns effects reuses their memory at the next call.
type Machine struct {
	cfg    Config
	us     uint32
	them   uint32
	now    time.Time
	fx     []Effect
	next   time.Time // the earliest deadline; zero is none
	table  repliers
	ledger ledger
	asked  asked
	binds  proxies

	// A snapshot is being read: how many messages may still belong to it.
	snapshotLeft int
	snapshotSeen uint32 // the mark of the latest snapshot
	lastSnapshot uint32 // the serial of its last event, 0 before the first
	covering     []kbusdev.BindEvent
}

// New makes a machine at the start of an epoch.
func New(cfg Config) *Machine {
	cfg.setDefaults()
	return &Machine{
		cfg:    cfg,
		us:     cfg.NetworkID,
		them:   cfg.PeerNetworkID,
		fx:     make([]Effect, 0, 4),
		table:  newRepliers(),
		ledger: newLedger(),
		asked:  newAsked(),
		binds:  proxies{byName: make(map[string]*proxy), flaps: make(map[string]flap)},
	}
}

// Replier tells who on our bus replies to messages of this name, wildcards
// considered, as far as bind events have told. It is 0 if nobody does, and if it
// is our own Ksock: that one stands for the peer, which is asking.
func (m *Machine) Replier(name string) kbusdev.KsockID {
	if id := m.table.lookup(name); id != m.cfg.Ksock {
		return id
	}
	return 0
}

func (m *Machine) begin() { m.fx = m.fx[:0] }

func (m *Machine) drop(r Reason) { m.fx = append(m.fx, Effect{Kind: Drop, Reason: r}) }

func (m *Machine) emit(k Kind, msg *kbusdev.Message) {
	m.fx = append(m.fx, Effect{Kind: k, Msg: *msg})
}

// deadline makes sure that Tick is called by t.
func (m *Machine) deadline(t time.Time) {
	if m.next.IsZero() || t.Before(m.next) {
		m.next = t
	}
}

// Next tells when Tick must be called at the latest; zero when nothing waits.
func (m *Machine) Next() time.Time { return m.next }

// Tick tells the machine the time, which must not go back, and returns what has
// become due.
func (m *Machine) Tick(now time.Time) []Effect {
	m.begin()
	m.now = now
	if m.next.IsZero() || now.Before(m.next) {
		return m.fx
	}
	m.next = time.Time{}
	m.tickAsked()
	m.tickReplies()
	m.tickProxies()
	return m.fx
}
