package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func load(t testing.TB, yaml string, args ...string) (*config, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "limpetd.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	flags := pflag.NewFlagSet("limpetd", pflag.ContinueOnError)
	addFlags(flags)
	if err := flags.Parse(append([]string{"--config", file}, args...)); err != nil {
		t.Fatal(err)
	}
	return loadConfig(flags)
}

func TestFlagsWinOverEnvironmentOverFile(t *testing.T) {
	t.Setenv("LIMPETD_CONNECT", "b:1,c:2")
	t.Setenv("LIMPETD_NETWORK_ID", "5")
	cfg, err := load(t, "network-id: 4\nverbosity: 2\nconnect: [a:1]\n", "--network-id", "6")
	if err != nil {
		t.Fatal(err)
	}
	if cfg.NetworkID != 6 || cfg.Verbosity != 2 || len(cfg.daemon.Connect) != 2 || cfg.daemon.Connect[1].Address != "c:2" || cfg.MessageName != "$.*" {
		t.Errorf("%+v", cfg)
	}
}

func TestUnknownSettingsAreErrors(t *testing.T) {
	if _, err := load(t, "netwrk-id: 4\n"); err == nil || !strings.Contains(err.Error(), `"netwrk-id"`) {
		t.Errorf("in the file: %v", err)
	}
	t.Setenv("LIMPETD_NETWRK_ID", "4")
	if _, err := load(t, ""); err == nil || !strings.Contains(err.Error(), "LIMPETD_NETWRK_ID") {
		t.Errorf("in the environment: %v", err)
	}
}

// Without links and API there can still be a device to serve; else there is nothing
// to do.
func TestNothingToDo(t *testing.T) {
	if _, err := load(t, "", "--api", "none"); err == nil || !strings.Contains(err.Error(), "nothing to do") {
		t.Errorf("neither links nor API nor device: %v", err)
	}
	if _, err := load(t, "", "--api", "none", "--bus", "embedded", "--expose", "/tmp/kbus0"); err != nil {
		t.Errorf("a device: %v", err)
	}
}

// No file makes the configuration panic, and what is accepted can be run.
func FuzzConfig(f *testing.F) {
	for _, s := range []string{"", "network-id: 1\nlisten: [':1', /x]\n", "listen: x\n", "verbosity: -1\n", "message-name: [1]\n", "a: &a [*a]\n", "network-id: -1\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, yaml string) {
		cfg, err := load(t, yaml)
		if err == nil && cfg.NetworkID == 0 && len(cfg.Listen)+len(cfg.Connect) > 0 {
			t.Errorf("links without a network id are accepted from %q", yaml)
		}
	})
}
