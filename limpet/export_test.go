package limpet

import "github.com/kbus-limpet/limpet/kbusdev"

// AllowLoops lets a node's links make loops, for tests of what then stops a storm.
func AllowLoops(n *Node) { n.lawless = true }

// OwnKsocks returns how many Ksock ids are kept as the node's own.
func OwnKsocks(n *Node) int {
	n.listeners.mu.Lock()
	defer n.listeners.mu.Unlock()
	return len(n.listeners.limpets)
}

// Overlooked ends what Overlook began, when the Ksock is closed.
func Overlooked(n *Node, k kbusdev.KsockID) { n.listeners.include(k) }
