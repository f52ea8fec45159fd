package contest

import (
	"os/exec"
	"strings"
	"testing"
)

func TestProcessThatExits(t *testing.T) {
	p, err := StartProcess(exec.CommandContext(t.Context(), "sh", "-c", "echo first >&2; echo the reason >&2; exit 3"))
	if err != nil {
		t.Fatal(err)
	}
	<-p.Exited()
	if err := p.Failed(); err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "the reason") {
		t.Errorf("%v", err)
	}
	p.Kill()
}

func TestAwaitFailsWithTheProcess(t *testing.T) {
	s := &Stage{Setup: new(Setup), Dir: t.TempDir()}
	defer s.Close()
	if err := s.Run(exec.CommandContext(t.Context(), "sh", "-c", "echo no >&2; exit 1")); err != nil {
		t.Fatal(err)
	}
	if err := s.Await(t.Context(), "unix", s.Dir+"/nobody"); err == nil || !strings.Contains(err.Error(), "no") {
		t.Errorf("%v", err)
	}
}

func TestTailIsBounded(t *testing.T) {
	var w tail
	for range 100 {
		_, _ = w.Write([]byte(strings.Repeat("x", 1000)))
	}
	_, _ = w.Write([]byte("the end\n"))
	if s := w.String(); len(s) > tailBytes || !strings.HasSuffix(s, "xthe end") {
		t.Errorf("%d bytes, the last %q", len(s), s[max(0, len(s)-10):])
	}
}

func TestFreePortsDiffer(t *testing.T) {
	seen := make(map[string]bool)
	for range 50 {
		p, err := FreePort()
		if err != nil || seen[p] {
			t.Fatalf("%q, %v", p, err)
		}
		seen[p] = true
	}
}
