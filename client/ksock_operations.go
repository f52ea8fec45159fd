package client

import (
	"slices"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/program"
)

func bindOperation(a program.Action, name string, as kbusdev.Role) *program.Operation {
	return &program.Operation{Action: a, Msg: kbusdev.Message{Name: name}, Role: as}
}

// Bind binds name; see kbusdev.Ksock.
func (k *Ksock) Bind(name string, as kbusdev.Role) error {
	_, err := k.do("bind", bindOperation(program.Bind, name, as))
	return err
}

// Unbind undoes the newest identical binding; see kbusdev.Ksock.
func (k *Ksock) Unbind(name string, as kbusdev.Role) error {
	_, err := k.do("unbind", bindOperation(program.Unbind, name, as))
	return err
}

// Replier asks who is bound as replier to exactly this string.
func (k *Ksock) Replier(name string) (kbusdev.KsockID, bool, error) {
	r, err := k.do("replier", bindOperation(program.FindReplier, name, kbusdev.Replier))
	return kbusdev.KsockID(r.Value), r.Found, err
}

// writePiece is the most that is written in one operation, in bytes.
const writePiece = 256 << 10

// Write adds bytes of an entire message, in the layout of the daemon's machine, to the
// message being written; see kbusdev.Ksock.
func (k *Ksock) Write(b []byte) (int, error) {
	n := 0
	for {
		piece := b[:min(len(b), writePiece)]
		r, err := k.do("write", &program.Operation{Action: program.Write, Msg: kbusdev.Message{Data: slices.Clone(piece)}})
		if err != nil {
			return 0, err
		}
		n += int(r.Value)
		if b = b[len(piece):]; len(b) == 0 {
			return n, nil
		}
	}
}

// Commit sends what was written. With EAGAIN the send is pending, and the id already given.
func (k *Ksock) Commit() (kbusdev.MsgID, error) {
	r, err := k.do("send", &program.Operation{Action: program.Commit})
	return r.ID, err
}

// Discard drops what was written or is pending.
func (k *Ksock) Discard() error {
	_, err := k.do("discard", &program.Operation{Action: program.Discard})
	return err
}

// Next takes the next message for reading and returns its entire length in bytes, 0 if none
// is queued. It should not be mixed with Recv.
func (k *Ksock) Next() (int, error) { return k.number("nextmsg", program.Next, 0) }

// Read reads bytes of the message taken by Next; 0 and nil at its end.
func (k *Ksock) Read(b []byte) (int, error) {
	r, err := k.do("read", &program.Operation{Action: program.Read, Value: uint64(len(b))})
	return copy(b, r.Data), err
}

// LenLeft returns how many bytes of the taken message are still to be read.
func (k *Ksock) LenLeft() (int, error) { return k.number("lenleft", program.LenLeft, 0) }

// Poll tells what can be done without waiting, and tries a pending send again.
func (k *Ksock) Poll() (kbusdev.Readiness, error) {
	r, err := k.do("poll", &program.Operation{Action: program.Poll})
	return kbusdev.Readiness{In: r.Value&1 != 0 || k.ahead(r, err) > 0, Out: r.Value&2 != 0}, err
}

// LastSent returns the id of the last message that this Ksock tried to send.
func (k *Ksock) LastSent() (kbusdev.MsgID, error) {
	r, err := k.do("lastsent", &program.Operation{Action: program.LastSent})
	return r.ID, err
}

// NumMessages returns how many messages are queued for us.
func (k *Ksock) NumMessages() (int, error) {
	r, err := k.do("nummsgs", &program.Operation{Action: program.NumMessages})
	return int(r.Value) + k.ahead(r, err), err
}

// ahead returns how many messages had left the queue on the bus when it was asked, and are
// not taken yet: they come, or have come.
func (k *Ksock) ahead(r *program.Result, err error) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err != nil || r.Given <= k.inbox.taken {
		return 0
	}
	return int(r.Given - k.inbox.taken)
}

// Unreplied returns how many requests we have read and still owe a reply.
func (k *Ksock) Unreplied() (int, error) {
	r, err := k.do("unrepliedto", &program.Operation{Action: program.Unreplied})
	if err != nil {
		return 0, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	return max(int(r.Value)-int(r.Given-min(k.inbox.answers, r.Given)), 0), nil
}

// MaxMessages sets the bound of our queue, in messages; 0 asks. It returns the bound now.
func (k *Ksock) MaxMessages(n uint32) (uint32, error) {
	got, err := k.number("maxmsgs", program.MaxMessages, n)
	return uint32(got), err
}

// MaxMessageSize sets the bus's bound on an entire message, in bytes; see kbusdev.Ksock.
func (k *Ksock) MaxMessageSize(n uint32) (uint32, error) {
	got, err := k.number("maxmsgsize", program.MaxMessageSize, n)
	return uint32(got), err
}

// OnlyOnce turns on that a message reaches this Ksock once however often it is bound. It
// returns the previous value.
func (k *Ksock) OnlyOnce(s kbusdev.Switch) (kbusdev.Switch, error) {
	return k.turn("onlyonce", program.OnlyOnce, s)
}

// Verbose turns on the device's own log, where it has one. It returns the previous value.
func (k *Ksock) Verbose(s kbusdev.Switch) (kbusdev.Switch, error) {
	return k.turn("verbose", program.Verbose, s)
}

// ReportReplierBinds turns on announcements of repliers bound and unbound; see
// kbusdev.Ksock. It returns the previous value.
func (k *Ksock) ReportReplierBinds(s kbusdev.Switch) (kbusdev.Switch, error) {
	return k.turn("reportreplierbinds", program.ReportReplierBinds, s)
}

// NewDevice makes another, empty bus beside this one and returns its number.
func (k *Ksock) NewDevice() (uint32, error) {
	n, err := k.number("newdevice", program.NewDevice, 0)
	return uint32(n), err
}

// number does an operation with a number, whose result is one.
func (k *Ksock) number(what string, a program.Action, n uint32) (int, error) {
	r, err := k.do(what, &program.Operation{Action: a, Value: uint64(n)})
	return int(r.Value), err
}

func (k *Ksock) turn(what string, a program.Action, s kbusdev.Switch) (kbusdev.Switch, error) {
	n, err := k.number(what, a, uint32(s))
	return kbusdev.Switch(n), err
}
