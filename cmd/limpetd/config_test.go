package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/internal/daemon"
)

func loaderFor(t testing.TB, yaml string, args ...string) *loader {
	t.Helper()
	file := filepath.Join(t.TempDir(), "limpetd.yaml")
	if err := os.WriteFile(file, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	flags := commandLine()
	if err := flags.Parse(append([]string{"--config", file}, args...)); err != nil {
		t.Fatal(err)
	}
	return newLoader(flags)
}

func load(t testing.TB, yaml string, args ...string) (*config, error) {
	t.Helper()
	return loaderFor(t, yaml, args...).load()
}

func TestFlagsWinOverEnvironmentOverFile(t *testing.T) {
	t.Setenv("LIMPETD_CONNECT", "b:1,c:2")
	t.Setenv("LIMPETD_NETWORK_ID", "5")
	cfg, err := load(t, "network-id: 4\nverbosity: 2\nconnect: [a:1]\n", "--network-id", "6", "--insecure")
	if err != nil {
		t.Fatal(err)
	}
	if cfg.NetworkID != 6 || cfg.Verbosity != 2 || len(cfg.daemon.Links) != 2 || cfg.daemon.Links[1].Title() != "connect c:2" || cfg.MessageName != "$.*" {
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

// What is exposed is embedded, without a word about it; another bus is not exposed.
func TestExpose(t *testing.T) {
	cfg, err := load(t, "", "--api", "none", "--expose", "/tmp/kbus0")
	if err != nil || cfg.daemon.Expose != "/tmp/kbus0" || cfg.daemon.API != nil {
		t.Errorf("%+v, %v", cfg, err)
	}
	for words, want := range map[string]string{
		"--expose /tmp/kbus0 --bus /dev/kbus1": "leave --bus out, or give --bus embedded",
		"--expose /tmp/kbus7":                  "must be called kbus0",
	} {
		if _, err := load(t, "", strings.Fields(words)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", words, err, want)
		}
	}
}

func TestLinkSettings(t *testing.T) {
	cfg, err := load(t, "interest: off\n", "--grace", "0", "--request-hold", "100ms", "--announce-links", "--announce-drops", "--program-grace", "0")
	if err != nil {
		t.Fatal(err)
	}
	if l := cfg.daemon.Limpet; l.Grace >= 0 || l.RequestHold != 100*time.Millisecond || !l.AllInterest || !cfg.daemon.AnnounceLinks || !cfg.daemon.AnnounceDrops || cfg.daemon.ProgramGrace >= 0 {
		t.Errorf("%+v", cfg.daemon)
	}
	cfg, err = load(t, "")
	if err != nil {
		t.Fatal(err)
	}
	if l := cfg.daemon.Limpet; l.Grace != 30*time.Second || l.RequestHold != 5*time.Second || l.AllInterest || cfg.daemon.AnnounceLinks || cfg.daemon.AnnounceDrops || cfg.daemon.ProgramGrace != 10*time.Second {
		t.Errorf("by default: %+v", cfg.daemon)
	}
	for words, want := range map[string]string{
		"--grace -1s":                                "--grace: -1s is less than 0",
		"--grace 1000h":                              "--grace: 1000h0m0s is too long",
		"--program-grace -1s":                        "--program-grace: -1s is less than 0",
		"--program-grace 25h":                        "--program-grace: 25h0m0s is too long",
		"--request-hold 0":                           "--request-hold: 0s is too short",
		"--interest maybe":                           `--interest: "maybe" is not one of on, poll, off`,
		"--interest poll --interest-poll 1ms":        "--interest-poll: 1ms is not between 10ms and 1m0s",
		"--interest poll --interest-poll 2m":         "--interest-poll: 2m0s is not between",
		"--interest poll --interest-poll -1s":        "--interest-poll: -1s is not between",
		"--network-id 1 --connect a:1 --connect a:1": "--connect: the address a:1 is given twice",
		"--metrics 9100":                             `--metrics: "9100" is not HOST:PORT`,
		"--connect a:1":                              "--network-id",
		"--termination-message $.Stop.*":             "termination message",
	} {
		if _, err := load(t, "", strings.Fields(words)...); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", words, err, want)
		}
	}
}

// A device is polled only when that is asked for.
func TestInterestPoll(t *testing.T) {
	for words, want := range map[string]time.Duration{
		"":                                      0,
		"--interest on --interest-poll 1s":      0,
		"--interest off --interest-poll 1s":     0,
		"--interest poll":                       250 * time.Millisecond,
		"--interest poll --interest-poll 0":     0,
		"--interest poll --interest-poll 100ms": 100 * time.Millisecond,
	} {
		cfg, err := load(t, "", strings.Fields(words)...)
		if err != nil || cfg.daemon.InterestPoll != want || cfg.daemon.Limpet.AllInterest != strings.Contains(words, "off") {
			t.Errorf("%q: every %v, all %t, %v; want every %v", words, cfg.daemon.InterestPoll, cfg.daemon.Limpet.AllInterest, err, want)
		}
	}
}

func TestCheckSaysWhatWouldBeDone(t *testing.T) {
	l := loaderFor(t, "", "--bus", "embedded", "--network-id", "3", "--listen", "localhost:7000", "--grace", "1m", "--interest", "off", "--api", "none")
	var out strings.Builder
	if err := checkConfig(l, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"bus: embedded", "network id: 3", "listen: localhost:7000", "tls: none, and only addresses of this machine", "grace: 1m0s", "request hold: 5s", "program grace: 10s", "interest: off", "api: none"} {
		if !strings.Contains(strings.Join(strings.Fields(out.String()), " "), want) {
			t.Errorf("--check does not say %q:\n%s", want, &out)
		}
	}
}

// Without TLS only this machine is at the other end, unless that is wanted.
func TestAddressesWithoutTLS(t *testing.T) {
	const (
		files   = " --tls-cert c --tls-key k --tls-ca a"
		refused = "or --insecure on a network that you trust"
	)
	for words, want := range map[string]string{
		"--listen localhost:1":                                 "",
		"--listen 127.0.0.2:1 --connect [::1]:2":               "",
		"--listen /tmp/x --connect unix:y --api localhost:1":   "",
		"--listen-classic 127.0.0.1:1":                         "",
		"--listen :1":                                          "--listen: :1 is open to other machines, and without TLS",
		"--listen 0.0.0.0:1":                                   refused,
		"--listen [::]:1":                                      refused,
		"--listen 192.0.2.1:1":                                 refused,
		"--connect host:1":                                     "--connect: host:1 leads to another machine, and without TLS",
		"--connect :1":                                         refused,
		"--api :1":                                             "--api: :1 is open to other machines",
		"--listen-classic :1":                                  "the classic protocol has no TLS",
		"--connect-classic host:1":                             "--connect-classic: host:1 leads to another machine",
		"--listen :1 --connect h:1 --api :2" + files:           "",
		"--listen-classic :1" + files:                          "the classic protocol has no TLS",
		"--listen-classic :1 --insecure" + files:               "",
		"--listen :1 --connect h:1 --api :2 --insecure":        "",
		"--connect-classic h:1 --listen-classic :1 --insecure": "",
		"--tls-cert c --tls-ca a":                              "all of --tls-cert, --tls-key and --tls-ca",
		"--listen :1 --insecure --tls-ca a":                    "all of --tls-cert, --tls-key and --tls-ca",
		"--tls-name example.org":                               "all of --tls-cert, --tls-key and --tls-ca",
	} {
		args := append([]string{"--network-id", "1"}, strings.Fields(words)...)
		_, err := load(t, "", args...)
		var bad *daemon.ConfigError
		if want == "" && err != nil || want != "" && (!errors.As(err, &bad) || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", words, err, want)
		}
	}
}

// What no flag names comes from the credentials that systemd passes on.
func TestTLSFromSystemd(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	if cfg, err := load(t, ""); err != nil || cfg.daemon.TLS != nil {
		t.Errorf("none of them: %+v, %v", cfg.daemon.TLS, err)
	}
	for _, name := range []string{"tls-cert", "tls-key", "tls-ca"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := load(t, "", "--tls-ca", "mine", "--tls-name", "n")
	if want := (daemon.TLS{Cert: filepath.Join(dir, "tls-cert"), Key: filepath.Join(dir, "tls-key"), CA: "mine", Name: "n"}); err != nil || *cfg.daemon.TLS != want {
		t.Errorf("%+v, %v, want %+v", cfg.daemon.TLS, err, want)
	}
}

func TestGroups(t *testing.T) {
	for words, want := range map[string]string{
		"--peer-group 12345 --api-group 12345": "",
		"--peer-group no-such-group":           `--peer-group: there is no group "no-such-group"`,
		"--api-group -1":                       `--api-group: there is no group "-1"`,
		"--api-group 0":                        "root's group",
		"--api-group 4294967296":               "there is no group",
	} {
		if _, err := load(t, "", strings.Fields(words)...); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", words, err, want)
		}
	}
}

// No file makes the configuration panic, and what is accepted can be run.
func FuzzConfig(f *testing.F) {
	for _, s := range []string{"", "network-id: 1\nlisten: [':1', /x]\n", "listen: x\n", "verbosity: -1\n", "message-name: [1]\n", "a: &a [*a]\n", "network-id: -1\n", "links: [{connect: ':1', grace: 1m}]\n", "listen: &a [*a]\n", "? [a]\n: b\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, yaml string) {
		cfg, err := load(t, yaml)
		if err == nil && cfg.NetworkID == 0 && len(cfg.daemon.Links) > 0 {
			t.Errorf("links without a network id are accepted from %q", yaml)
		}
	})
}
