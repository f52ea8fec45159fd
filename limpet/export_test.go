package limpet

// AllowLoops lets a node's links make loops, for tests of what then stops a storm.
func AllowLoops(n *Node) { n.lawless = true }
