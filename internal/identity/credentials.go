package identity

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/kbus-limpet/limpet/limpet/rules"
)

// A Transport is how a connection is kept from others.
type Transport string

// The transports.
const (
	// Unix is a socket on this machine; the kernel says who is at the other end.
	Unix Transport = "unix"
	// Encrypted is TLS; certificates say who is at either end.
	Encrypted Transport = "tls"
	// Plain is neither: nobody knows who is at the other end, and who is on the way can
	// read and change what is sent.
	Plain Transport = "plain"
)

// info is what a handshake found out. It is gRPC's AuthInfo of a connection.
type info struct {
	credentials.CommonAuthInfo
	transport Transport
	who       rules.Identity
}

func (i *info) AuthType() string { return string(i.transport) }

// FromContext returns who is at the other end of the call that has the context ctx: a
// handler's, or that of a stream that has been opened. Of a call over a connection without
// credentials of this package, nothing is known.
func FromContext(ctx context.Context) rules.Identity {
	if i := infoOf(ctx); i != nil {
		return i.who
	}
	return rules.Identity{}
}

// TransportOf returns how the connection of a call is kept from others.
func TransportOf(ctx context.Context) Transport {
	if i := infoOf(ctx); i != nil {
		return i.transport
	}
	return Plain
}

func infoOf(ctx context.Context) *info {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return nil
	}
	switch i := p.AuthInfo.(type) {
	case *info:
		return i
	case *tlsInfo:
		return &i.info
	}
	return nil
}

// Server returns credentials for connections that are accepted. Unix sockets are used as
// they are: the kernel says who is at the other end. Over any other network it is mutual TLS
// with what t has, and nothing else, unless t is nil: then nothing is known of the other end.
// The log, unless nil, has who was refused and why, at most a line a second; refused, unless
// nil, is called each time, by many goroutines at once.
func Server(t *TLS, log *slog.Logger, refused func()) credentials.TransportCredentials {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if refused == nil {
		refused = func() {}
	}
	return &creds{tls: t, refused: &refusals{log: log, count: refused}}
}

// ServerBy is Server with a TLS for each connection: what of returns, which may be nil.
func ServerBy(of func(net.Conn) *TLS, log *slog.Logger, refused func()) credentials.TransportCredentials {
	c := Server(nil, log, refused).(*creds)
	c.by = of
	return c
}

// Client is Server for connections that are dialled. name is whose certificate the server
// must have: a DNS name, an IP address, or a URI such as spiffe://example.org/limpetd; "" is
// the host that is dialled.
func Client(t *TLS, name string) credentials.TransportCredentials {
	return &creds{tls: t, name: name}
}

type creds struct {
	tls     *TLS                // nil for none
	by      func(net.Conn) *TLS // in its place, unless nil
	name    string              // of servers
	refused *refusals           // by servers
}

// Info does not tell the server's name, which gRPC would take for the calls' authority.
func (c *creds) Info() credentials.ProtocolInfo {
	if c.tls == nil {
		return credentials.ProtocolInfo{SecurityProtocol: "insecure"}
	}
	return credentials.ProtocolInfo{SecurityProtocol: "tls"}
}

// Clone returns c, which does not change.
func (c *creds) Clone() credentials.TransportCredentials { return c }

// OverrideServerName does nothing: Client has the name.
func (c *creds) OverrideServerName(string) error { return nil }

// ClientHandshake is for gRPC.
func (c *creds) ClientHandshake(ctx context.Context, authority string, conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	switch {
	case isUnix(conn):
		return unixHandshake(conn)
	case c.tls == nil:
		return conn, plain(), nil
	}
	return c.tls.clientHandshake(ctx, nameOf(c.name, authority), conn)
}

var errSpeaksTLS = errors.New("it wants TLS, which this address does not offer: give certificates here too, with --tls-cert, --tls-key and --tls-ca")

// ServerHandshake is for gRPC, which bounds its time by a deadline of conn.
func (c *creds) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	t := c.tls
	if c.by != nil {
		t = c.by(conn)
	}
	if k, ok := conn.(Known); ok {
		return knownHandshake(k)
	}
	switch {
	case isUnix(conn):
		return unixHandshake(conn)
	case t == nil:
		if speaksTLS(conn) {
			c.refused.add(conn.RemoteAddr(), errSpeaksTLS) // gRPC's answer tells the client that there is no TLS
		}
		return conn, plain(), nil
	}
	out, auth, err := t.serverHandshake(conn)
	if err != nil {
		c.refused.add(conn.RemoteAddr(), err)
	}
	return out, auth, err
}

// nameOf returns name, or the host of authority if that is "".
func nameOf(name, authority string) string {
	if name != "" {
		return name
	}
	if host, _, err := net.SplitHostPort(authority); err == nil {
		return host
	}
	return authority
}

func plain() *info {
	return &info{CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.NoSecurity}, transport: Plain}
}

func isUnix(conn net.Conn) bool {
	a := conn.RemoteAddr()
	return a != nil && a.Network() == "unix"
}

// Of returns who is at the other end of a connection without TLS, and how it is kept from
// others. The error is that of asking the kernel.
func Of(conn net.Conn) (rules.Identity, Transport, error) {
	if !isUnix(conn) {
		return rules.Identity{}, Plain, nil
	}
	process, err := processOf(conn)
	if err != nil {
		return rules.Identity{}, Unix, fmt.Errorf("asking the kernel who is at the other end of a Unix socket: %w", err)
	}
	return rules.Identity{Process: process}, Unix, nil
}

// unixHandshake returns conn itself: nothing stands between gRPC and its bytes.
func unixHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	who, transport, err := Of(conn)
	if err != nil {
		return nil, nil, err
	}
	return conn, &info{
		CommonAuthInfo: credentials.CommonAuthInfo{SecurityLevel: credentials.PrivacyAndIntegrity},
		transport:      transport, who: who,
	}, nil
}
