package sockaddr

import (
	"fmt"
	"syscall"
)

// shorten returns a name for the socket at, in folder dir, that fits into a socket
// address: at itself or, as the temporary folder makes the path longer, one through
// an open descriptor. release gives the descriptor back, once the socket is bound.
func shorten(dir, at string) (name string, release func(), err error) {
	if len(at) <= maxSocketPath {
		return at, func() {}, nil
	}
	fd, err := syscall.Open(dir, syscall.O_RDONLY|syscall.O_DIRECTORY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return "", nil, fmt.Errorf("opening folder %s: %w", dir, err)
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", fd, socketName), func() { _ = syscall.Close(fd) }, nil
}
