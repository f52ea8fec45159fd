package limpet

import "sync"

// defaultMaxNames bounds the names that one peer may bind here, and those that it may want,
// unless the configuration says otherwise.
const defaultMaxNames = 1 << 16

// defaultAllNames bounds the names of all peers together.
const defaultAllNames = 1 << 17

// A namePool has room for the names that all peers have bound here, or want. It is safe for
// concurrent use.
type namePool struct {
	mu   sync.Mutex
	left int
}

// Take is translate.Names'.
func (p *namePool) Take(n int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.left < n {
		return false
	}
	p.left -= n
	return true
}

// Give is translate.Names'.
func (p *namePool) Give(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.left += n
}

// BoundNames sets how many names each peer may bind here, or want, unless Config.MaxNames
// says otherwise, and how many all peers together may: without it 65 536 and 131 072. It is
// called before there is a link.
func (n *Node) BoundNames(each, all int) { n.maxNames, n.names.left = each, all }
