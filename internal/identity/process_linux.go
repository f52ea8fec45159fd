package identity

import (
	"errors"
	"net"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/kbus-limpet/limpet/limpet/rules"
)

// processOf returns who made the other end of a Unix socket, as the kernel has noted it at
// connect, or at listen if we have dialled.
func processOf(conn net.Conn) (*rules.Process, error) {
	raw, err := rawOf(conn)
	if err != nil {
		return nil, err
	}
	var p *rules.Process
	asked := raw.Control(func(fd uintptr) {
		var cred *unix.Ucred
		if cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED); err != nil {
			return
		}
		p = &rules.Process{UID: cred.Uid, GID: cred.Gid, PID: cred.Pid}
		p.Groups, err = peerGroups(fd)
		if errors.Is(err, unix.ENOPROTOOPT) || errors.Is(err, unix.ENODATA) { // an old kernel; one that keeps none
			err = nil
		}
	})
	if err = errors.Join(asked, err); err != nil {
		return nil, err
	}
	return p, nil
}

// rawOf returns the socket inside conn.
func rawOf(conn net.Conn) (syscall.RawConn, error) {
	for {
		switch c := conn.(type) {
		case syscall.Conn:
			return c.SyscallConn()
		case interface{ NetConn() net.Conn }:
			conn = c.NetConn()
		default:
			return nil, errors.ErrUnsupported
		}
	}
}

// speaksTLS waits for the first byte of what a client sends, without taking it, and reports
// whether it is one of TLS. It is false if that cannot be found out.
func speaksTLS(conn net.Conn) bool {
	raw, err := rawOf(conn)
	if err != nil {
		return false
	}
	var first [1]byte
	n := 0
	err = raw.Read(func(fd uintptr) (done bool) {
		n, _, err = unix.Recvfrom(int(fd), first[:], unix.MSG_PEEK)
		return !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR)
	})
	const handshake = 22 // the type of TLS's first record
	return err == nil && n == 1 && first[0] == handshake
}
