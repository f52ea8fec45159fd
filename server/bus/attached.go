package bus

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/program"
	"github.com/kbus-limpet/limpet/limpet/rules"
	"github.com/kbus-limpet/limpet/limpet/wire"
)

// An attached is a program's session: its Ksock, the lock around what is numbered, and who
// performs its operations. Streams are attached to it one after the other; it is
// their link.Driver.
type attached struct {
	service  *Service
	sessions *sessions
	ksock    kbusdev.Ksock
	identity rules.Identity // of the program that began it
	worker   *worker
	welcome  program.Welcome // but for Expected
	streams  int             // that serve it, or wait for their turn; guarded by sessions.mu
	left     time.Time       // when the last of them went; likewise
	expiry   *time.Timer     // guarded by sessions.mu

	turn chan struct{} // of the stream that serves it

	share share        // of what all sessions hold
	names atomic.Int64 // that are bound

	mu       sync.Mutex // guards all up to given
	session  *program.DaemonSession
	evict    context.CancelCauseFunc // ends the stream that serves it
	last     *link.Error             // ends that stream: the program has broken the protocol
	lastSent bool
	finished []program.Line // whose operation waits no more
	closing  bool           // the program has closed the Ksock
	given    given

	ctx     context.Context // ends with the session
	stop    context.CancelFunc
	running sync.WaitGroup

	waker    *link.Waker   // there may be something for the stream
	wakeRead chan struct{} // the window may have room for messages
}

// newAttached returns a session of somebody's, whose stream comes from source.
func newAttached(service *Service, k kbusdev.Ksock, h *program.Hello, id rules.Identity, source string) *attached {
	a := &attached{
		service:  service,
		sessions: service.sessions,
		ksock:    k,
		identity: id,
		share:    share{source: source},
		turn:     make(chan struct{}, 1),
		waker:    link.NewWaker(),
		wakeRead: make(chan struct{}, 1),
	}
	a.welcome = program.Welcome{
		Version: program.ProtocolVersion, Instance: service.sessions.instance, Ksock: k.ID(),
		WindowMessages: windowMessages, WindowBytes: windowBytes, GraceMs: uint64(service.sessions.grace.Milliseconds()),
	}
	randomID((*[16]byte)(&a.welcome.Session))
	a.session = program.NewDaemonSession(program.SessionConfig(h, &a.welcome))
	service.listens(k)
	a.ctx, a.stop = context.WithCancel(context.Background())
	a.worker = &worker{attached: a}
	return a
}

// came notes a stream; it is called under sessions.mu.
func (a *attached) came() {
	a.streams++
	if a.expiry != nil {
		a.expiry.Stop()
		a.expiry = nil
	}
}

// went notes that a stream has gone. If there is no other the session is kept for the
// grace.
func (a *attached) went() {
	a.mu.Lock()
	closing := a.closing
	a.mu.Unlock()
	s := a.sessions
	s.mu.Lock()
	a.streams--
	a.left = time.Now()
	over := a.streams == 0 && (closing || s.grace <= 0)
	if a.streams == 0 && !over && s.byID[a.welcome.Session] == a {
		a.expiry = time.AfterFunc(s.grace, func() { s.expire(a) })
	}
	s.mu.Unlock()
	if over {
		s.expire(a)
	}
}

// end ends the session, after it was taken out of the list, and returns when nothing of it
// runs but its stream, which has a second to tell the program why.
func (a *attached) end(why *link.Error) {
	a.stop()
	a.service.listensNoMore(a.ksock)
	_ = a.ksock.Close()
	a.worker.end()
	a.running.Wait()
	a.service.giveNames(int(a.names.Swap(0)))
	a.mu.Lock()
	a.session.End(why)
	a.forgo()
	evict := a.evict
	a.mu.Unlock()
	a.waker.Wake()
	if evict != nil {
		time.AfterFunc(time.Second, func() { evict(cmp.Or(why, errStopping)) })
	}
}

var errReplaced = &link.Error{Code: link.Replaced, Message: "another stream of the same program takes this one's place"}

// claim waits for the turn of a stream, which it takes from the one before, until release is
// called. The context that it returns ends with the turn.
func (a *attached) claim(ctx context.Context) (_ context.Context, release func(), err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	a.mu.Lock()
	if a.evict != nil {
		a.evict(errReplaced)
	}
	a.evict = cancel
	a.mu.Unlock()
	select {
	case a.turn <- struct{}{}:
		return ctx, func() { cancel(nil); <-a.turn }, nil
	case <-ctx.Done():
		cancel(nil)
		return nil, nil, context.Cause(ctx)
	}
}

// serve attaches a stream until it breaks, and returns why it has.
func (a *attached) serve(ctx context.Context, st *stream, h *program.Hello) error {
	defer a.went()
	ctx, release, err := a.claim(ctx)
	if err != nil {
		link.Refuse(st, err, false)
		return err
	}
	defer release()
	st.ksock, st.turn = a.ksock, ctx
	a.mu.Lock()
	err = a.session.Attach(time.Now(), h.Expected)
	a.last, a.lastSent = nil, false
	w := a.welcome
	w.Expected = a.session.Expected()
	a.mu.Unlock()
	if err != nil {
		link.Refuse(st, err, false)
		return err
	}
	defer func() {
		a.mu.Lock()
		a.session.Detach()
		a.mu.Unlock()
	}()
	// The program does not answer before it knows the session.
	if size, err := a.ksock.MaxMessageSize(0); err == nil {
		w.MaxMessageSize = size
	}
	if err := st.welcome(ctx, &w); err != nil {
		st.Close()
		return err
	}
	if err := link.Attach(ctx, st, a); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.last != nil {
		return a.last
	}
	return nil
}

// welcome sends the first frame.
func (s *stream) welcome(ctx context.Context, w *program.Welcome) error {
	defer context.AfterFunc(ctx, s.Close)()
	return serverError(s.rpc.Send(wire.WelcomeToProto(w)))
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// NextFrame is link.Driver's.
func (a *attached) NextFrame(now time.Time) (link.Frame, time.Time, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.last == nil:
		return a.session.Next(now)
	case a.lastSent:
		return nil, time.Time{}, true
	}
	a.lastSent = true
	return a.last, time.Time{}, false
}

// Flushed is link.Driver's.
func (a *attached) Flushed(time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.session.Flushed()
}

// TakeFrame is link.Driver's. A program that breaks the protocol loses the stream; its
// session goes on.
func (a *attached) TakeFrame(now time.Time, f link.Frame) error {
	if e, ok := f.(*link.Error); ok {
		return e
	}
	a.mu.Lock()
	err := a.session.Receive(now, f)
	a.weigh()
	if err != nil {
		errors.As(err, &a.last)
	}
	due := a.session.Due()
	a.mu.Unlock()
	if err != nil {
		a.waker.Wake()
		return err
	}
	switch f := f.(type) {
	case *program.OperationBatch:
		if f.Ack != 0 {
			signal(a.wakeRead)
		}
		f.Taken = a.worker.work()
	case *link.Ack:
		signal(a.wakeRead)
		a.worker.work()
		a.waker.WakeBy(due)
	}
	return nil
}

// MayReceive is link.Driver's: a program keeps the window.
func (a *attached) MayReceive(context.Context) {}

// Waker is link.Driver's.
func (a *attached) Waker() *link.Waker { return a.waker }

// Stuck is link.Driver's: a program may leave messages unread for as long as it likes.
func (a *attached) Stuck(time.Time) bool { return false }
