package tracing

import (
	"fmt"
	"net"
	"net/url"
)

// CheckEndpoint returns the host:port of a collector's URL, and whether it is dialled with
// TLS. The error says what is wrong.
func CheckEndpoint(endpoint string) (address string, encrypted bool, err error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return "", false, fmt.Errorf("%q is no URL: %w", endpoint, err)
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return "", false, fmt.Errorf("%q is neither http://HOST:PORT nor, with TLS, https://HOST:PORT", endpoint)
	}
	host, port := u.Hostname(), u.Port()
	if host == "" || port == "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.User != nil || u.Fragment != "" {
		return "", false, fmt.Errorf("%q must be %s://HOST:PORT and nothing else; a collector's port for gRPC is 4317 mostly", endpoint, u.Scheme)
	}
	return net.JoinHostPort(host, port), u.Scheme == "https", nil
}
