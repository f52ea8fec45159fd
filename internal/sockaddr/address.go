package sockaddr

import (
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// An Address is where a daemon listens or is dialled.
type Address struct {
	// Network is "tcp" or "unix", as package net has them.
	Network string
	// Address is host:port, or the path of a Unix socket.
	Address string
}

// String gives the address as ParseAddress takes it.
func (a Address) String() string {
	if a.Network == "unix" && (!strings.Contains(a.Address, "/") || strings.HasPrefix(a.Address, unixPrefix)) {
		return unixPrefix + a.Address
	}
	return a.Address
}

const unixPrefix = "unix:"

// IsLocal reports whether only this machine can be at the other end: the address is a Unix
// socket, or its host is localhost or a loopback address.
func (a Address) IsLocal() bool {
	if a.Network == "unix" {
		return true
	}
	host, _, err := net.SplitHostPort(a.Address)
	if err != nil {
		return false
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// maxSocketPath is what fits into a Unix socket address on Linux.
const maxSocketPath = 107

// ParseAddress works out what sort of address a word is: one with a slash, or that starts
// with "unix:", is the path of a Unix socket whatever else is in it; host:port is TCP. A
// host without a port is neither.
func ParseAddress(word string) (Address, error) {
	path, isUnix := strings.CutPrefix(word, unixPrefix)
	if !isUnix && !strings.Contains(word, "/") {
		host, port, err := net.SplitHostPort(word)
		if err != nil {
			return Address{}, fmt.Errorf("address %q: give host:port, or the path of a Unix socket with a slash in it, or unix:PATH", word)
		}
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return Address{}, fmt.Errorf("address %q: port %q is not a number from 0 to 65535", word, port)
		}
		return Address{Network: "tcp", Address: net.JoinHostPort(host, port)}, nil
	}
	switch {
	case path == "":
		return Address{}, fmt.Errorf("address %q: give host:port, or the path of a Unix socket", word)
	case len(path) > maxSocketPath:
		return Address{}, fmt.Errorf("address %q: the path of a Unix socket has at most %d bytes, this one %d", word, maxSocketPath, len(path))
	case strings.ContainsRune(path, 0):
		return Address{}, fmt.Errorf("address %q: a path has no NUL byte", word)
	}
	return Address{Network: "unix", Address: path}, nil
}
