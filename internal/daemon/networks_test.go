package daemon_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"testing"

	"github.com/kbus-limpet/limpet/internal/daemon"
	"github.com/kbus-limpet/limpet/limpet"
)

// networks returns the networks that a daemon tells, a line each.
func (r *running) networks() (all []string) {
	r.t.Helper()
	told, err := r.bus.Networks(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	for _, n := range told {
		if len(n.GetInstanceId()) != 32 {
			r.t.Errorf("network %d has the instance %q", n.GetNetworkId(), n.GetInstanceId())
		}
		all = append(all, fmt.Sprintf("%d %t %q", n.GetNetworkId(), n.GetBehind(), n.GetVersion()))
	}
	return all
}

// Versions are known over any number of links, also of a network that has come later, or again.
func TestVersionsOfNetworks(t *testing.T) {
	dir := t.TempDir()
	at := func(i int) string { return filepath.Join(dir, fmt.Sprint(i)) }
	node := func(i int, version string) *running {
		cfg := daemon.Config{NetworkID: uint32(i), Version: version, Links: accept(unix(at(i)))}
		if i > 1 {
			cfg.Links = append(cfg.Links, daemon.Dial(unix(at(i-1))))
		}
		return start(t, cfg)
	}
	a := node(1, "v1")
	if got := a.networks(); len(got) > 0 {
		t.Errorf("alone it can reach %q", got)
	}
	b := node(2, "v2")
	a.wait(limpet.Up)
	node(3, "")
	four := node(4, "v4 \x1b[2J")
	knows := func(r *running, want ...string) {
		t.Helper()
		await(t, fmt.Sprintf("network %d knows %q", r.Node().NetworkID(), want), func() bool { return slices.Equal(r.networks(), want) })
	}
	knows(a, `2 false "v2"`, `3 true ""`, `4 true "v4 \x1b[2J"`)
	knows(b, `1 false "v1"`, `3 false ""`, `4 true "v4 \x1b[2J"`)
	four.stop()
	<-four.done
	knows(a, `2 false "v2"`, `3 true ""`)
	node(4, "v5")
	knows(a, `2 false "v2"`, `3 true ""`, `4 true "v5"`)
}
