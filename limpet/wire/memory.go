package wire

import "github.com/kbus-limpet/limpet/limpet/link"

// memory is for the messages of one batch after the other: when a batch has been taken, the
// next may have its memory.
type memory[T any] struct {
	batch *link.BatchOf[T] // that has it
	spare []T              // is zero
}

// muchMemory is how long a batch must be for its memory to be used again, in messages: what
// is idle should keep none.
const muchMemory = 32

// free takes the memory back if its batch has been taken; another frame has come.
func (m *memory[T]) free() {
	b := m.batch
	m.batch = nil
	if b == nil || !b.Taken || len(b.Messages) < muchMemory {
		return
	}
	clear(b.Messages)
	m.spare = b.Messages[:cap(b.Messages)]
}

// get returns memory for n messages, which is zero.
func (m *memory[T]) get(n int) []T {
	spare := m.spare
	m.spare = nil
	if n > len(spare) {
		return make([]T, n)
	}
	return spare[:n]
}

// lent notes the batch that has the memory now.
func (m *memory[T]) lent(b *link.BatchOf[T]) { m.batch = b }

// drop lets go of it.
func (m *memory[T]) drop() { m.batch, m.spare = nil, nil }
