package identity

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
)

// A RefusedError is the end of a handshake because one of its ends does not accept the other,
// which a person must mend.
type RefusedError struct{ Err error }

// Error returns the error's text.
func (e *RefusedError) Error() string { return e.Err.Error() }

// Unwrap returns the error inside.
func (e *RefusedError) Unwrap() error { return e.Err }

// A wrongNameError is a server's certificate that is good, but another's.
type wrongNameError struct {
	leaf *x509.Certificate
	want string
}

func (e *wrongNameError) Error() string {
	return fmt.Sprintf("the certificate is for %s, not for %s", strings.Join(quoted(e.leaf), ", "), e.want)
}

// quoted returns all names of a certificate, escaped: they may be anybody's.
func quoted(c *x509.Certificate) []string {
	var all []string
	for _, name := range namesOf(c) {
		all = append(all, fmt.Sprintf("%.100q", name))
	}
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	if all == nil {
		return []string{"nothing"}
	}
	return all
}

// explain adds to why a handshake failed what a person needs to know.
func (t *TLS) explain(err error) error {
	var (
		noTLS   tls.RecordHeaderError
		alert   *net.OpError
		unknown x509.UnknownAuthorityError
		invalid x509.CertificateInvalidError
		host    x509.HostnameError
		other   *wrongNameError
	)
	refused := func(format string, args ...any) error { return &RefusedError{fmt.Errorf(format, args...)} }
	switch {
	case errors.As(err, &noTLS):
		return refused("the other end speaks no TLS: %w", err)
	case errors.As(err, &alert) && alert.Op == "remote error": // crypto/tls has no better name for it
		return refused("the other end does not accept our certificate %s: %w", t.files.Cert, err)
	case errors.As(err, &unknown):
		return refused("the other end's certificate is not signed by a CA in %s: %w", t.files.CA, err)
	case errors.As(err, &host):
		return refused("%w; dial it by one of these names, or name the one to expect with --tls-name", &wrongNameError{host.Certificate, host.Host})
	case errors.As(err, &other):
		return refused("%w, which was to be expected", other)
	case errors.As(err, &invalid):
		return refused("the other end's certificate for %s: %w", strings.Join(quoted(invalid.Cert), ", "), err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("the handshake of TLS took too long: %w", err)
	default:
		return fmt.Errorf("the handshake of TLS failed: %w", err)
	}
}
