package daemon

import (
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
	// Listen and ListenClassic are where peers and upstream's limpets dial us, Connect
	// and ConnectClassic those whom we dial.
	Listen, Connect, ListenClassic, ConnectClassic []sockaddr.Address
	// API is where local programs and operators are served; nil is nowhere.
	API *sockaddr.Address
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
	// AnnounceLinks makes changes of the links messages on the bus, see Links.
	AnnounceLinks bool
	// Version is told by GetStatus.
	Version string
	// Log gets a line for each change of state; nil logs nothing.
	Log *slog.Logger

	adopted map[adopted]net.Listener // see Adopt
}

// A ConfigError is what the person who starts a daemon can mend.
type ConfigError struct{ Err error }

// Error returns the error's text.
func (e *ConfigError) Error() string { return e.Err.Error() }

// Unwrap returns the error inside.
func (e *ConfigError) Unwrap() error { return e.Err }

// Bounds of the durations, so that a slip of the pen is found at the start.
const (
	maxDuration     = 24 * time.Hour
	minInterestPoll = 10 * time.Millisecond
	maxInterestPoll = time.Minute
)

// Validate returns a *ConfigError that says what is wrong with the configuration
// by itself, and what to do.
func (c *Config) Validate() error {
	for _, check := range []func() error{c.checkPurpose, c.checkExpose, c.checkAddresses, c.checkDurations, c.Limpet.Validate} {
		if err := check(); err != nil {
			return &ConfigError{err}
		}
	}
	return nil
}

func (c *Config) linked() bool {
	return len(c.Listen)+len(c.Connect)+len(c.ListenClassic)+len(c.ConnectClassic) > 0
}

func (c *Config) checkPurpose() error {
	switch {
	case c.linked() && c.NetworkID == 0:
		return errors.New("--network-id: a bus that is linked needs a network id above 0, different on every bus")
	case !c.linked() && c.API == nil && c.Expose == "":
		return errors.New("nothing to do: set --listen, --connect, --listen-classic, --connect-classic, --api or --expose")
	}
	return nil
}

func (c *Config) checkExpose() error {
	switch {
	case c.Expose == "":
	case filepath.Base(c.Expose) != "kbus0":
		return fmt.Errorf("--expose: the file %q must be called kbus0, in any folder", c.Expose)
	case c.Bus != Embedded && c.Bus != Auto && c.Bus != "":
		return fmt.Errorf("--expose: only the embedded bus can be served as a device, not %s; leave --bus out, or give --bus embedded", c.Bus)
	}
	return nil
}

// checkAddresses finds addresses that stand there twice: their links would have the
// same name.
func (c *Config) checkAddresses() error {
	for _, x := range []struct {
		flag string
		all  []sockaddr.Address
	}{{"listen", c.Listen}, {"connect", c.Connect}, {"listen-classic", c.ListenClassic}, {"connect-classic", c.ConnectClassic}} {
		seen := make(map[sockaddr.Address]bool)
		for _, a := range x.all {
			if seen[a] {
				return fmt.Errorf("--%s: the address %s is given twice", x.flag, a)
			}
			seen[a] = true
		}
	}
	if c.Metrics != "" {
		if _, _, err := net.SplitHostPort(c.Metrics); err != nil {
			return fmt.Errorf("--metrics: %q is not HOST:PORT: %w", c.Metrics, err)
		}
	}
	return nil
}

func (c *Config) checkDurations() error {
	if g := c.Limpet.Grace; g > maxDuration {
		return fmt.Errorf("--grace: %v is too long; choose at most %v, or 0 for none", g, maxDuration)
	}
	if g := c.ProgramGrace; g > maxDuration {
		return fmt.Errorf("--program-grace: %v is too long; choose at most %v, or 0 for none", g, maxDuration)
	}
	if h := c.Limpet.RequestHold; h < 0 || h > maxDuration {
		return fmt.Errorf("--request-hold: %v is not between 1ms and %v", h, maxDuration)
	}
	if i := c.InterestPoll; i != 0 && (i < minInterestPoll || i > maxInterestPoll) {
		return fmt.Errorf("--interest-poll: %v is not between %v and %v; 0 is no polling", i, minInterestPoll, maxInterestPoll)
	}
	return nil
}

// devices is how Expose serves the bus.
func (c *Config) devices(set *membus.Set, log *slog.Logger) kbusfs.Config {
	return kbusfs.Config{Set: set, Dir: filepath.Dir(c.Expose), Mode: 0o666, Log: log}
}

// OpenBus opens the bus, and returns what a person should know about the choice, or "".
// set has the embedded one. An error is a *ConfigError; also if the bus is to be exposed
// and cannot be here.
func (c *Config) OpenBus(set *membus.Set) (kbusdev.Bus, string, error) {
	if c.Expose != "" {
		if err := c.devices(set, c.Log).Validate(); err != nil {
			return nil, "", &ConfigError{fmt.Errorf("--expose: %w", err)}
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
		return nil, "", &ConfigError{err}
	}
	bus, err := kbusdev.OpenDevice(path)
	if err != nil {
		return nil, "", &ConfigError{err}
	}
	if c.InterestPoll > 0 {
		bus = kbusdev.PollListeners(bus, kbusdev.PollConfig{Every: c.InterestPoll, Log: c.Log})
	}
	return bus, "", nil
}
