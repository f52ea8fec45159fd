package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"
	"go.yaml.in/yaml/v3"

	"github.com/kbus-limpet/limpet/internal/daemon"
	"github.com/kbus-limpet/limpet/internal/sockaddr"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/rename"
	"github.com/kbus-limpet/limpet/limpet/rules"
)

// linkSettings are those of one item of the file's links, or, without an address, what
// holds for all links that say nothing else.
type linkSettings struct {
	Connect, Listen, ConnectClassic, ListenClassic string

	Name               string
	TLSCert, TLSKey    string
	TLSCA, TLSName     string
	MessageName        string
	Rename             []string
	Grace, RequestHold time.Duration
	Interest           string

	set    *settings
	origin string // where the item stands
}

// general returns what the configuration says of all links.
func (c *config) general() *linkSettings {
	return &linkSettings{MessageName: c.MessageName, Rename: c.Rename, Grace: c.Grace, RequestHold: c.RequestHold, Interest: c.Interest}
}

// settings returns the flags that set l. What is not set stays.
func (l *linkSettings) settings() *pflag.FlagSet {
	f := pflag.NewFlagSet("link", pflag.ContinueOnError)
	f.SortFlags = false
	f.StringVar(&l.Connect, "connect", "", "keep a link up to the peer at `ADDRESS`")
	f.StringVar(&l.Listen, "listen", "", "accept links from peers at `ADDRESS`")
	f.StringVar(&l.ConnectClassic, "connect-classic", "", "keep a link up to an upstream limpet at `ADDRESS`")
	f.StringVar(&l.ListenClassic, "listen-classic", "", "accept links from upstream's limpets at `ADDRESS`")
	f.StringVar(&l.Name, "name", "", "the `NAME` of a link that is dialled, in place of its address")
	f.StringVar(&l.TLSCert, "tls-cert", "", "the certificate for this link, a PEM `FILE`; with it stand tls-key and tls-ca")
	f.StringVar(&l.TLSKey, "tls-key", "", "the private key of tls-cert, a PEM `FILE`")
	f.StringVar(&l.TLSCA, "tls-ca", "", "believe peers whose certificates a CA in this PEM `FILE` has signed")
	f.StringVar(&l.TLSName, "tls-name", "", "the `NAME` that the dialled peer's certificate must have")
	f.StringVar(&l.MessageName, "message-name", l.MessageName, "forward only messages of this `NAME`, perhaps a wildcard")
	f.StringSliceVar(&l.Rename, "rename", l.Rename, "names at or below one prefix here are at or below another one at the peer: `HERE=THERE` (a list)")
	f.DurationVar(&l.Grace, "grace", l.Grace, "keep what is under way for this `DURATION` after the link has broken; 0 keeps nothing")
	f.DurationVar(&l.RequestHold, "request-hold", l.RequestHold, "keep a request that has not left for this `DURATION` while the link is broken")
	f.StringVar(&l.Interest, "interest", l.Interest, "on: send the peer only what somebody there listens to; off: send everything")
	return f
}

// takeLinks takes the file's links, which have the general settings where they say
// nothing else.
func (c *config) takeLinks(list *yaml.Node, at func(*yaml.Node) string) error {
	if list.Kind != yaml.SequenceNode {
		return fmt.Errorf("%s: links: it is a list: start each link with \"- connect: ADDRESS\" or \"- listen: ADDRESS\"", at(list))
	}
	for _, item := range list.Content {
		if item.Kind != yaml.MappingNode {
			return fmt.Errorf("%s: links: a link is made of settings, the first of which is \"- connect: ADDRESS\" or \"- listen: ADDRESS\"", at(item))
		}
		l := c.general()
		l.origin = at(item)
		l.set = &settings{flags: l.settings(), origins: make(map[string]string)}
		err := eachSetting(item, at, func(key, value *yaml.Node) error {
			if key.Value == "rules" {
				l.set.origins[key.Value] = at(key)
				return l.set.rules.takeRules(value, at)
			}
			return l.set.takeNode(key, value, at)
		})
		if err != nil {
			return err
		}
		c.links = append(c.links, l)
	}
	return nil
}

// limpet returns how the limpets of the link behave.
func (l *linkSettings) limpet(c *config) (limpet.Config, error) {
	var err error
	switch {
	case l.Grace < 0:
		err = &daemon.ConfigError{Setting: "grace", Err: fmt.Errorf("%v is less than 0; 0 is no grace", l.Grace)}
	case l.RequestHold < time.Millisecond:
		err = &daemon.ConfigError{Setting: "request-hold", Err: fmt.Errorf("%v is too short; choose at least 1ms", l.RequestHold)}
	}
	renames, renameErr := compileRenames(l.Rename)
	if err == nil && renameErr != nil {
		err = &daemon.ConfigError{Setting: "rename", Err: renameErr}
	}
	return limpet.Config{
		Pattern: l.MessageName, Renames: renames, Termination: c.Termination, Trace: c.Verbosity >= 2,
		Grace: noneIsNegative(l.Grace), RequestHold: l.RequestHold, AllInterest: l.Interest == "off",
	}, err
}

// compileRenames returns the map of what is written.
func compileRenames(words []string) (*rename.Map, error) {
	var all []rename.Rename
	for _, word := range words {
		r, err := rename.Parse(word)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return rename.Compile(all)
}

var errWhere = errors.New("a link has one of connect, listen, connect-classic and listen-classic")

// link returns the link of an item.
func (l *linkSettings) link(c *config) (daemon.LinkConfig, error) {
	out := daemon.LinkConfig{Name: l.Name, TLSName: l.TLSName, At: l.origin}
	if l.TLSCert != "" || l.TLSKey != "" || l.TLSCA != "" {
		out.TLS = &daemon.TLS{Cert: l.TLSCert, Key: l.TLSKey, CA: l.TLSCA}
	}
	for _, r := range l.set.rules.Rules {
		out.Rules = append(out.Rules, rules.Rule(r))
	}
	for _, a := range l.addresses() {
		if a.word == "" {
			continue
		}
		if out.Address != (sockaddr.Address{}) {
			return out, errWhere
		}
		var err error
		if out.Address, err = sockaddr.ParseAddress(a.word); err != nil {
			return out, err
		}
		out.Listen, out.Classic = a.listen, a.classic
	}
	if out.Address == (sockaddr.Address{}) {
		return out, errWhere
	}
	cfg, err := l.limpet(c)
	out.Limpet = &cfg
	return out, err
}

// locate says in an error where the link, or the setting of it that is wrong, stands.
func (l *linkSettings) locate(err error) error {
	var bad *daemon.ConfigError
	if errors.As(err, &bad) {
		if origin := l.set.origins[bad.Setting]; origin != "" {
			return fmt.Errorf("%s: links: %s: %w", origin, bad.Setting, bad.Err)
		}
	}
	return fmt.Errorf("%s: links: %w", l.origin, err)
}

type addressSetting struct {
	word            string
	listen, classic bool
}

func (l *linkSettings) addresses() []addressSetting {
	return []addressSetting{{l.Listen, true, false}, {l.Connect, false, false}, {l.ListenClassic, true, true}, {l.ConnectClassic, false, true}}
}

// allLinks returns those of the flags, then those of the file's list. The error is a
// *daemon.ConfigError.
func (c *config) allLinks() (all []daemon.LinkConfig, err error) {
	for _, of := range []struct {
		flag            string
		words           []string
		listen, classic bool
	}{
		{"listen", c.Listen, true, false}, {"connect", c.Connect, false, false},
		{"listen-classic", c.ListenClassic, true, true}, {"connect-classic", c.ConnectClassic, false, true},
	} {
		for _, word := range of.words {
			a, err := sockaddr.ParseAddress(word)
			if err != nil {
				return nil, &daemon.ConfigError{Setting: of.flag, Err: err}
			}
			all = append(all, daemon.LinkConfig{Address: a, Listen: of.listen, Classic: of.classic})
		}
	}
	for _, l := range c.links {
		link, err := l.link(c)
		if err != nil {
			return nil, &daemon.ConfigError{Err: l.locate(err)}
		}
		all = append(all, link)
	}
	return all, nil
}
