package test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/internal/certs"
	"github.com/kbus-limpet/limpet/internal/daemon"
	"github.com/kbus-limpet/limpet/internal/dropcheck"
	"github.com/kbus-limpet/limpet/internal/sockaddr"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/limpet"
)

// A node is what limpetd puts together, in this process.
type node struct {
	bus  *membus.Bus
	node *limpet.Node
	peer sockaddr.Address // where it accepts links, if it does
	api  string
	stop func()
}

// start runs a daemon until the test ends. It accepts links on listen ("tcp",
// "unix", either of them with "classic-" before it, "tls-tcp", or "" for none) and dials
// connect, with the same protocol.
func start(tb testing.TB, id uint32, cfg limpet.Config, listen string, connect ...sockaddr.Address) *node {
	tb.Helper()
	dir := tb.TempDir()
	c := daemon.Config{
		Bus: daemon.Embedded, FirstSerial: 1, NetworkID: id, Limpet: cfg, Version: "test", PeerNames: 1 << 17, // benchmarks bind many
		API: &sockaddr.Address{Network: "unix", Address: filepath.Join(dir, "api")},
	}
	network, old := strings.CutPrefix(listen, overClassic)
	network, encrypted := strings.CutPrefix(network, overTLS)
	if encrypted {
		c.TLS = localTLS(tb)
	}
	switch network {
	case "tcp":
		c.Links = append(c.Links, daemon.Accept(sockaddr.Address{Network: "tcp", Address: "127.0.0.1:0"}))
	case "unix":
		c.Links = append(c.Links, daemon.Accept(sockaddr.Address{Network: "unix", Address: filepath.Join(dir, "link")}))
	}
	for _, a := range connect {
		c.Links = append(c.Links, daemon.Dial(a))
	}
	for i := range c.Links {
		c.Links[i].Classic = old
	}
	return run(tb, c)
}

// run runs a daemon with an embedded bus and an API until the test ends.
func run(tb testing.TB, c daemon.Config) *node {
	tb.Helper()
	d := &node{api: c.API.Address}
	x, err := daemon.Open(context.Background(), c)
	if err != nil {
		tb.Fatal(err)
	}
	d.node, d.bus = x.Node(), x.Node().Bus().(*membus.Bus)
	for _, a := range x.PeerAddrs() {
		d.peer = sockaddr.Address{Network: a.Network(), Address: a.String()}
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- x.Run(ctx, nil) }()
	d.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			tb.Errorf("network %d: %v", c.NetworkID, err)
		}
		for _, check := range []func(*limpet.Node) error{dropcheck.Links, dropcheck.Bus} {
			if err := check(d.node); err != nil {
				tb.Error(err)
			}
		}
	})
	tb.Cleanup(d.stop)
	return d
}

// What stands before a network, for start.
const (
	overClassic = "classic-"
	overTLS     = "tls-"
)

// localTLS returns the certificate that all daemons of this process show.
func localTLS(tb testing.TB) *daemon.TLS {
	tb.Helper()
	f := certs.Folder{Dir: filepath.Join(binaries, "certs"), Life: time.Hour}
	cert, key := f.Path("localhost")
	ca, _ := f.Path("ca")
	if _, err := f.Add([]string{"localhost,127.0.0.1"}); err != nil && !errors.Is(err, fs.ErrExist) {
		tb.Fatal(err)
	}
	return &daemon.TLS{Cert: cert, Key: key, CA: ca}
}

func listenOn(tb testing.TB, addr sockaddr.Address) net.Listener {
	tb.Helper()
	l, err := sockaddr.Listen(context.Background(), addr, sockaddr.Config{})
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

// waitUp waits until n of the daemon's links are up.
func (d *node) waitUp(tb testing.TB, n int) {
	tb.Helper()
	limit := time.After(patience)
	for {
		changed := d.node.Changed()
		up := 0
		for _, l := range d.node.Peerings() {
			if l.State() == limpet.Up {
				up++
			}
		}
		if up >= n {
			return
		}
		select {
		case <-changed:
		case <-limit:
			tb.Fatalf("network %d: %d of %d links are up", d.node.NetworkID(), up, n)
		}
	}
}

// said returns the name of the reply to a Call, be it a replier's or a bus's, else what
// the error says.
func said(reply *kbusdev.Message, err error) string {
	var none *client.NoAnswerError
	switch {
	case err == nil:
		return reply.Name
	case errors.As(err, &none) && none.Reply != nil:
		return none.Reply.Name
	default:
		return err.Error()
	}
}
