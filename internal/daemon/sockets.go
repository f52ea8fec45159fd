package daemon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"

	"github.com/kbus-limpet/limpet/internal/sockaddr"
)

// The names of sockets that a service manager may hand over, as FileDescriptorName= in a
// socket unit gives them.
const (
	SocketPeer    = "peer"    // for links that are accepted
	SocketClassic = "classic" // the same, with upstream's limpets
	SocketAPI     = "api"     // for API
	SocketMetrics = "metrics" // for Metrics
	SocketWeb     = "web"     // for Web
)

// Sockets are listening sockets that the service manager has opened, by name. It keeps them
// open while the daemon is started again, so that who connects meanwhile waits and is not
// refused. The daemon neither makes nor removes their files, nor changes their modes.
type Sockets map[string][]net.Listener

// An adopted is what a socket that was handed over is for.
type adopted struct {
	name    string
	address sockaddr.Address
}

// Adopt has the daemon listen on sockets that it was handed. One at an address of Links
// stands for it, others are in addition; one for the API, for metrics or for HTTP takes the
// place of API, Metrics or Web. It is called before Open, whose daemon closes the sockets, and with the
// same sockets by Load. The error is a *ConfigError.
func (c *Config) Adopt(all Sockets) error {
	for name, sockets := range all {
		for i, l := range sockets {
			err := c.adopt(name, l)
			if err == nil && i > 0 && (name == SocketAPI || name == SocketMetrics || name == SocketWeb) {
				err = errors.New("there can be only one of this name")
			}
			if err != nil {
				return &ConfigError{"", fmt.Errorf("socket %s, handed over with FileDescriptorName=%s: %w", l.Addr(), name, err)}
			}
		}
	}
	return nil
}

func (c *Config) adopt(name string, l net.Listener) error {
	addr := sockaddr.Address{Network: l.Addr().Network(), Address: l.Addr().String()}
	if addr.Network != "tcp" && addr.Network != "unix" {
		return fmt.Errorf("it is of sort %s; only TCP and Unix stream sockets are used", addr.Network)
	}
	switch name {
	case SocketPeer, SocketClassic:
		c.Links = withSocket(c.Links, LinkConfig{Address: addr, Listen: true, Classic: name == SocketClassic})
	case SocketAPI:
		c.API = &addr
	case SocketMetrics:
		if addr.Network != "tcp" {
			return errors.New("metrics are served over TCP only")
		}
		c.Metrics = addr.Address
	case SocketWeb:
		c.Web = &addr
	default:
		return errors.New("give it the name peer, api, classic, metrics or web")
	}
	if c.adopted == nil {
		c.adopted = make(map[adopted]net.Listener)
	}
	c.adopted[adopted{name, addr}] = l
	return nil
}

// socket returns the name that a socket for such links is handed over with.
func (c *LinkConfig) socket() string {
	if c.Classic {
		return SocketClassic
	}
	return SocketPeer
}

// withSocket returns a copy of the links in which those of the socket l are accepted. They
// behave as those at the same address in all, if it is there.
func withSocket(all []LinkConfig, l LinkConfig) []LinkConfig {
	all = slices.Clone(all)
	for i := range all {
		if is := &all[i]; is.Listen && is.Classic == l.Classic && sameSocket(is.Address, l.Address) {
			is.Address = l.Address
			return all
		}
	}
	return append(all, l)
}

// sameSocket reports whether two addresses to listen on are certainly the same.
func sameSocket(a, b sockaddr.Address) bool {
	if a.Network != b.Network {
		return false
	}
	if a.Network == "unix" {
		return filepath.Clean(a.Address) == filepath.Clean(b.Address)
	}
	hostA, portA, errA := net.SplitHostPort(a.Address)
	hostB, portB, errB := net.SplitHostPort(b.Address)
	return errA == nil && errB == nil && portA == portB && plainHost(hostA) == plainHost(hostB)
}

// plainHost makes the words for "all addresses" one, and those for one address.
func plainHost(host string) string {
	ip, err := netip.ParseAddr(host)
	switch {
	case host == "" || err == nil && ip.IsUnspecified():
		return ""
	case err == nil:
		return ip.Unmap().String()
	}
	return host
}

// listenAt listens on an address, or returns the socket that was handed over for it.
func (c *Config) listenAt(ctx context.Context, name string, addr sockaddr.Address, how sockaddr.Config) (net.Listener, error) {
	how.Log = c.Log
	if l := c.adopted[adopted{name, addr}]; l != nil {
		return sockaddr.Retry(l, c.Log), nil
	}
	return sockaddr.Listen(ctx, addr, how)
}
