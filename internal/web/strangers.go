package web

import (
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/kbus-limpet/limpet/internal/identity"
)

// Any page that somebody has open can have the browser send requests here, with that person's
// certificate, or over a loopback address. What such a request cannot hide is its Origin, its
// Host, and that it is a simple one.

// refuses returns the HTTP status with which a request is refused, and why; 0 is not.
func (d *Door) refuses(r *http.Request) (code int, why string) {
	switch {
	case !d.isOurs(r):
		return http.StatusMisdirectedRequest, fmt.Sprintf("the request is for the host %.100q, which may be a name that leads here only for now: ask for localhost, an address, or the host that --web names", r.Host)
	case r.Method == http.MethodPost:
		if err := d.origins.Check(r); err != nil {
			return http.StatusForbidden, "a page of another origin may not call anything here"
		}
		if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
			return http.StatusUnsupportedMediaType, fmt.Sprintf("the content type is %.100q: send JSON, and say so with the header content-type: application/json", r.Header.Get("Content-Type"))
		}
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		return http.StatusMethodNotAllowed, "methods are called by POST, and the page is got by GET"
	}
	return 0, ""
}

// isOurs reports whether a request is for a host that is this one for everybody. Any other name
// could be led here by whoever has it (DNS rebinding), whose page would then be of our origin.
// With TLS the browser has looked at the certificate.
func (d *Door) isOurs(r *http.Request) bool {
	if _, transport, _ := visitOf(r.Context()).Identity(); transport == identity.Encrypted {
		return true
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	return strings.EqualFold(host, "localhost") || d.cfg.Host != "" && strings.EqualFold(host, d.cfg.Host)
}

// policy lets the page load and ask nothing but what is here, be in no frame, and make no HTML
// from text.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// secure sets what holds of every answer.
func secure(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cache-Control", "no-store")
}
