package contest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
)

// Ports are taken from below those that Linux gives to connections, so that none of these
// is in the way before somebody listens.
const (
	firstPort = 15_000
	lastPort  = 32_000
)

var given struct {
	mu    sync.Mutex
	ports map[int]bool
}

// FreePort returns a TCP address on this machine that nothing listens at, and that this
// process was not given before. It is safe for concurrent use.
func FreePort() (string, error) {
	given.mu.Lock()
	defer given.mu.Unlock()
	if given.ports == nil {
		given.ports = make(map[int]bool)
	}
	for range 1000 {
		port := firstPort + rand.IntN(lastPort-firstPort)
		if given.ports[port] && len(given.ports) < lastPort-firstPort {
			continue
		}
		l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		_ = l.Close()
		given.ports[port] = true
		return l.Addr().String(), nil
	}
	return "", errors.New("looking for a free port: 1000 between 15000 and 32000 are taken")
}
