package client_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/internal/certs"
	"github.com/kbus-limpet/limpet/internal/identity"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/bustest"
)

// A folder has certificates of a daemon and a program.
type folder struct{ daemon, prog, ca string }

func certificates(t testing.TB, daemon, program string) folder {
	t.Helper()
	f := certs.Folder{Dir: t.TempDir(), Life: time.Hour}
	if _, err := f.Add([]string{daemon, program}); err != nil {
		t.Fatal(err)
	}
	name, _, _ := strings.Cut(daemon, ",")
	return folder{filepath.Join(f.Dir, name), filepath.Join(f.Dir, program), filepath.Join(f.Dir, "ca.pem")}
}

func (f folder) server(t testing.TB) *identity.TLS {
	t.Helper()
	x, err := identity.Load(identity.Files{Cert: f.daemon + ".pem", Key: f.daemon + ".key", CA: f.ca}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func (f folder) program() client.TLS {
	return client.TLS{Cert: f.prog + ".pem", Key: f.prog + ".key", CA: f.ca}
}

// Random stories and unary calls over TLS.
func TestOverTLS(t *testing.T) {
	d := serve(t, "tls")
	k := open(t, d)
	must(t, k.Bind("$.A", kbusdev.Listener))
	_, err := d.client.Send(t.Context(), &kbusdev.Message{Name: "$.A"})
	must(t, err)
	if m, err := k.Recv(t.Context()); err != nil || m.Name != "$.A" {
		t.Errorf("%v, %v", m, err)
	}
	bustest.Compare(t, firstSeed(t), 2, func(t testing.TB) kbusdev.Bus { return serve(t, "tls").client.Device() }, func(testing.TB) kbusdev.Bus { return bustest.NewModel() })
}

// Both kinds of calls say in plain words why a daemon is not reached.
func TestStrangersOverTLS(t *testing.T) {
	d := serve(t, "tls")
	other := certificates(t, "other", "program")
	mine := other.program()
	for name, c := range map[string]struct {
		how  []client.Option
		want string
	}{
		"another CA": {[]client.Option{client.WithTLS(mine)}, "the other end's certificate is not signed by a CA in " + mine.CA},
		"no TLS":     {nil, "the other end hung up before it said anything: perhaps it wants TLS"},
	} {
		b, err := client.Open(d.address, c.how...)
		must(t, err)
		_, err = b.Bindings(t.Context())
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
		if _, err = b.Ksock(t.Context(), kbusdev.ReadWrite); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: a Ksock: %v, want %q", name, err, c.want)
		}
		must(t, b.Close())
	}
	plain := serve(t, "tcp")
	b, err := client.Open(plain.address, client.WithTLS(mine))
	must(t, err)
	defer b.Close()
	const want = "the other end speaks no TLS"
	if _, err = b.Bindings(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("a daemon without TLS: %v, want %q", err, want)
	}
}

// Without TLS only this machine is dialled, unless that is wanted.
func TestAddressesWithoutTLS(t *testing.T) {
	for address, local := range map[string]bool{"localhost:1": true, "127.0.0.1:1": true, "/run/x": true, "host:1": false, ":1": false, "192.0.2.1:1": false} {
		for _, insecure := range []bool{false, true} {
			var how []client.Option
			if insecure {
				how = append(how, client.WithInsecure())
			}
			b, err := client.Open(address, how...)
			if (err == nil) != (local || insecure) || err != nil && !strings.Contains(err.Error(), "without TLS") {
				t.Errorf("%s, insecure %v: %v", address, insecure, err)
			}
			if err == nil {
				must(t, b.Close())
			}
		}
	}
	for name, f := range map[string]client.TLS{"no files": {}, "two": {Cert: "a", Key: "b"}, "missing": {Cert: "/none", Key: "/none", CA: "/none"}} {
		if _, err := client.Open("host:1", client.WithTLS(f)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// The default address is not dialled where somebody else may have put a socket.
func TestDefaultAddressInAFolderOfOthers(t *testing.T) {
	run := t.TempDir()
	t.Setenv("XDG_RUNTIME_DIR", run)
	b, err := client.Open(client.DefaultAPIAddress()) // there is no daemon yet, which is no reason not to wait for one
	must(t, err)
	defer b.Close()
	dir := filepath.Dir(client.DefaultAPIAddress())
	must(t, os.Mkdir(dir, 0o700))
	must(t, os.Chmod(dir, 0o777))
	if _, err := client.Open(client.DefaultAPIAddress()); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("a folder that all can write: %v", err)
	}
	if _, err := b.Bindings(t.Context()); err == nil || !strings.Contains(err.Error(), "writable by others") {
		t.Errorf("one that has become so: %v", err)
	}
	must(t, os.Chmod(dir, 0o700))
	if _, err := client.Open(client.DefaultAPIAddress()); err != nil {
		t.Errorf("a folder of our own: %v", err)
	}
}
