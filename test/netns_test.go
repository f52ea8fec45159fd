//go:build linux

package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/kbusdev"
)

// A cable joins two hosts, which are network namespaces.
type cable struct {
	t     *testing.T
	hosts [2]string
}

func (c *cable) ip(args ...string) {
	c.t.Helper()
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		c.t.Fatalf("ip %v: %v: %s", args, err, out)
	}
}

func newCable(t *testing.T, name string) *cable {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("network namespaces need root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("ip, of iproute2, is not installed")
	}
	c := &cable{t: t}
	for i := range c.hosts {
		c.hosts[i] = fmt.Sprintf("limpet-%d-%s%d", os.Getpid(), name, i)
		if out, err := exec.Command("ip", "netns", "add", c.hosts[i]).CombinedOutput(); err != nil {
			t.Skipf("no network namespaces here: %s", out)
		}
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "del", c.hosts[i]).Run() })
	}
	c.ip("link", "add", "eth", "netns", c.hosts[0], "type", "veth", "peer", "name", "eth", "netns", c.hosts[1])
	for i, h := range c.hosts {
		c.ip("-n", h, "addr", "add", fmt.Sprintf("10.99.0.%d/24", i+1), "dev", "eth")
		c.ip("-n", h, "link", "set", "eth", "up")
	}
	return c
}

// limpetd starts one on a host.
func (c *cable) limpetd(host int, args ...string) *process {
	c.t.Helper()
	script := filepath.Join(c.t.TempDir(), "limpetd")
	text := fmt.Sprintf("#!/bin/sh\nexec ip netns exec %s %s \"$@\"\n", c.hosts[host], filepath.Join(binaries, "limpetd"))
	if err := os.WriteFile(script, []byte(text), 0o700); err != nil {
		c.t.Fatal(err)
	}
	return startLimpetd(c.t, script, host+1, args...)
}

// When the cable is cut nobody says so. Both ends find out, whether or not something
// is on its way, answer what is open, and link again when it is mended. Over gRPC the link
// has TLS.
func TestCutCable(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes as long as a dead peer is waited for")
	}
	t.Parallel()
	for i, protocol := range []string{"", "-classic"} {
		for _, busy := range []bool{false, true} {
			if !long() && (protocol != "" || !busy) {
				continue
			}
			t.Run(fmt.Sprintf("limpetd%s/busy=%v", protocol, busy), func(t *testing.T) {
				t.Parallel()
				c := newCable(t, fmt.Sprintf("%d%.1v", i, busy))
				secrecy := func(string) []string { return []string{"--insecure"} }
				if protocol == "" {
					secrecy = certificates(t, "a,10.99.0.1", "b")
				}
				a := c.limpetd(0, append(secrecy("a"), "--listen"+protocol, "10.99.0.1:7000", "--grace", "5s")...)
				b := c.limpetd(1, append(secrecy("b"), "--connect"+protocol, "10.99.0.1:7000", "--grace", "5s")...)
				a.waitLinked(t, 1)
				b.waitLinked(t, 1)
				if _, err := a.bus.Serve(within(t), 0, "$.Far"); err != nil {
					t.Fatal(err)
				}
				waitReplier(t, b, "$.Far", true)

				cut := time.Now()
				c.ip("-n", c.hosts[0], "link", "set", "eth", "down")
				var got <-chan string
				if busy {
					got = callFor(t, b, "$.Far", patience)
				}
				for _, p := range []*process{a, b} {
					limit := time.After(patience)
					for linked := true; linked; {
						st, err := p.bus.Status(t.Context())
						if err != nil {
							t.Fatal(err)
						}
						linked = false
						for _, l := range st.GetLinks() {
							linked = linked || l.GetState() == pb.LinkState_LINK_STATE_UP
						}
						select {
						case <-limit:
							t.Fatal("a minute after the cut the link is still up")
						case <-time.After(50 * time.Millisecond):
						}
					}
				}
				t.Logf("both ends know after %v", time.Since(cut).Round(100*time.Millisecond))
				if busy {
					if r := <-got; r != kbusdev.NameRemoteErrorPrefix+"OutcomeUnknown" {
						t.Errorf("the asker gets %s", r)
					}
				}
				c.ip("-n", c.hosts[0], "link", "set", "eth", "up")
				a.waitLinked(t, 1)
				b.waitLinked(t, 1)
			})
		}
	}
}
