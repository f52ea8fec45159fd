package main

import (
	"os"
	"path/filepath"

	"github.com/kbus-limpet/limpet/internal/daemon"
)

// tls returns what was said of TLS, nil if nothing was. What no flag names is looked for
// among the credentials of systemd: tls-cert, tls-key and tls-ca.
func (c *config) tls() *daemon.TLS {
	t := &daemon.TLS{Cert: c.TLSCert, Key: c.TLSKey, CA: c.TLSCA, Name: c.TLSName}
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	for _, x := range []struct {
		file *string
		name string
	}{{&t.Cert, "tls-cert"}, {&t.Key, "tls-key"}, {&t.CA, "tls-ca"}} {
		if *x.file != "" || dir == "" {
			continue
		}
		if path := filepath.Join(dir, x.name); exists(path) {
			*x.file = path
		}
	}
	if *t == (daemon.TLS{}) {
		return nil
	}
	return t
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
