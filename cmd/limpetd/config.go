package main

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"

	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/internal/buildinfo"
	"github.com/kbus-limpet/limpet/internal/daemon"
	"github.com/kbus-limpet/limpet/internal/sockaddr"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/limpet"
)

// config is what limpetd was told, by flag, environment or file.
type config struct {
	Listen      []string      `koanf:"listen"`
	Connect     []string      `koanf:"connect"`
	ListenOld   []string      `koanf:"listen-classic"`
	ConnectOld  []string      `koanf:"connect-classic"`
	Bus         string        `koanf:"bus"`
	Expose      string        `koanf:"expose"`
	NetworkID   uint32        `koanf:"network-id"`
	MessageName string        `koanf:"message-name"`
	Termination string        `koanf:"termination-message"`
	Grace       time.Duration `koanf:"grace"`
	RequestHold time.Duration `koanf:"request-hold"`
	ProgGrace   time.Duration `koanf:"program-grace"`
	Interest    string        `koanf:"interest"`
	Poll        time.Duration `koanf:"interest-poll"`
	Announce    bool          `koanf:"announce-links"`
	Verbosity   int           `koanf:"verbosity"`
	API         string        `koanf:"api"`
	Metrics     string        `koanf:"metrics"`
	LogFormat   string        `koanf:"log-format"`
	Check       bool          `koanf:"check"`

	daemon daemon.Config // made of these by validate
}

const envPrefix = "LIMPETD_"

func addFlags(f *pflag.FlagSet) {
	f.StringSlice("listen", nil, "accept links from peers at `ADDRESS`: host:port is TCP, anything else a Unix socket path (repeatable)")
	f.StringSlice("connect", nil, "keep a link up to the peer at `ADDRESS` (repeatable)")
	f.StringSlice("listen-classic", nil, "accept links from upstream's limpets, which speak the old socket protocol, at `ADDRESS` (repeatable)")
	f.StringSlice("connect-classic", nil, "keep a link up to an upstream limpet at `ADDRESS` (repeatable)")
	f.String("bus", daemon.Auto, "the `BUS`: a device's path or number, \"embedded\", or \"auto\" for /dev/kbus0 if there is one, else embedded")
	f.String("expose", "", "serve the embedded bus to local programs as the device `FILE`, /dev/kbus0 or kbus0 in another folder, as kbusd does (root)")
	f.Uint32("network-id", 0, "the network `ID` of the bus, above 0 and different on every bus that is linked")
	f.String("message-name", "$.*", "forward only messages of this `NAME`, perhaps a wildcard")
	f.String("termination-message", "", "stop when a message of this `NAME` is sent on the bus")
	f.Duration("grace", 30*time.Second, "keep what is under way for this `DURATION` after a link has broken, so that the link can be resumed; 0 keeps nothing")
	f.Duration("request-hold", 5*time.Second, "keep a request that has not left for this `DURATION` while a link is broken, then answer that it was not delivered")
	f.Duration("program-grace", 10*time.Second, "keep a program's Ksock for this `DURATION` after its stream has broken, so that the program can resume it; 0 keeps nothing")
	f.String("interest", "on", "`on`: send peers only the announcements that somebody there, or behind them, listens to; poll: tell peers also who listens on a device, by looking in turns; off: send everything")
	f.Duration("interest-poll", 250*time.Millisecond, "with --interest poll, look at who listens on a device every `DURATION`, and let a new listener miss what is announced far away until then; 0 does not look")
	f.Bool("announce-links", false, "announce on the bus when a link goes up or down or loses messages, as $.Limpet.Link.Up, $.Limpet.Link.Down and $.Limpet.Lost, and reply to $.Limpet.Links")
	f.IntP("verbosity", "v", 1, "`LEVEL` 0: warnings; 1: changes of state; 2: every message as it is processed, without its data")
	f.String("api", client.DefaultAPIAddress(), "offer the local API at `ADDRESS`; \"none\" offers none")
	f.String("metrics", "", "serve Prometheus metrics over HTTP at `HOST:PORT`/metrics")
	f.String("log-format", "text", "`FORMAT` of the log on standard error: text or json")
	f.String("config", "", "read a YAML `FILE` with the same names")
	f.Bool("check", false, "check the configuration, say what would be done, and stop")
}

// loadConfig puts flags, environment and file together, and judges them.
func loadConfig(flags *pflag.FlagSet) (*config, error) {
	k := koanf.New(".")
	path, _ := flags.GetString("config")
	known := make(map[string]bool)
	flags.VisitAll(func(f *pflag.Flag) { known[f.Name] = true })

	environment := env.Provider(".", env.Opt{Prefix: envPrefix, TransformFunc: func(key, value string) (string, any) {
		key = strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(key, envPrefix), "_", "-"))
		switch key {
		case "listen", "connect", "listen-classic", "connect-classic":
			return key, strings.Split(value, ",")
		}
		return key, value
	}})
	fromEnv := koanf.New(".")
	if err := fromEnv.Load(environment, nil); err != nil {
		return nil, fmt.Errorf("reading the environment: %w", err)
	}
	if path == "" {
		path = fromEnv.String("config")
	}
	if path != "" {
		if err := k.Load(file.Provider(path), yaml.Parser()); err != nil {
			return nil, fmt.Errorf("reading configuration file %s: %w", path, err)
		}
		for _, key := range k.Keys() {
			if !known[key] {
				return nil, fmt.Errorf("configuration file %s: there is no setting %q; the names are those of the flags", path, key)
			}
		}
	}
	for _, key := range fromEnv.Keys() {
		if !known[key] {
			return nil, fmt.Errorf("environment: there is no setting for %s%s; the names are those of the flags", envPrefix, strings.ToUpper(strings.ReplaceAll(key, "-", "_")))
		}
	}
	if err := k.Merge(fromEnv); err != nil {
		return nil, fmt.Errorf("reading the environment: %w", err)
	}
	if err := k.Load(posflag.Provider(flags, ".", k), nil); err != nil {
		return nil, fmt.Errorf("reading the flags: %w", err)
	}
	var cfg config
	if err := k.Unmarshal("", &cfg); err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	return &cfg, cfg.validate()
}

// validate makes the daemon's configuration and judges it.
func (c *config) validate() error {
	if c.Verbosity < 0 || c.Verbosity > 2 {
		return fmt.Errorf("--verbosity: %d is not 0, 1 or 2", c.Verbosity)
	}
	if c.LogFormat != "text" && c.LogFormat != "json" {
		return fmt.Errorf("--log-format: %q is not text or json", c.LogFormat)
	}
	switch c.Interest {
	case "true": // YAML reads a bare on as that
		c.Interest = "on"
	case "false":
		c.Interest = "off"
	case "on", "poll", "off":
	default:
		return fmt.Errorf("--interest: %q is not on, poll or off", c.Interest)
	}
	if c.Grace < 0 {
		return fmt.Errorf("--grace: %v is less than 0; 0 is no grace", c.Grace)
	}
	if c.ProgGrace < 0 {
		return fmt.Errorf("--program-grace: %v is less than 0; 0 is no grace", c.ProgGrace)
	}
	if c.RequestHold < time.Millisecond {
		return fmt.Errorf("--request-hold: %v is too short; choose at least 1ms", c.RequestHold)
	}
	d := daemon.Config{
		Bus: c.Bus, Expose: c.Expose, NetworkID: c.NetworkID, Metrics: c.Metrics, AnnounceLinks: c.Announce, Version: buildinfo.Read().Version,
		Limpet: limpet.Config{
			Pattern: c.MessageName, Termination: c.Termination, Trace: c.Verbosity >= 2,
			Grace: c.Grace, RequestHold: c.RequestHold, AllInterest: c.Interest == "off",
		},
	}
	if c.Grace == 0 {
		d.Limpet.Grace = -1
	}
	if d.ProgramGrace = c.ProgGrace; c.ProgGrace == 0 {
		d.ProgramGrace = -1
	}
	if c.Interest == "poll" {
		d.InterestPoll = c.Poll
	}
	for _, a := range []struct {
		flag  string
		words []string
		out   *[]sockaddr.Address
	}{
		{"listen", c.Listen, &d.Listen}, {"connect", c.Connect, &d.Connect},
		{"listen-classic", c.ListenOld, &d.ListenClassic}, {"connect-classic", c.ConnectOld, &d.ConnectClassic},
	} {
		for _, word := range a.words {
			addr, err := sockaddr.ParseAddress(word)
			if err != nil {
				return fmt.Errorf("--%s: %w", a.flag, err)
			}
			*a.out = append(*a.out, addr)
		}
	}
	if c.API != "none" {
		addr, err := sockaddr.ParseAddress(c.API)
		if err != nil {
			return fmt.Errorf("--api: %w", err)
		}
		d.API = &addr
	}
	c.daemon = d
	return d.Validate()
}

// newLog returns the log that the configuration asks for.
func (c *config) newLog(w io.Writer) *slog.Logger {
	opts := &slog.HandlerOptions{Level: []slog.Level{slog.LevelWarn, slog.LevelInfo, slog.LevelDebug}[c.Verbosity]}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// sayCheck opens the bus and says what would be done.
func (c *config) sayCheck(out io.Writer) error {
	d := &c.daemon
	bus, _, err := d.OpenBus(membus.NewSet())
	if err != nil {
		return err
	}
	var b strings.Builder
	say := func(what string, value any) { fmt.Fprintf(&b, "%-16s %v\n", what+":", value) }
	b.WriteString("the configuration is good\n")
	say("bus", bus)
	say("network id", d.NetworkID)
	say("listen", d.Listen)
	say("connect", d.Connect)
	say("listen-classic", d.ListenClassic)
	say("connect-classic", d.ConnectClassic)
	say("message name", d.Limpet.Pattern)
	say("grace", c.Grace)
	say("request hold", c.RequestHold)
	say("program grace", c.ProgGrace)
	say("interest", c.Interest)
	if d.InterestPoll > 0 {
		say("interest poll", d.InterestPoll)
	}
	say("announce links", d.AnnounceLinks)
	api := "none"
	if d.API != nil {
		api = d.API.String()
	}
	say("api", api)
	if d.Expose != "" {
		say("expose", d.Expose)
	}
	if d.Metrics != "" {
		say("metrics", d.Metrics)
	}
	if d.Limpet.Termination != "" {
		say("termination", d.Limpet.Termination)
	}
	_, err = io.WriteString(out, b.String())
	return err
}
