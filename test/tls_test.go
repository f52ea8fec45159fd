package test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// certificates has limpetd make some, and returns the flags for the daemon of each host.
func certificates(t testing.TB, hosts ...string) func(host string) []string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "certs")
	out, err := exec.CommandContext(within(t), filepath.Join(binaries, "limpetd"), append([]string{"cert", "--dir", dir}, hosts...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("limpetd cert: %v\n%s", err, out)
	}
	return func(host string) []string {
		return []string{"--tls-cert", filepath.Join(dir, host+".pem"), "--tls-key", filepath.Join(dir, host+".key"), "--tls-ca", filepath.Join(dir, "ca.pem")}
	}
}

// Two daemons, limpetctl and the API over TLS, as the README has it.
func TestTLS(t *testing.T) {
	flags := certificates(t, "hostA,localhost,127.0.0.1", "hostB")
	a := limpetd(t, 1, append(flags("hostA"), "--listen", "127.0.0.1:0")...)
	b := limpetd(t, 2, append(flags("hostB"), "--connect", a.listensAt(t))...)
	a.waitLinked(t, 1)
	b.waitLinked(t, 1)
	for p, want := range map[*process]string{a: "tls hostB", b: "tls hostA"} {
		if out, code := ctl(t, p, "links"); code != 0 || !strings.Contains(out, want) {
			t.Errorf("limpetctl links: %d\n%s, want %q", code, out, want)
		}
	}
	// The port of peers offers no API, but says so only to those it knows.
	args := append(flags("hostB"), "--api", a.listensAt(t), "status")
	if out, code := ctl(t, b, args...); code != 1 || !strings.Contains(out, "AdminService") {
		t.Errorf("with a certificate: %d %s", code, out)
	}
	if out, code := ctl(t, b, "--api", a.listensAt(t), "status"); code != 1 || !strings.Contains(out, "perhaps it wants TLS") {
		t.Errorf("without: %d %s", code, out)
	}
	if out, code := ctl(t, b, "--api", "192.0.2.1:1", "status"); code != 2 || !strings.Contains(out, "--insecure") {
		t.Errorf("another machine without TLS: %d %s", code, out)
	}
}
