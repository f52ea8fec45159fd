package daemon

import (
	"errors"
	"fmt"
	"slices"

	"github.com/kbus-limpet/limpet/internal/sockaddr"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/rules"
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
	// TLS is what connections of the link over TCP are made with; nil is Config.TLS. Its Name
	// counts for nothing.
	TLS *TLS
	// TLSName is whose certificate a daemon must have that is dialled with TLS, see
	// identity.Client; "" is TLS.Name of the Config.
	TLSName string
	// Rules are who may do what over the link: what none of them matches is judged by
	// Config.Rules.
	Rules []rules.Rule
	// Limpet is how the links behave; nil is Config.Limpet.
	Limpet *limpet.Config
	// At is where the configuration has the link, FILE:LINE, for errors about it; "" is the
	// flag of its Kind.
	At string
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
		if l := &all[i]; l.TLS == nil {
			l.TLS = c.TLS
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
			return l.wrong(l.Kind(), fmt.Errorf("the address %s is given twice", l.Address))
		}
		titles[title] = true
		if l.Name != "" && l.Listen {
			return l.wrong("links", fmt.Errorf("%s: links that are accepted have the names of their peers' networks; leave name %q out", title, l.Name))
		}
		if l.TLSName != "" && (l.Listen || l.Classic) {
			return l.wrong("links", fmt.Errorf("%s: tls-name is for daemons that are dialled; leave it out", title))
		}
		if other := names[l.name()]; !l.Listen && other != "" {
			return l.wrong("links", fmt.Errorf("%s and %s have both the name %q", other, title, l.name()))
		}
		names[l.name()] = title
		if err := l.checkOwn(); err != nil {
			return l.wrong("links", fmt.Errorf("%s: %w", title, err))
		}
		if l.Limpet == nil {
			continue
		}
		var bad *ConfigError
		if err := checkLimpet(l.Limpet); errors.As(err, &bad) {
			return l.wrong("links", fmt.Errorf("%s: %s: %w", title, bad.Setting, bad.Err))
		}
	}
	return nil
}

// wrong returns an error about the link, with the line where it stands, else with the flag.
func (c *LinkConfig) wrong(setting string, err error) error {
	if c.At != "" {
		return &ConfigError{"", fmt.Errorf("%s: links: %w", c.At, err)}
	}
	return &ConfigError{setting, err}
}

// checkOwn judges the TLS and the rules of a link's own.
func (c *LinkConfig) checkOwn() error {
	switch t := c.TLS; {
	case t == nil:
	case c.Classic:
		return errors.New("the classic protocol has no TLS; leave tls-cert, tls-key and tls-ca out")
	case t.Cert == "" || t.Key == "" || t.CA == "":
		return errors.New("TLS takes all of tls-cert, tls-key and tls-ca")
	}
	_, err := rules.CompileLink(c.Rules, nil)
	return err
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
