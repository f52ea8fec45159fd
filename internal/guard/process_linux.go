package guard

import (
	"fmt"
	"net"
	"syscall"
)

// processOf returns which process has opened a connection to a Unix socket, by the kernel's
// word.
func processOf(c net.Conn) (name string, ok bool) {
	s, ok := c.(syscall.Conn)
	if !ok {
		return "", false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return "", false
	}
	var who *syscall.Ucred
	if cerr := raw.Control(func(fd uintptr) {
		who, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); cerr != nil || err != nil {
		return "", false
	}
	return fmt.Sprintf("process %d of user %d", who.Pid, who.Uid), true
}
