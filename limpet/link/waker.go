package link

import (
	"sync"
	"sync/atomic"
	"time"
)

// A Waker is how a Driver has its news sent. It belongs to the driver, and the streams that
// are attached to that one after the other use it. It is safe for concurrent use; NewWaker
// makes one.
type Waker struct {
	now    chan struct{}
	stream atomic.Pointer[attachment] // nil while none is attached, or it is not buffered

	mu    sync.Mutex
	timer *time.Timer
	at    time.Time // when the sender is woken; zero while it is awake
}

// NewWaker returns a Waker.
func NewWaker() *Waker {
	return &Waker{now: make(chan struct{}, 1), timer: time.NewTimer(time.Hour)}
}

// Wake has the sender ask the driver for frames now.
func (w *Waker) Wake() {
	select {
	case w.now <- struct{}{}:
	default:
	}
}

// WakeBy has it ask at this time, at the latest; zero is now.
func (w *Waker) WakeBy(at time.Time) {
	if at.IsZero() {
		w.Wake()
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.at.IsZero() || at.Before(w.at) {
		w.at = at
		w.timer.Reset(max(time.Until(at), 0))
	}
}

// SendNow asks the driver for frames and sends them in the goroutine of the caller, which
// must hold no lock of the driver, and whose session must be light: a message is on its way
// sooner then, and cheaper. If somebody is sending already, or the stream is no
// BufferedStream, it is Wake.
func (w *Waker) SendNow() {
	if a := w.stream.Load(); a == nil || !a.sendNow() {
		w.Wake()
	}
}

// Rouse is SendNow for a light session that has something to be sent, else WakeBy; due and
// light are the session's.
func (w *Waker) Rouse(due time.Time, light bool) {
	if due.IsZero() && light {
		w.SendNow()
		return
	}
	w.WakeBy(due)
}

// awake tells that the sender is about to ask the driver.
func (w *Waker) awake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = time.Time{}
}
