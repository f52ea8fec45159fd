package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// A Pair is a certificate and its private key, both in PEM.
type Pair struct{ Cert, Key []byte }

// ErrName is wrapped by errors about names that no certificate can have.
var ErrName = errors.New("not a name")

// Names are what a certificate is for.
type Names struct {
	DNS  []string
	IPs  []net.IP
	URIs []*url.URL
}

// ParseNames sorts the names of one host: IP addresses, URIs such as
// spiffe://example.org/limpetd, and DNS names. There must be one at least.
func ParseNames(words []string) (Names, error) {
	var n Names
	for _, word := range words {
		if ip := net.ParseIP(word); ip != nil {
			n.IPs = append(n.IPs, ip)
			continue
		}
		if strings.Contains(word, "://") {
			u, err := url.Parse(word)
			if err != nil || len(u.Host) > 253 || !dnsName.MatchString(u.Host) || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.String() != word {
				return Names{}, fmt.Errorf("%.300q is %w: it is no URI of the form spiffe://example.org/limpetd", word, ErrName)
			}
			n.URIs = append(n.URIs, u)
			continue
		}
		if len(word) > 253 || !dnsName.MatchString(word) {
			return Names{}, fmt.Errorf("%.300q is %w of DNS, no IP address, and no URI", word, ErrName)
		}
		n.DNS = append(n.DNS, word)
	}
	if len(words) == 0 {
		return Names{}, fmt.Errorf("a certificate needs a name: %w", ErrName)
	}
	return n, nil
}

var dnsName = regexp.MustCompile(`^([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?\.)*[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$`)

// A CA signs certificates.
type CA struct {
	// Cert is its own certificate.
	Cert *x509.Certificate
	pair tls.Certificate
}

// NewCA makes a CA, and returns it with what to keep of it. Its private key is ECDSA on
// P-256, as those of all certificates here.
func NewCA(from, until time.Time) (*CA, Pair, error) {
	p, err := make509(&x509.Certificate{
		Subject:   pkix.Name{CommonName: "limpetd private CA"},
		NotBefore: from, NotAfter: until,
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}, nil)
	if err != nil {
		return nil, Pair{}, err
	}
	ca, err := ParseCA(p)
	return ca, p, err
}

// ParseCA returns the CA that NewCA has made.
func ParseCA(p Pair) (*CA, error) {
	pair, err := tls.X509KeyPair(p.Cert, p.Key)
	if err != nil {
		return nil, err
	}
	if !pair.Leaf.IsCA {
		return nil, errors.New("it is the certificate of a host, not of a CA")
	}
	return &CA{Cert: pair.Leaf, pair: pair}, nil
}

// Sign makes a key, and a certificate with which its owner can dial and be dialled under any
// of these names. It does not outlive the CA.
func (ca *CA) Sign(n Names, from, until time.Time) (Pair, error) {
	if ca.Cert.NotAfter.Before(until) {
		until = ca.Cert.NotAfter
	}
	return make509(&x509.Certificate{
		Subject:   pkix.Name{CommonName: commonName(n)},
		NotBefore: from, NotAfter: until,
		DNSNames: n.DNS, IPAddresses: n.IPs, URIs: n.URIs,
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, ca)
}

// commonName is for people only; it has at most 64 characters.
func commonName(n Names) string {
	switch {
	case len(n.DNS) > 0 && len(n.DNS[0]) <= 64:
		return n.DNS[0]
	case len(n.IPs) > 0:
		return n.IPs[0].String()
	default:
		return "limpetd"
	}
}

// make509 makes a key and its certificate, signed by ca, or by itself if that is nil.
func make509(c *x509.Certificate, ca *CA) (Pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, err
	}
	serial := make([]byte, 16)
	_, _ = rand.Read(serial) // never fails
	serial[0] &= 0x7f        // a positive number of 16 bytes
	c.SerialNumber = new(big.Int).SetBytes(serial)
	parent, signer := c, any(key)
	if ca != nil {
		parent, signer = ca.Cert, ca.pair.PrivateKey
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		return Pair{}, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return Pair{}, err
	}
	return Pair{
		Cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		Key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}),
	}, nil
}
