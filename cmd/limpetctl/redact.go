package main

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/sockaddr"
)

// A redaction takes out of a report what it must not have.
type redaction struct {
	hosts  *regexp.Regexp // the names of hosts that are known; nil for none
	hashed bool
	key    []byte // of this report alone
}

var (
	// pemBlock is a key or a certificate, also one that is cut off.
	pemBlock = regexp.MustCompile(`(?s)-----BEGIN [A-Z ]+-----.*?(?:-----END [A-Z ]+-----|\z)`)
	// maybeIP is what may be an IP address.
	maybeIP = regexp.MustCompile(`[0-9]{1,3}(?:\.[0-9]{1,3}){3}|[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?:%[0-9A-Za-z]+)?`)
)

// newRedaction finds the names of hosts in a status and a configuration.
func newRedaction(st *pb.GetStatusResponse, configuration string, hashed bool) *redaction {
	r := &redaction{hashed: hashed, key: make([]byte, 32)}
	_, _ = rand.Read(r.key) // which never fails
	names := make(map[string]bool)
	words := strings.Fields(strings.Join(st.GetInsecure(), " "))
	for _, l := range st.GetLinks() {
		words = append(words, strings.Fields(l.GetName())...)
		if l.GetTransport() == "tls" {
			names[l.GetIdentity()] = true
		}
	}
	words = append(words, strings.FieldsFunc(configuration, func(r rune) bool { return strings.ContainsRune(" \t\n,[]\"'", r) })...)
	for _, word := range words {
		addr, err := sockaddr.ParseAddress(word)
		if err != nil || addr.Network != "tcp" || addr.IsLocal() {
			continue
		}
		names[addr.Address[:strings.LastIndexByte(addr.Address, ':')]] = true
	}
	delete(names, "")
	delete(names, "unknown")
	var quoted []string
	for name := range names {
		quoted = append(quoted, regexp.QuoteMeta(name))
	}
	if len(quoted) > 0 {
		slices.SortFunc(quoted, func(a, b string) int { return len(b) - len(a) }) // the longest that matches
		r.hosts = regexp.MustCompile(`(^|[^0-9A-Za-z.-])(` + strings.Join(quoted, "|") + `)($|[^0-9A-Za-z.-])`)
	}
	return r
}

// redact returns data without keys, and, if they are to be hashed, without addresses.
func (r *redaction) redact(data []byte) []byte {
	data = pemBlock.ReplaceAll(data, []byte("[removed]"))
	if !r.hashed {
		return data
	}
	if r.hosts != nil {
		for range 2 { // the ends of two that stand side by side overlap
			data = r.hosts.ReplaceAllFunc(data, func(b []byte) []byte {
				m := r.hosts.FindSubmatch(b)
				return slices.Concat(m[1], r.hash(m[2]), m[3])
			})
		}
	}
	return maybeIP.ReplaceAllFunc(data, func(b []byte) []byte {
		ip, err := netip.ParseAddr(string(b))
		if err != nil || ip.IsLoopback() || ip.IsUnspecified() {
			return b
		}
		return r.hash(b)
	})
}

// hash returns what stands for an address.
func (r *redaction) hash(b []byte) []byte {
	h := hmac.New(sha256.New, r.key)
	h.Write(b)
	return fmt.Appendf(nil, "host-%x", h.Sum(nil)[:5])
}
