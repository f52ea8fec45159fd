package bus

import (
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/program"
)

// given counts what a session has given its program. The bus counts none of it as queued,
// and every request as read, long before the program has taken it.
type given struct{ messages, requests uint64 }

func (g *given) add(m *kbusdev.Message) {
	g.messages++
	if m.WantsUsToReply() {
		g.requests++
	}
}

// count asks the bus for a number of messages. Messages are not given meanwhile: each is
// either in that number or given.
func (w *worker) count(op *program.Operation, sequence uint64) {
	if w.pushing != nil {
		w.stopPushing()
		defer w.startPushing()
	}
	r := w.operate(op)
	w.mu.Lock()
	if r.Given = w.given.messages; op.Action == program.Unreplied {
		r.Given = w.given.requests
	}
	w.mu.Unlock()
	w.done(op, sequence, r)
	w.settle()
}
