package main

import (
	"cmp"
	"os"

	"github.com/kbus-limpet/limpet/client"
)

// Variables of the environment. Those of limpetd begin with LIMPETD_: what is exported for
// one program means nothing to the other.
const (
	envAPI     = "LIMPETCTL_API"
	envContext = "LIMPETCTL_CONTEXT"
	envTLSCert = "LIMPETCTL_TLS_CERT"
	envTLSKey  = "LIMPETCTL_TLS_KEY"
	envTLSCA   = "LIMPETCTL_TLS_CA"
	envTLSName = "LIMPETCTL_TLS_NAME"
)

// find settles which daemon is meant, and how it is reached. An address that is said
// (--api, LIMPETCTL_API) has nothing of a context; else it is that of --context, of
// LIMPETCTL_CONTEXT, or the one in use; else the usual one. What is said of TLS wins over
// the context's.
func (o *options) find(getenv func(string) string) (*place, error) {
	p := &place{API: o.said.API}
	name := o.context
	if p.API == "" && name == "" {
		if p.API = getenv(envAPI); p.API == "" {
			name = getenv(envContext)
		}
	}
	if p.API == "" {
		found, err := contextPlace(name)
		if err != nil {
			return nil, &usageError{err}
		}
		*p = *found
	}
	for _, x := range []struct {
		to   *string
		said string
		env  string
	}{
		{&p.TLSCert, o.said.TLSCert, envTLSCert}, {&p.TLSKey, o.said.TLSKey, envTLSKey},
		{&p.TLSCA, o.said.TLSCA, envTLSCA}, {&p.TLSName, o.said.TLSName, envTLSName},
	} {
		*x.to = cmp.Or(x.said, getenv(x.env), *x.to)
	}
	p.Insecure = p.Insecure || o.said.Insecure
	return p, nil
}

// contextPlace returns the place of a context, of that in use if name is "", and the usual
// one if none is in use.
func contextPlace(name string) (*place, error) {
	usual := &place{API: client.DefaultAPIAddress()}
	path, err := contextsFile()
	if err != nil {
		if name == "" { // a service has no home
			return usual, nil
		}
		return nil, err
	}
	all, err := readContexts(path)
	if err != nil {
		return nil, err
	}
	if name = cmp.Or(name, all.InUse); name == "" {
		return usual, nil
	}
	return all.find(name, path)
}

// open opens the daemon's bus.
func (o *options) open() (*client.Bus, *place, error) {
	p, err := o.find(os.Getenv)
	if err != nil {
		return nil, nil, err
	}
	var opts []client.Option
	if t := p.tls(); t != (client.TLS{}) {
		opts = append(opts, client.WithTLS(t))
	}
	if p.Insecure {
		opts = append(opts, client.WithInsecure())
	}
	bus, err := client.Open(p.API, opts...)
	return bus, p, err
}
