package identity

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync/atomic"

	"google.golang.org/grpc/credentials"

	"github.com/kbus-limpet/limpet/limpet/rules"
)

// Listen returns l with what Server does for gRPC, for HTTP/1.1: over Unix sockets the kernel
// says who is at the other end, over any other network it is mutual TLS with what t has, unless
// t is nil. Its connections are of type *Conn. TLS's handshake is made by the first Read or
// Write, whose deadline bounds it. log and refused are as Server has them.
func Listen(l net.Listener, t *TLS, log *slog.Logger, refused func()) net.Listener {
	c := Server(t, log, refused).(*creds)
	return &listener{l, c.tls, c.refused}
}

type listener struct {
	net.Listener
	tls     *TLS // nil for none
	refused *refusals
}

func (l *listener) Accept() (net.Conn, error) {
	raw, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &Conn{Conn: raw, raw: raw, on: l}
	if l.tls != nil && !isUnix(raw) {
		c.tls = tls.Server(raw, l.tls.httpConfig())
		c.Conn = c.tls
	}
	return c, nil
}

// httpConfig is what serverHandshake takes, without HTTP/2.
func (t *TLS) httpConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			cfg := t.current().forClients()
			cfg.NextProtos = []string{"http/1.1"}
			return cfg, nil
		},
	}
}

// A Conn is a connection that can tell who is at its other end.
type Conn struct {
	net.Conn
	raw    net.Conn
	tls    *tls.Conn // nil without TLS
	on     *listener
	failed atomic.Bool
}

// Read reads, and notes a handshake that fails.
func (c *Conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil && c.tls != nil && !c.tls.ConnectionState().HandshakeComplete && !errors.Is(err, net.ErrClosed) && !c.failed.Swap(true) {
		c.on.refused.add(c.RemoteAddr(), c.on.tls.explain(err))
	}
	return n, err
}

// NetConn returns the connection below TLS.
func (c *Conn) NetConn() net.Conn { return c.raw }

// Identity returns who is at the other end, and how the connection is kept from others. The
// error is that of asking the kernel, or that TLS's handshake is not over.
func (c *Conn) Identity() (rules.Identity, Transport, error) {
	if c.tls == nil {
		return Of(c.raw)
	}
	state := c.tls.ConnectionState()
	if !state.HandshakeComplete || len(state.PeerCertificates) == 0 {
		return rules.Identity{}, Encrypted, errors.New("the handshake of TLS is not over")
	}
	return rules.Identity{Names: namesOf(state.PeerCertificates[0])}, Encrypted, nil
}

// A Known connection says itself who is at its other end: one inside this process, which
// stands for a Conn. Server believes it.
type Known interface {
	net.Conn
	Identity() (rules.Identity, Transport, error)
}

// knownHandshake takes a connection at its word.
func knownHandshake(conn Known) (net.Conn, credentials.AuthInfo, error) {
	who, transport, err := conn.Identity()
	if err != nil {
		return nil, nil, err
	}
	level := credentials.PrivacyAndIntegrity
	if transport == Plain {
		level = credentials.NoSecurity
	}
	return conn, &info{CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: level}, transport: transport, who: who}, nil
}
