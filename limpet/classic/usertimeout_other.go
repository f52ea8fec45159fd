//go:build !linux

package classic

import "net"

// limitUnacked leaves it to the system when to give up what is not acked.
func limitUnacked(*net.TCPConn) {}
