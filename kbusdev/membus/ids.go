package membus

import (
	"iter"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// An idMap maps ids to values, of which the zero value is none. Ids are given in turn, so a
// block of neighbours is one entry of the map, and what comes and goes lies together. In a
// map of all ids each one lies elsewhere: with many of them most of the time went into
// waiting for that memory.
type idMap[V comparable] struct {
	blocks map[kbusdev.MsgID]*block[V] // by the id of the first value, divided by blockLen
	key    kbusdev.MsgID               // of last
	last   *block[V]                   // the one that was used last; only it may be empty
}

// blockLen bounds what an id costs that has no neighbours.
const blockLen = 16

type block[V comparable] struct {
	values [blockLen]V
	used   int
}

func keyOf(id kbusdev.MsgID) kbusdev.MsgID {
	return kbusdev.MsgID{Network: id.Network, Serial: id.Serial / blockLen}
}

// idAt returns the id of the i-th value of a block.
func idAt(key kbusdev.MsgID, i int) kbusdev.MsgID {
	return kbusdev.MsgID{Network: key.Network, Serial: key.Serial*blockLen + uint32(i)}
}

// find returns the block with this key, or nil.
func (m *idMap[V]) find(key kbusdev.MsgID) *block[V] {
	if m.last != nil && m.key == key {
		return m.last
	}
	b := m.blocks[key]
	if b != nil {
		m.dropEmpty()
		m.key, m.last = key, b
	}
	return b
}

// dropEmpty takes the last block out if it is empty, and returns it then.
func (m *idMap[V]) dropEmpty() *block[V] {
	b := m.last
	if b == nil || b.used > 0 {
		return nil
	}
	delete(m.blocks, m.key)
	return b
}

func (m *idMap[V]) get(id kbusdev.MsgID) (v V) {
	if b := m.find(keyOf(id)); b != nil {
		v = b.values[id.Serial%blockLen]
	}
	return v
}

// set gives id the value v; the zero value forgets the id.
func (m *idMap[V]) set(id kbusdev.MsgID, v V) {
	var none V
	b := m.find(keyOf(id))
	switch {
	case b != nil:
	case v == none:
		return
	default:
		b = m.begin(keyOf(id))
	}
	old := &b.values[id.Serial%blockLen]
	if *old != none {
		b.used--
	}
	if v != none {
		b.used++
	}
	*old = v
}

// begin adds an empty block.
func (m *idMap[V]) begin(key kbusdev.MsgID) *block[V] {
	b := m.dropEmpty()
	if b == nil {
		b = new(block[V])
	}
	if m.blocks == nil {
		m.blocks = make(map[kbusdev.MsgID]*block[V])
	}
	m.blocks[key] = b
	m.key, m.last = key, b
	return b
}

// all yields the values, in no order. None may be set meanwhile.
func (m *idMap[V]) all() iter.Seq[V] {
	return func(yield func(V) bool) {
		var none V
		for _, b := range m.blocks {
			for _, v := range b.values {
				if v != none && !yield(v) {
					return
				}
			}
		}
	}
}
