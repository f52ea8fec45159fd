package web

import (
	"net/http"
	"time"
)

// An answer is written within bounded time, or its request is given up. Who writes it is not
// told, for it would have nothing to do but log it.
type answer struct {
	http.ResponseWriter
	control *http.ResponseController
	giveUp  func()
}

func newAnswer(w http.ResponseWriter, giveUp func()) *answer {
	a := &answer{w, http.NewResponseController(w), giveUp}
	a.extend()
	return a
}

// extend gives the client time to take what is written next.
func (a *answer) extend() { _ = a.control.SetWriteDeadline(time.Now().Add(takenWithin)) }

// Write never fails.
func (a *answer) Write(b []byte) (int, error) {
	a.extend()
	if _, err := a.ResponseWriter.Write(b); err != nil {
		a.giveUp()
	}
	return len(b), nil
}

// FlushError never fails.
func (a *answer) FlushError() error {
	a.extend()
	if err := a.control.Flush(); err != nil {
		a.giveUp()
	}
	return nil
}

// Unwrap is for http.ResponseController.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
