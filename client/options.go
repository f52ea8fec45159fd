package client

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/kbus-limpet/limpet/internal/identity"
	"github.com/kbus-limpet/limpet/internal/rpcstream"
	"github.com/kbus-limpet/limpet/internal/sockaddr"
)

// An Option says how Open reaches a daemon.
type Option func(*options)

type options struct {
	tls      *TLS
	insecure bool
}

// TLS names the PEM files of a program, and what it expects of the daemon. Files that change
// count from the next connection on; while they cannot be used, those of before do.
type TLS struct {
	// Cert and Key are the program's certificate, with those between it and the CA behind
	// it, and its private key. All three files are required.
	Cert, Key string
	// CA has the certificates of those that may sign the daemon's.
	CA string
	// Name is whose certificate the daemon must have: a DNS name, an IP address, or a URI
	// such as spiffe://example.org/limpetd. "" is the host that is dialled.
	Name string
}

// WithTLS makes connections over TCP TLS 1.3, with certificates at both ends. Unix sockets
// are used as without it.
func WithTLS(t TLS) Option { return func(o *options) { o.tls = &t } }

// WithInsecure allows a connection without TLS to another machine: whoever is on the way can
// read and change everything, and nobody knows who the daemon is.
func WithInsecure() Option { return func(o *options) { o.insecure = true } }

// target returns what to dial for an address.
func target(address string, opts []Option) (rpcstream.Target, error) {
	var o options
	for _, opt := range opts {
		opt(&o)
	}
	addr, err := sockaddr.ParseAddress(address)
	if err != nil {
		return rpcstream.Target{}, err
	}
	to := rpcstream.Target{Address: addr}
	if address == DefaultAPIAddress() { // another address is the user's own choice
		to.Check = func() error { return checkFolder(address) }
		if err := to.Check(); err != nil {
			return rpcstream.Target{}, err
		}
	}
	switch {
	case o.tls != nil && (o.tls.Cert == "" || o.tls.Key == "" || o.tls.CA == ""):
		return rpcstream.Target{}, errors.New("TLS takes a certificate, its key, and a CA: a file for each")
	case o.tls != nil:
		t, err := identity.Load(identity.Files{Cert: o.tls.Cert, Key: o.tls.Key, CA: o.tls.CA}, nil)
		if err != nil {
			return rpcstream.Target{}, err
		}
		to.Credentials = identity.Client(t, o.tls.Name)
	case !o.insecure && !addr.IsLocal():
		return rpcstream.Target{}, fmt.Errorf("%s: only this machine's daemons are dialled without TLS, over a Unix socket or a loopback address such as localhost; give TLS files (WithTLS, --tls-cert, --tls-key and --tls-ca), or allow it all the same (WithInsecure, --insecure)", addr)
	}
	return to, nil
}

// checkFolder makes sure that nobody else can have put a socket where a daemon of this
// user's would be. If there is no folder, there is no daemon either.
func checkFolder(path string) error {
	if err := sockaddr.CheckFolder(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
