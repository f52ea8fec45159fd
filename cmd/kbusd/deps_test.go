package main

import (
	"os/exec"
	"strings"
	"testing"
)

// kbusd serves device files and nothing over the network: it links no gRPC.
func TestLinksNoGRPC(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").CombinedOutput()
	if err != nil {
		t.Fatalf("go list: %v: %s", err, out)
	}
	deps := strings.Fields(string(out))
	if len(deps) < 10 {
		t.Fatalf("go list gives %q", deps)
	}
	for _, dep := range deps {
		if strings.HasPrefix(dep, "google.golang.org/") || strings.Contains(dep, "limpet/server/") {
			t.Errorf("kbusd depends on %s", dep)
		}
	}
}
