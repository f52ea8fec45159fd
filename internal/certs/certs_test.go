package certs

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseNames(t *testing.T) {
	n, err := ParseNames([]string{"hostA", "192.0.2.1", "2001:db8::1", "a-b.example.org", "spiffe://example.org/limpetd"})
	if err != nil || !slices.Equal(n.DNS, []string{"hostA", "a-b.example.org"}) || len(n.IPs) != 2 || len(n.URIs) != 1 || n.URIs[0].String() != "spiffe://example.org/limpetd" {
		t.Errorf("%+v, %v", n, err)
	}
	for _, bad := range []string{"", "a b", "-a", "a..b", "a.", "*", "*.example.org", "spiffe://", "spiffe://u@h/x", "spiffe://h/x?y", "http://h/%zz", strings.Repeat("a", 64), strings.Repeat("a.", 200) + "a", "a/b", "ä"} {
		if _, err := ParseNames([]string{bad}); !errors.Is(err, ErrName) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := ParseNames(nil); !errors.Is(err, ErrName) {
		t.Errorf("nothing: %v", err)
	}
}

// What is taken for a name makes a certificate that is read back with it.
func FuzzParseNames(f *testing.F) {
	now := time.Now()
	ca, _, err := NewCA(now, now.Add(time.Hour))
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{"hostA,192.0.2.1", "::1", "spiffe://example.org/x", "x://[::1]/", "http://h:1", "a0://."} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, words string) {
		n, err := ParseNames(strings.Split(words, ","))
		if err != nil {
			return
		}
		p, err := ca.Sign(n, now, now.Add(time.Hour))
		if err != nil {
			t.Fatalf("%q: %v", words, err)
		}
		c := parse(t, p.Cert)
		if len(c.DNSNames) != len(n.DNS) || len(c.IPAddresses) != len(n.IPs) || len(c.URIs) != len(n.URIs) {
			t.Errorf("%q gives %+v, the certificate has %v %v %v", words, n, c.DNSNames, c.IPAddresses, c.URIs)
		}
	})
}

func parse(t *testing.T, data []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(data)
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestFolder(t *testing.T) {
	f := Folder{Dir: filepath.Join(t.TempDir(), "certs"), Life: 30 * 24 * time.Hour}
	made, err := f.Add([]string{"hostA", "hostB,192.0.2.1"})
	if err != nil || len(made) != 3 || made[0].What != "CA" || made[2].What != "hostB, 192.0.2.1" || made[2].Cert != filepath.Join(f.Dir, "hostB.pem") {
		t.Fatalf("%+v, %v", made, err)
	}
	if made, err = f.Add([]string{"hostC"}); err != nil || len(made) != 1 { // by the same CA
		t.Fatalf("%+v, %v", made, err)
	}
	read := func(path string) []byte {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	ca, _ := f.Path("ca")
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(read(ca)) {
		t.Fatal("no CA")
	}
	for _, name := range []string{"hostA", "hostB", "hostC"} {
		cert, key := f.Path(name)
		c := parse(t, read(cert))
		for _, use := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
			if _, err := c.Verify(x509.VerifyOptions{DNSName: name, Roots: roots, KeyUsages: []x509.ExtKeyUsage{use}}); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if info, err := os.Stat(key); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v", key, info.Mode(), err)
		}
		if left := time.Until(c.NotAfter); left > f.Life || left < f.Life-time.Hour {
			t.Errorf("%s lasts %v", name, left)
		}
	}

	before := read(f.Dir + "/hostA.pem")
	if made, err := f.Add([]string{"hostD", "hostA"}); !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), "hostA") || made != nil {
		t.Errorf("over what is there: %+v, %v", made, err)
	}
	if !slices.Equal(before, read(f.Dir+"/hostA.pem")) {
		t.Error("it was overwritten")
	}
	for _, bad := range []string{"ca", "spiffe://example.org/x", "a b", "../x"} {
		if _, err := f.Add([]string{bad}); !errors.Is(err, ErrName) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if err := os.Remove(f.Dir + "/ca.key"); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Add([]string{"hostE"}); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "ca.key") {
		t.Errorf("a CA without its key: %v", err)
	}
	if err := os.WriteFile(f.Dir+"/ca.key", read(f.Dir+"/hostA.key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Add([]string{"hostE"}); err == nil || !strings.Contains(err.Error(), "does not match") {
		t.Errorf("a CA with another's key: %v", err)
	}
}

// A host's certificate ends with its CA's, if not before.
func TestNoLongerThanTheCA(t *testing.T) {
	now := time.Now()
	ca, p, err := NewCA(now, now.Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	n, _ := ParseNames([]string{"a"})
	host, err := ca.Sign(n, now, now.Add(24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if got := parse(t, host.Cert).NotAfter; !got.Equal(parse(t, p.Cert).NotAfter) {
		t.Errorf("it lasts until %v", got)
	}
	if _, err := ParseCA(host); err == nil || !strings.Contains(err.Error(), "of a host") {
		t.Errorf("a host as a CA: %v", err)
	}
}
