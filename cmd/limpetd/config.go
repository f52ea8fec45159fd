package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"

	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/internal/sockaddr"
	"github.com/kbus-limpet/limpet/limpet"
)

// config is what limpetd was told, by flag, environment or file.
type config struct {
	Listen      []string `koanf:"listen"`
	Connect     []string `koanf:"connect"`
	ListenOld   []string `koanf:"listen-classic"`
	ConnectOld  []string `koanf:"connect-classic"`
	Bus         string   `koanf:"bus"`
	Expose      string   `koanf:"expose"`
	NetworkID   uint32   `koanf:"network-id"`
	MessageName string   `koanf:"message-name"`
	Termination string   `koanf:"termination-message"`
	Verbosity   int      `koanf:"verbosity"`
	API         string   `koanf:"api"`
	Metrics     string   `koanf:"metrics"`
	LogFormat   string   `koanf:"log-format"`
	Check       bool     `koanf:"check"`

	listen, connect               []sockaddr.Address
	listenClassic, connectClassic []sockaddr.Address
	api                           *sockaddr.Address // nil is none
}

const envPrefix = "LIMPETD_"

func addFlags(f *pflag.FlagSet) {
	f.StringSlice("listen", nil, "accept links from peers at `ADDRESS`: host:port is TCP, anything else a Unix socket path (repeatable)")
	f.StringSlice("connect", nil, "keep a link up to the peer at `ADDRESS` (repeatable)")
	f.StringSlice("listen-classic", nil, "accept links from upstream's limpets, which speak the old socket protocol, at `ADDRESS` (repeatable)")
	f.StringSlice("connect-classic", nil, "keep a link up to an upstream limpet at `ADDRESS` (repeatable)")
	f.String("bus", "auto", "the `BUS`: a device's path or number, \"embedded\", or \"auto\" for /dev/kbus0 if there is one, else embedded")
	f.String("expose", "", "serve the embedded bus to local programs as the device `FILE`, /dev/kbus0 or kbus0 in another folder, as kbusd does (root)")
	f.Uint32("network-id", 0, "the network `ID` of the bus, above 0 and different on every bus that is linked")
	f.String("message-name", "$.*", "forward only messages of this `NAME`, perhaps a wildcard")
	f.String("termination-message", "", "stop when a message of this `NAME` is read from the bus")
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

func (c *config) validate() error {
	linked := len(c.Listen)+len(c.Connect)+len(c.ListenOld)+len(c.ConnectOld) > 0
	if linked && c.NetworkID == 0 {
		return errors.New("--network-id: a bus that is linked needs a network id above 0, different on every bus")
	}
	if !linked && c.API == "none" && c.Expose == "" {
		return errors.New("nothing to do: set --listen, --connect, --listen-classic, --connect-classic, --api or --expose")
	}
	if c.Expose != "" && filepath.Base(c.Expose) != "kbus0" {
		return fmt.Errorf("--expose: the file %q must be called kbus0, in any folder", c.Expose)
	}
	if c.Expose != "" && c.Bus != "embedded" {
		return errors.New("--expose: only the embedded bus can be served as a device; give --bus embedded too")
	}
	if c.Verbosity < 0 || c.Verbosity > 2 {
		return fmt.Errorf("--verbosity: %d is not 0, 1 or 2", c.Verbosity)
	}
	if c.LogFormat != "text" && c.LogFormat != "json" {
		return fmt.Errorf("--log-format: %q is not text or json", c.LogFormat)
	}
	lc := c.limpet()
	if err := lc.Validate(); err != nil {
		return err
	}
	for _, a := range []struct {
		flag  string
		words []string
		out   *[]sockaddr.Address
	}{
		{"listen", c.Listen, &c.listen}, {"connect", c.Connect, &c.connect},
		{"listen-classic", c.ListenOld, &c.listenClassic}, {"connect-classic", c.ConnectOld, &c.connectClassic},
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
		c.api = &addr
	}
	return nil
}

// limpet is how each link's limpets behave.
func (c *config) limpet() limpet.Config {
	return limpet.Config{Pattern: c.MessageName, Termination: c.Termination, Trace: c.Verbosity >= 2}
}
