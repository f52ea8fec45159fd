package identity

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"strings"

	"google.golang.org/grpc/credentials"

	"github.com/kbus-limpet/limpet/limpet/rules"
)

// tlsInfo is an info of a TLS connection, with what gRPC's own credentials know of it.
type tlsInfo struct {
	credentials.TLSInfo
	info info
}

// config returns what both ends have in common. Each handshake has one of its own, made of
// the files as they are now, so nothing of crypto/tls needs replacing when they change.
// There are no session tickets: connections are few and long, and one that is resumed would
// be let in by a CA that may not be trusted any more.
func (m *material) config() *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{m.cert},
		SessionTicketsDisabled: true,
	}
}

// serverHandshake lets in whoever has a certificate of our CA.
func (t *TLS) serverHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	out, auth, err := credentials.NewTLS(t.current().forClients()).ServerHandshake(conn)
	if err != nil {
		return nil, nil, t.explain(err)
	}
	return known(out, auth)
}

// forClients is config for a server.
func (m *material) forClients() *tls.Config {
	cfg := m.config()
	cfg.ClientAuth = tls.RequireAndVerifyClientCert
	cfg.ClientCAs = m.roots
	return cfg
}

// clientHandshake makes sure that the server has a certificate of our CA, for name.
func (t *TLS) clientHandshake(ctx context.Context, name string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	m := t.current()
	cfg := m.config()
	cfg.RootCAs = m.roots
	if strings.Contains(name, "://") {
		cfg.InsecureSkipVerify = true // crypto/tls knows no names that are URIs; hasURI verifies all the same
		uri := name
		cfg.VerifyConnection = func(s tls.ConnectionState) error { return m.hasURI(s, uri) }
		name = ""
	}
	out, auth, err := credentials.NewTLS(cfg).ClientHandshake(ctx, name, conn)
	if err != nil {
		return nil, nil, t.explain(err)
	}
	return known(out, auth)
}

// hasURI verifies a server's certificate as crypto/tls does, but for a URI.
func (m *material) hasURI(s tls.ConnectionState, want string) error {
	leaf := s.PeerCertificates[0] // a server without one ends the handshake before this
	rest := x509.NewCertPool()
	for _, c := range s.PeerCertificates[1:] {
		rest.AddCert(c)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: m.roots, Intermediates: rest}); err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: s.PeerCertificates, Err: err}
	}
	for _, u := range leaf.URIs {
		if u.String() == want {
			return nil
		}
	}
	return &wrongNameError{leaf: leaf, want: want}
}

// known makes the names of a certificate the identity.
func known(conn net.Conn, auth credentials.AuthInfo) (net.Conn, credentials.AuthInfo, error) {
	found, ok := auth.(credentials.TLSInfo)
	if !ok || len(found.State.PeerCertificates) == 0 {
		_ = conn.Close()
		return nil, nil, errors.New("the other end has no certificate")
	}
	return conn, &tlsInfo{TLSInfo: found, info: info{
		CommonAuthInfo: found.CommonAuthInfo, transport: Encrypted, who: rules.Identity{Names: namesOf(found.State.PeerCertificates[0])},
	}}, nil
}

// namesOf returns the URIs of a certificate, then its DNS names.
func namesOf(c *x509.Certificate) []string {
	names := make([]string, 0, len(c.URIs)+len(c.DNSNames))
	for _, u := range c.URIs {
		names = append(names, u.String())
	}
	return append(names, c.DNSNames...)
}
