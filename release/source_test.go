package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestPackageVersion(t *testing.T) {
	all := []struct{ program, packaged string }{ // oldest first
		{"v0.0.0-512-g0123456789ab", "0.0.0+512.g0123456789ab"},
		{"v1.2.3-rc.1", "1.2.3~rc.1"},
		{"v1.2.3-rc.1-2-g0123456789ab", "1.2.3~rc.1+2.g0123456789ab"},
		{"v1.2.3", "1.2.3"},
		{"v1.2.3-5-g0123456789ab", "1.2.3+5.g0123456789ab"},
		{"v1.2.3-5-g0123456789ab-changed", "1.2.3+5.g0123456789ab.changed"},
		{"v1.10.0", "1.10.0"},
	}
	_, err := exec.LookPath("dpkg")
	for i, x := range all {
		if got := packageVersion(x.program); got != x.packaged {
			t.Errorf("%s is packaged as %s, want %s", x.program, got, x.packaged)
		}
		if err == nil && i > 0 && exec.Command("dpkg", "--compare-versions", all[i-1].packaged, "lt", x.packaged).Run() != nil {
			t.Errorf("%s is not older than %s", all[i-1].packaged, x.packaged)
		}
	}
}

// What a source is called, and when it was made, come from its clone.
func TestReadSource(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "")
	clone := t.TempDir()
	git := func(args ...string) {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-C", clone, "-c", "user.name=x", "-c", "user.email=x@example.org"}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_COMMITTER_DATE=@1700000000 +0100", "GIT_AUTHOR_DATE=@1600000000 +0000")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
	}
	want := func(named, want string) {
		t.Helper()
		s, err := readSource(t.Context(), clone, named)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := filepath.Match(want, s.version); !got || s.time.Unix() != 1700000000 {
			t.Errorf("version %q of %v, want %q", s.version, s.time, want)
		}
	}
	git("init", "-q")
	git("commit", "-q", "--allow-empty", "-m", "x")
	want("", "v0.0.0-1-g????????????")
	git("tag", "v1.2.3")
	want("", "v1.2.3")
	want("v9.9.9", "v9.9.9")
	git("commit", "-q", "--allow-empty", "-m", "y")
	want("", "v1.2.3-1-g????????????")
	if err := os.WriteFile(filepath.Join(clone, "new"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	want("", "v1.2.3-1-g????????????-changed")
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	want("", "v1.2.3-1-g????????????-changed")
	for _, bad := range []string{"1.2.3", "v1.2", "v1.2.3+x", "v1.2.3 "} {
		if _, err := readSource(t.Context(), clone, bad); err == nil {
			t.Errorf("version %q is taken", bad)
		}
	}
}
