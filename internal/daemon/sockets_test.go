package daemon

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/internal/sockaddr"
)

func tcp(address string) sockaddr.Address { return sockaddr.Address{Network: "tcp", Address: address} }

// A socket stands for the address that means the same, and else comes in addition.
func TestAdoptedAddresses(t *testing.T) {
	at := func(network, address string) net.Listener {
		if network == "unix" {
			return fakeListener{&net.UnixAddr{Net: network, Name: address}}
		}
		a, err := net.ResolveTCPAddr(network, address)
		if err != nil {
			t.Fatal(err)
		}
		return fakeListener{a}
	}
	for _, x := range []struct {
		listen []sockaddr.Address
		socket net.Listener
		want   []sockaddr.Address
	}{
		{nil, at("tcp", "[::]:7000"), []sockaddr.Address{tcp("[::]:7000")}},
		{[]sockaddr.Address{tcp(":7000")}, at("tcp", "[::]:7000"), []sockaddr.Address{tcp("[::]:7000")}},
		{[]sockaddr.Address{tcp("0.0.0.0:7000"), tcp(":7001")}, at("tcp", "[::]:7000"), []sockaddr.Address{tcp("[::]:7000"), tcp(":7001")}},
		{[]sockaddr.Address{tcp("127.0.0.1:7000")}, at("tcp", "[::]:7000"), []sockaddr.Address{tcp("127.0.0.1:7000"), tcp("[::]:7000")}},
		{[]sockaddr.Address{tcp("[::ffff:127.0.0.1]:7000")}, at("tcp", "127.0.0.1:7000"), []sockaddr.Address{tcp("127.0.0.1:7000")}},
		{[]sockaddr.Address{{Network: "unix", Address: "/run//x"}}, at("unix", "/run/x"), []sockaddr.Address{{Network: "unix", Address: "/run/x"}}},
		{[]sockaddr.Address{{Network: "unix", Address: "/run/y"}}, at("unix", "/run/x"), []sockaddr.Address{{Network: "unix", Address: "/run/y"}, {Network: "unix", Address: "/run/x"}}},
	} {
		c := Config{Links: []LinkConfig{Dial(tcp("[::]:7000"))}}
		for _, a := range x.listen {
			c.Links = append(c.Links, LinkConfig{Address: a, Listen: true, Classic: true}, Accept(a))
		}
		if err := c.Adopt(Sockets{SocketPeer: {x.socket}, SocketClassic: {x.socket}}); err != nil {
			t.Fatal(err)
		}
		var peers, classic []sockaddr.Address
		for _, l := range c.Links {
			switch {
			case l.Listen && l.Classic:
				classic = append(classic, l.Address)
			case l.Listen:
				peers = append(peers, l.Address)
			}
		}
		if !reflect.DeepEqual(peers, x.want) || !reflect.DeepEqual(classic, x.want) {
			t.Errorf("%v with %v: %v and %v, want %v", x.listen, x.socket.Addr(), peers, classic, x.want)
		}
	}
	for _, s := range []Sockets{
		{"limpetd.socket": {at("tcp", "[::]:7000")}},
		{SocketMetrics: {at("unix", "/run/x")}},
		{SocketAPI: {at("unix", "/run/x"), at("unix", "/run/y")}},
		{SocketPeer: {fakeListener{&net.UnixAddr{Net: "unixpacket", Name: "/run/x"}}}},
	} {
		err := new(Config).Adopt(s)
		if bad := (*ConfigError)(nil); !errors.As(err, &bad) || !strings.Contains(err.Error(), "FileDescriptorName=") {
			t.Errorf("%v: %v", s, err)
		}
	}
}

type fakeListener struct{ addr net.Addr }

func (l fakeListener) Addr() net.Addr          { return l.addr }
func (fakeListener) Accept() (net.Conn, error) { return nil, net.ErrClosed }
func (fakeListener) Close() error              { return nil }

// A service manager keeps the sockets over a restart: who connects while no daemon runs is
// served by the next one, and the files stay as they are.
func TestRestartRefusesNobody(t *testing.T) {
	path := filepath.Join(t.TempDir(), "api.sock")
	kept, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: path})
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	if err := os.Chmod(path, 0o660); err != nil {
		t.Fatal(err)
	}
	before, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	handOver := func() net.Listener { // as exec does
		f, err := kept.File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		l, err := net.FileListener(f)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	for range 2 {
		bus, err := client.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer bus.Close()
		asked := make(chan error, 1)
		go func() {
			_, err := bus.Bindings(t.Context())
			asked <- err
		}()
		cfg := Config{Bus: Embedded}
		if err := cfg.Adopt(Sockets{SocketAPI: {handOver()}}); err != nil {
			t.Fatal(err)
		}
		d, err := Open(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- d.Run(ctx, nil) }()
		if err := <-asked; err != nil {
			t.Errorf("who came before the daemon gets %v", err)
		}
		if err := d.Alive(t.Context()); err != nil {
			t.Errorf("the daemon is not alive: %v", err)
		}
		if got := d.Summary(); got != "no links" {
			t.Errorf("it says %q", got)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		<-d.Draining()
		if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) || after.Mode() != before.Mode() {
			t.Errorf("the socket file after the daemon: %v, %v", after, err)
		}
	}
}
