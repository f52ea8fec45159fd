//go:build linux

package identity

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"github.com/kbus-limpet/limpet/internal/counted"
	"github.com/kbus-limpet/limpet/limpet/rules"
)

// On a Unix socket both ends learn of the other what the kernel says, and gRPC gets the
// connection as it was.
func TestUnixIdentity(t *testing.T) {
	dialled, accepted := shake(t, Client(nil, ""), Server(nil, nil, nil), "unix", "localhost")
	groups, err := os.Getgroups()
	if err != nil {
		t.Fatal(err)
	}
	for name, e := range map[string]end{"dialled": dialled, "accepted": accepted} {
		if e.err != nil {
			t.Fatalf("%s: %v", name, e.err)
		}
		who := FromContext(e.ctx())
		p := who.Process
		if p == nil || int(p.UID) != os.Geteuid() || int(p.GID) != os.Getegid() || int(p.PID) != os.Getpid() || who.Names != nil {
			t.Errorf("%s: %v", name, who)
			continue
		}
		for _, g := range groups {
			if !slices.Contains(p.Groups, uint32(g)) {
				t.Errorf("%s: group %d is not among %v", name, g, p.Groups)
			}
		}
		if len(p.Groups) != len(groups) {
			t.Errorf("%s: groups %v, want %v", name, p.Groups, groups)
		}
		if TransportOf(e.ctx()) != Unix || e.auth.AuthType() != "unix" {
			t.Errorf("%s: over %s, %s", name, TransportOf(e.ctx()), e.auth.AuthType())
		}
		if _, ok := e.conn.(*net.UnixConn); !ok {
			t.Errorf("%s: gRPC gets a %T", name, e.conn)
		}
	}
}

// What wraps a connection does not hide it, and is not wrapped in turn.
func TestUnixIdentityBehindACounter(t *testing.T) {
	l, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	c := counted.Listen(l)
	defer c.CloseAll()
	raw, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	conn, err := c.Accept()
	if err != nil {
		t.Fatal(err)
	}
	out, auth, err := Server(nil, nil, nil).ServerHandshake(conn)
	if err != nil || out != conn {
		t.Fatalf("%v, %v", out, err)
	}
	if p := FromContext((end{auth: auth}).ctx()).Process; p == nil || int(p.PID) != os.Getpid() {
		t.Errorf("%+v", p)
	}
}

// Another user is another user, with all groups, also more than the first guess of theirs.
func TestOtherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can be another user")
	}
	dir, err := os.MkdirTemp("", "identity") //nolint:usetesting // the folder above t.TempDir's is closed to others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	program = filepath.Join(dir, "program") // where another user can run it
	if err := os.WriteFile(program, data, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, path} {
		if err := os.Chmod(path, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	var many []uint32
	for i := range uint32(100) {
		many = append(many, 20_000+i)
	}
	for _, groups := range [][]uint32{nil, {5000}, many} {
		cmd := exec.CommandContext(t.Context(), program)
		cmd.Env = append(os.Environ(), dialFor+"="+path)
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 12345, Gid: 23456, Groups: groups}}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		who, transport, err := Of(conn)
		want := rules.Process{UID: 12345, GID: 23456, PID: int32(cmd.Process.Pid)}
		if p := who.Process; err != nil || transport != Unix || p == nil || p.UID != want.UID || p.GID != want.GID || p.PID != want.PID || !slices.Equal(p.Groups, groups) {
			t.Errorf("%+v, %s, %v; want %+v and groups %v", p, transport, err, want, groups)
		}
		_ = conn.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
}

// A connection that is no socket of the kernel's has no process, and is not let in as if.
func TestNoSocketInside(t *testing.T) {
	if _, _, err := unixHandshake(pretender{}); err == nil {
		t.Error("it has an identity")
	}
}

type pretender struct{ net.Conn }

func (pretender) RemoteAddr() net.Addr { return &net.UnixAddr{Net: "unix"} }
