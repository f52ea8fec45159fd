package test

import (
	"strings"
	"testing"
)

// limpetctl profile: a profile, text of one, and what is refused before and behind the API.
func TestLimpetctlProfile(t *testing.T) {
	p := limpetd(t, 1, "--flight-dir", t.TempDir())
	if out, code := ctl(t, p, "profile", "cpu", "--for", "10ms"); code != 0 || !strings.HasPrefix(out, "\x1f\x8b") {
		t.Errorf("cpu: %.50q (%d)", out, code)
	}
	if out, code := ctl(t, p, "profile", "goroutine", "--text"); code != 0 || !strings.Contains(out, "goroutine 1 [") {
		t.Errorf("text: %.200q (%d)", out, code)
	}
	if out, code := ctl(t, p, "profile", "flight"); code != 0 || !strings.HasPrefix(out, "go 1.") {
		t.Errorf("flight: %.50q (%d)", out, code)
	}
	if out, code := ctl(t, p, "profile", "lunch"); code != 2 || !strings.Contains(out, "there are allocs, cpu, flight, goroutine, heap, trace") {
		t.Errorf("an unknown one: %q (%d)", out, code)
	}
	if out, code := ctl(t, p, "profile", "cpu", "--for", "1h"); code != 1 || !strings.Contains(out, "not between 0 and 5m0s") {
		t.Errorf("for long: %q (%d)", out, code)
	}
}
