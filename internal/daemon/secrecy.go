package daemon

import (
	"errors"
	"fmt"
	"log/slog"
	"os/user"
	"slices"
	"strconv"
	"strings"

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

func (t *TLS) files() identity.Files {
	if t == nil {
		return identity.Files{}
	}
	return identity.Files{Cert: t.Cert, Key: t.Key, CA: t.CA}
}

// load reads the files; nil has none. The error is a *ConfigError.
func (t *TLS) load(log *slog.Logger) (*identity.TLS, error) {
	if t == nil {
		return nil, nil
	}
	x, err := identity.Load(t.files(), log)
	if err != nil {
		return nil, &ConfigError{"", err}
	}
	return x, nil
}

// Check reads the files, and returns a *ConfigError if they cannot be used.
func (t *TLS) Check() error {
	_, err := t.load(nil)
	return err
}

// A place is an address, and the flag it comes from.
type place struct {
	flag string
	sockaddr.Address
	link *LinkConfig // nil for the API and HTTP
}

func (p place) String() string { return "--" + p.flag + " " + p.Address.String() }

// open returns the addresses beyond this machine that have no TLS.
func (c *Config) open() (all []place) {
	for i := range c.Links {
		if l := &c.Links[i]; !l.Address.IsLocal() && (c.TLS == nil && l.TLS == nil || l.Classic) {
			all = append(all, place{l.Kind(), l.Address, l})
		}
	}
	if c.API != nil && !c.API.IsLocal() && c.TLS == nil {
		all = append(all, place{"api", *c.API, nil})
	}
	if c.Web != nil && !c.Web.IsLocal() && c.TLS == nil {
		all = append(all, place{"web", *c.Web, nil})
	}
	return all
}

// checkSecrecy refuses what others could read or join, unless that is wanted.
func (c *Config) checkSecrecy() error {
	if t := c.TLS; t != nil && (t.Cert == "" || t.Key == "" || t.CA == "") {
		return &ConfigError{"", errors.New("TLS takes all of --tls-cert, --tls-key and --tls-ca; limpetd cert makes the files for a first try")}
	}
	all := c.open()
	if len(all) == 0 || c.Insecure {
		return nil
	}
	p := all[0]
	wrong := func(setting string, err error) error { return &ConfigError{setting, err} }
	if p.link != nil {
		wrong = p.link.wrong
	}
	leads := "is open to other machines"
	if strings.HasPrefix(p.flag, "connect") {
		leads = "leads to another machine"
	}
	if strings.HasSuffix(p.flag, "-classic") {
		return wrong(p.flag, fmt.Errorf("%s %s, and the classic protocol has no TLS: anybody could join, or read and change what is sent; use a loopback address such as localhost with a tunnel, or --insecure on a network that you trust", p.Address, leads))
	}
	return wrong(p.flag, fmt.Errorf("%s %s, and without TLS anybody could join, or read and change what is sent; give --tls-cert, --tls-key and --tls-ca (limpetd cert makes the files for a first try), a loopback address such as localhost, a Unix socket, or --insecure on a network that you trust", p.Address, leads))
}

// insecure returns what Insecure allows, for GetStatus.
func (d *Daemon) insecure() []string {
	if all := d.exposed.Load(); all != nil {
		return *all
	}
	return nil
}

// sayInsecure logs what Insecure allows, if that is something else than before.
func (d *Daemon) sayInsecure() {
	var words []string
	for _, p := range d.cfg.open() {
		words = append(words, p.String())
	}
	if slices.Equal(words, d.insecure()) {
		return
	}
	d.exposed.Store(&words)
	if len(words) > 0 {
		d.cfg.Log.Warn("INSECURE: whoever reaches these addresses, or the way to them, can join, read and change everything, as --insecure allows", "addresses", words)
	}
}

// checkGroups finds groups that are not there.
func (c *Config) checkGroups() error {
	_, _, err := c.groups()
	return err
}

// groups returns the ids of the groups of the sockets; 0 is none.
func (c *Config) groups() (peers, api int, err error) {
	if peers, err = groupID(c.PeerGroup); err != nil {
		return 0, 0, &ConfigError{"peer-group", err}
	}
	if api, err = groupID(c.APIGroup); err != nil {
		return 0, 0, &ConfigError{"api-group", err}
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
