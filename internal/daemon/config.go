package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"time"

	"github.com/kbus-limpet/limpet/internal/sockaddr"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/kbusfs"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/rules"
)

// Embedded and Auto are values of Config.Bus beside a device's path or number.
const (
	Embedded = "embedded"
	Auto     = "auto"
)

// Config is what a daemon does. Errors name its fields as the flags of limpetd.
type Config struct {
	// Bus is the bus: a device's path or number, Embedded, or Auto for
	// kbusdev.DefaultDevice if there is one, else Embedded. "" is Auto.
	Bus string
	// Expose, unless "", is the file called kbus0 as which the embedded bus is served to
	// local programs. With it Auto means Embedded.
	Expose string
	// FirstSerial is the serial number of the first message on the embedded bus; 0 is one
	// by chance, so that what the daemon before this one has sent, and is still under
	// way, is not taken for what this one sends.
	FirstSerial uint32
	// NetworkID is that of the bus, above 0 if it is linked.
	NetworkID uint32
	// Links are the peers that we dial, and where peers dial us.
	Links []LinkConfig
	// API is where local programs and operators are served; nil is nowhere.
	API *sockaddr.Address
	// Web is where the API and a page are served over HTTP; nil is nowhere.
	Web *sockaddr.Address
	// PeerGroup and APIGroup are the groups, by name or id, that may use the Unix sockets at
	// which links are accepted, and those of API and Web; "" is nobody but the daemon's user.
	PeerGroup, APIGroup string
	// TLS is what connections over TCP are made with, but those of the classic protocol; nil
	// is without TLS, which then only this machine's loopback addresses are good for.
	TLS *TLS
	// Insecure allows addresses of other machines without TLS all the same.
	Insecure bool
	// ProgramGrace is how long the session of a program, with its Ksock, is kept after its
	// stream has broken; 0 is bus.DefaultProgramGrace, less than 0 is not at all.
	ProgramGrace time.Duration
	// Metrics is the host:port of Prometheus's page; "" is none.
	Metrics string
	// InterestPoll is how long to wait between two looks at who listens on a device, so
	// that peers send it only what is listened to. 0 is never: they send it everything, so
	// that no new listener misses anything. The embedded bus tells by itself.
	InterestPoll time.Duration
	// Limpet is how the links behave.
	Limpet limpet.Config
	// Rules are who may do what, the first that matches decides; none allow everything.
	// Tests must hold of them.
	Rules []rules.Rule
	Tests []rules.Test
	// IdentityOf returns who is at the other end of a call, from its context; nil is
	// identity.FromContext.
	IdentityOf func(context.Context) rules.Identity
	// AnnounceLinks makes changes of the links messages on the bus, see Links.
	AnnounceLinks bool
	// AnnounceDrops makes dropped messages messages on the bus, see Dropped.
	AnnounceDrops bool
	// Reflection is who may ask what services there are: "api" is programs, "peers" is peers
	// too, "none" is nobody; "" is "api".
	Reflection string
	// PeerNames bounds the names that one peer may bind here, or want, and twice as many are
	// for all peers together; 0 is 65 536.
	PeerNames int
	// Bounds are what peers and programs may take; nil is DefaultBounds.
	Bounds *Bounds
	// Traces say where spans of requests go.
	Traces Traces
	// FlightDir, unless "", is a folder to which the flight recorder is written when a request
	// has been open for StuckAfter; 0 is 30 s.
	FlightDir  string
	StuckAfter time.Duration
	// Records say where the decisions of the links are recorded.
	Records Records
	// Version is told by GetStatus.
	Version string
	// Shown is every setting as YAML, with where it comes from, for GetStatus.
	Shown string
	// Level is what is logged; it is set in LevelVar, unless that is nil, at a Reload.
	Level    slog.Level
	LevelVar *slog.LevelVar
	// Load returns the configuration as it stands now, for Reload; nil: there is none to
	// be read again. Its Load, Log and LevelVar count for nothing.
	Load func() (Config, error)
	// Log gets a line for each change of state; nil logs nothing.
	Log *slog.Logger

	adopted map[adopted]net.Listener // see Adopt
}

// A ConfigError is what the person who starts a daemon can mend.
type ConfigError struct {
	// Setting is the flag that it is about, without its dashes; "" if it is not one alone.
	Setting string
	Err     error
}

// Error returns the error's text.
func (e *ConfigError) Error() string {
	if e.Setting == "" {
		return e.Err.Error()
	}
	return "--" + e.Setting + ": " + e.Err.Error()
}

// Unwrap returns the error inside.
func (e *ConfigError) Unwrap() error { return e.Err }

// maxPeerNames is more than a machine has memory for, in case of a slip of the pen.
const maxPeerNames = 1 << 24

// The values of Config.Reflection.
const (
	reflectionAPI   = "api"
	reflectionPeers = "peers"
	reflectionNone  = "none"
)

func (c *Config) checkBounds() error {
	switch c.Reflection {
	case "", reflectionAPI, reflectionPeers, reflectionNone:
	default:
		return &ConfigError{"reflection", fmt.Errorf("%q is not api, peers or none", c.Reflection)}
	}
	if c.PeerNames < 0 || c.PeerNames > maxPeerNames {
		return &ConfigError{"peer-names", fmt.Errorf("%d is not between 1 and %d", c.PeerNames, maxPeerNames)}
	}
	return nil
}

// Bounds of the durations, so that a slip of the pen is found at the start.
const (
	maxDuration     = 24 * time.Hour
	minInterestPoll = 10 * time.Millisecond
	maxInterestPoll = time.Minute
)

// Validate returns a *ConfigError that says what is wrong with the configuration
// by itself, and what to do.
func (c *Config) Validate() error {
	for _, check := range []func() error{
		c.checkPurpose, c.checkExpose, c.checkLinks, c.checkSecrecy, c.checkGroups, c.checkMetrics, c.checkDurations, c.checkBounds, c.checkTraces, c.checkFlight, c.checkRecords,
		func() error { return checkLimpet(&c.Limpet) }, c.checkRules,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) checkPurpose() error {
	switch {
	case len(c.Links) > 0 && c.NetworkID == 0:
		return &ConfigError{"network-id", errors.New("a bus that is linked needs a network id above 0, different on every bus")}
	case len(c.Links) == 0 && c.API == nil && c.Expose == "" && c.Web == nil:
		return &ConfigError{"", errors.New("nothing to do: set --listen, --connect, --listen-classic, --connect-classic, --api, --web or --expose")}
	}
	return nil
}

func (c *Config) checkExpose() error {
	switch {
	case c.Expose == "":
	case filepath.Base(c.Expose) != "kbus0":
		return &ConfigError{"expose", fmt.Errorf("the file %q must be called kbus0, in any folder", c.Expose)}
	case c.Bus != Embedded && c.Bus != Auto && c.Bus != "":
		return &ConfigError{"expose", fmt.Errorf("only the embedded bus can be served as a device, not %s; leave --bus out, or give --bus embedded", c.Bus)}
	}
	return nil
}

func (c *Config) checkMetrics() error {
	if c.Metrics == "" {
		return nil
	}
	if _, _, err := net.SplitHostPort(c.Metrics); err != nil {
		return &ConfigError{"metrics", fmt.Errorf("%q is not HOST:PORT: %w", c.Metrics, err)}
	}
	return nil
}

func (c *Config) checkDurations() error {
	if g := c.ProgramGrace; g > maxDuration {
		return &ConfigError{"program-grace", fmt.Errorf("%v is too long; choose at most %v, or 0 for none", g, maxDuration)}
	}
	if i := c.InterestPoll; i != 0 && (i < minInterestPoll || i > maxInterestPoll) {
		return &ConfigError{"interest-poll", fmt.Errorf("%v is not between %v and %v; 0 is no polling", i, minInterestPoll, maxInterestPoll)}
	}
	return nil
}

func (c *Config) checkRules() error {
	set, err := rules.Compile(c.Rules)
	if err != nil {
		return &ConfigError{"rules", err}
	}
	if err := set.Check(c.Tests); err != nil {
		return &ConfigError{"tests", err}
	}
	return nil
}

// devices is how Expose serves the bus.
func (c *Config) devices(set *membus.Set, judgeOf func(kbusfs.Program) membus.Judge, log *slog.Logger) kbusfs.Config {
	return kbusfs.Config{Set: set, Dir: filepath.Dir(c.Expose), Mode: 0o666, JudgeOf: judgeOf, Log: log}
}

// OpenBus opens the bus, and returns what a person should know about the choice, or "".
// set has the embedded one. An error is a *ConfigError; also if the bus is to be exposed
// and cannot be here.
func (c *Config) OpenBus(set *membus.Set) (kbusdev.Bus, string, error) {
	if c.Expose != "" {
		if err := c.devices(set, nil, c.Log).Validate(); err != nil {
			return nil, "", &ConfigError{"expose", err}
		}
	}
	which := c.Bus
	switch {
	case which == Embedded, c.Expose != "":
		return set.Bus(0), "", nil
	case which == Auto || which == "":
		if !kbusdev.HasDevice(kbusdev.DefaultDevice) {
			return set.Bus(0), "there is no " + kbusdev.DefaultDevice + ", so the bus is embedded: only programs that use the local API are on it", nil
		}
		which = kbusdev.DefaultDevice
	}
	path, err := kbusdev.DevicePath(which)
	if err != nil {
		return nil, "", &ConfigError{"bus", err}
	}
	bus, err := kbusdev.OpenDevice(path)
	if err != nil {
		return nil, "", &ConfigError{"bus", err}
	}
	if c.InterestPoll > 0 {
		bus = kbusdev.PollListeners(bus, kbusdev.PollConfig{Every: c.InterestPoll, Log: c.Log})
	}
	return bus, "", nil
}
