package limpet

import (
	"sync"
	"sync/atomic"

	"github.com/kbus-limpet/limpet/limpet/topology"
)

// origins are by which link each network is reached, for the epochs, which cannot take
// the lock of the node.
type origins struct {
	changes atomic.Uint64
	mu      sync.RWMutex
	by      map[uint32]topology.LinkKey
}

// route notes a change. Node.mu is held.
func (o *origins) route(network uint32, key topology.LinkKey, reached bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.by == nil {
		o.by = make(map[uint32]topology.LinkKey)
	}
	if reached {
		o.by[network] = key
	} else {
		delete(o.by, network)
	}
	o.changes.Add(1)
}

// originsFor returns the origins for the epochs of one link.
func (n *Node) originsFor(p *Peering) Origins {
	if n.lawless {
		return nil
	}
	return linkOrigins{&n.origins, p.key}
}

type linkOrigins struct {
	*origins
	key topology.LinkKey
}

// Changes is Origins'.
func (o linkOrigins) Changes() uint64 { return o.changes.Load() }

// Elsewhere is Origins'.
func (o linkOrigins) Elsewhere(network uint32) bool {
	o.mu.RLock()
	defer o.mu.RUnlock()
	key, reached := o.by[network]
	return reached && key != o.key
}
