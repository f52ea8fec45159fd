package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"os/user"
	"strconv"

	"github.com/kbus-limpet/limpet/internal/identity"
	"github.com/kbus-limpet/limpet/internal/sockaddr"
)

// TLS is what the daemon shows of itself over TCP, and what it wants to see, of those that
// it dials and of those that dial it alike.
type TLS struct {
	// Cert, Key and CA are PEM files, see identity.Files. All are required.
	Cert, Key, CA string
	// Name is whose certificate the peers must have that are dialled, see identity.Client;
	// "" is the host of their address.
	Name string
}

func (t *TLS) name() string {
	if t == nil {
		return ""
	}
	return t.Name
}

// load reads the files; nil has none.
func (t *TLS) load(log *slog.Logger) (*identity.TLS, error) {
	if t == nil {
		return nil, nil
	}
	return identity.Load(identity.Files{Cert: t.Cert, Key: t.Key, CA: t.CA}, log)
}

// Check reads the files, and returns a *ConfigError if they cannot be used.
func (t *TLS) Check() error {
	if _, err := t.load(nil); err != nil {
		return &ConfigError{err}
	}
	return nil
}

// A place is an address and the flag it comes from.
type place struct {
	flag string
	sockaddr.Address
}

func words(all []place) (out []string) {
	for _, p := range all {
		out = append(out, fmt.Sprintf("--%s %s", p.flag, p.Address))
	}
	return out
}

// exposed returns the addresses beyond this machine that have no TLS.
func (c *Config) exposed() (all []place) {
	add := func(flag string, addrs ...sockaddr.Address) {
		for _, a := range addrs {
			if !a.IsLocal() {
				all = append(all, place{flag, a})
			}
		}
	}
	if c.TLS == nil {
		add("listen", c.Listen...)
		add("connect", c.Connect...)
		if c.API != nil {
			add("api", *c.API)
		}
	}
	add("listen-classic", c.ListenClassic...)
	add("connect-classic", c.ConnectClassic...)
	return all
}

// checkSecrecy refuses what others could read or join, unless that is wanted.
func (c *Config) checkSecrecy() error {
	if t := c.TLS; t != nil && (t.Cert == "" || t.Key == "" || t.CA == "") {
		return errors.New("TLS takes all of --tls-cert, --tls-key and --tls-ca; limpetd cert makes the files for a first try")
	}
	all := c.exposed()
	if len(all) == 0 || c.Insecure {
		return nil
	}
	p := all[0]
	leads := "is open to other machines"
	if p.flag == "connect" || p.flag == "connect-classic" {
		leads = "leads to another machine"
	}
	if p.flag == "listen-classic" || p.flag == "connect-classic" {
		return fmt.Errorf("--%s: %s %s, and the classic protocol has no TLS: anybody could join, or read and change what is sent; use a loopback address such as localhost with a tunnel, or --insecure on a network that you trust", p.flag, p.Address, leads)
	}
	return fmt.Errorf("--%s: %s %s, and without TLS anybody could join, or read and change what is sent; give --tls-cert, --tls-key and --tls-ca (limpetd cert makes the files for a first try), a loopback address such as localhost, a Unix socket, or --insecure on a network that you trust", p.flag, p.Address, leads)
}

// checkGroups finds groups that are not there.
func (c *Config) checkGroups() error {
	_, _, err := c.groups()
	return err
}

// groups returns the ids of the groups of the sockets; 0 is none.
func (c *Config) groups() (peers, api int, err error) {
	if peers, err = groupID(c.PeerGroup); err != nil {
		return 0, 0, fmt.Errorf("--peer-group: %w", err)
	}
	if api, err = groupID(c.APIGroup); err != nil {
		return 0, 0, fmt.Errorf("--api-group: %w", err)
	}
	return peers, api, nil
}

func groupID(name string) (int, error) {
	if name == "" {
		return 0, nil
	}
	word := name
	if g, err := user.LookupGroup(name); err == nil {
		word = g.Gid
	}
	id, err := strconv.ParseUint(word, 10, 31)
	switch {
	case err != nil:
		return 0, fmt.Errorf("there is no group %q; give the name of one, or its id", name)
	case id == 0:
		return 0, fmt.Errorf("%q is root's group, which cannot be chosen", name)
	}
	return int(id), nil
}
