package daemon

import (
	"errors"
	"fmt"
	"slices"

	"github.com/kbus-limpet/limpet/internal/sockaddr"
	"github.com/kbus-limpet/limpet/limpet"
)

// A LinkConfig is a link that the daemon dials, or an address at which it accepts links.
type LinkConfig struct {
	// Name is that of a link that is dialled; "" is Title. Those that are accepted have
	// the name of their peer's network.
	Name string
	// Address is where the peer is dialled, or where peers dial us.
	Address sockaddr.Address
	// Listen says that links are accepted, Classic that they are with upstream's limpets.
	Listen, Classic bool
	// TLSName is whose certificate a daemon must have that is dialled with TLS, see
	// identity.Client; "" is TLS.Name of the Config.
	TLSName string
	// Limpet is how the links behave; nil is Config.Limpet.
	Limpet *limpet.Config
}

// Dial returns a link with the daemon at an address.
func Dial(a sockaddr.Address) LinkConfig { return LinkConfig{Address: a} }

// Accept returns an address at which links of daemons are accepted.
func Accept(a sockaddr.Address) LinkConfig { return LinkConfig{Address: a, Listen: true} }

// Kind returns the flag that makes such a link, without its dashes.
func (c *LinkConfig) Kind() string {
	kind := "connect"
	if c.Listen {
		kind = "listen"
	}
	if c.Classic {
		kind += "-classic"
	}
	return kind
}

// Title returns what distinguishes the link from all others of a configuration: the flag
// that makes it, and the address.
func (c *LinkConfig) Title() string { return c.Kind() + " " + c.Address.String() }

// dialled counts the links that are dialled.
func (c *Config) dialled() (n int) {
	for i := range c.Links {
		if !c.Links[i].Listen {
			n++
		}
	}
	return n
}

// name returns the name of a link that is dialled.
func (c *LinkConfig) name() string {
	if c.Name != "" {
		return c.Name
	}
	return c.Title()
}

// resolved returns the links with how they behave.
func (c *Config) resolved() []LinkConfig {
	all := slices.Clone(c.Links)
	for i := range all {
		if all[i].Limpet == nil {
			all[i].Limpet = &c.Limpet
		}
		if l := &all[i]; c.TLS != nil && !l.Listen && !l.Classic && l.TLSName == "" {
			l.TLSName = c.TLS.Name
		}
	}
	return all
}

// checkLinks finds links that stand there twice, or whose settings are wrong.
func (c *Config) checkLinks() error {
	titles, names := make(map[string]bool), make(map[string]string)
	for i := range c.Links {
		l := &c.Links[i]
		title := l.Title()
		if titles[title] {
			return &ConfigError{l.Kind(), fmt.Errorf("the address %s is given twice", l.Address)}
		}
		titles[title] = true
		if l.Name != "" && l.Listen {
			return &ConfigError{"links", fmt.Errorf("%s: links that are accepted have the names of their peers' networks; leave name %q out", title, l.Name)}
		}
		if l.TLSName != "" && (l.Listen || l.Classic) {
			return &ConfigError{"links", fmt.Errorf("%s: tls-name is for daemons that are dialled; leave it out", title)}
		}
		if other := names[l.name()]; !l.Listen && other != "" {
			return &ConfigError{"links", fmt.Errorf("%s and %s have both the name %q", other, title, l.name())}
		}
		names[l.name()] = title
		if l.Limpet == nil {
			continue
		}
		var bad *ConfigError
		if err := checkLimpet(l.Limpet); errors.As(err, &bad) {
			return &ConfigError{"links", fmt.Errorf("%s: %s: %w", title, bad.Setting, bad.Err)}
		}
	}
	return nil
}

// checkLimpet judges how links behave. The error is a *ConfigError.
func checkLimpet(c *limpet.Config) error {
	if g := c.Grace; g > maxDuration {
		return &ConfigError{"grace", fmt.Errorf("%v is too long; choose at most %v, or 0 for none", g, maxDuration)}
	}
	if h := c.RequestHold; h < 0 || h > maxDuration {
		return &ConfigError{"request-hold", fmt.Errorf("%v is not between 1ms and %v", h, maxDuration)}
	}
	if err := c.Validate(); err != nil {
		return &ConfigError{"", err}
	}
	return nil
}
