package classic

import (
	"net"

	"golang.org/x/sys/unix"
)

// limitUnacked has the connection fail when what was sent is not acked for as long
// as keepalive waits for a silent peer: keepalive rests while something is unacked.
func limitUnacked(conn *net.TCPConn) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return
	}
	limit := keepAlive.Idle.Milliseconds() + keepAlive.Interval.Milliseconds()*int64(keepAlive.Count)
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(limit))
	})
}
