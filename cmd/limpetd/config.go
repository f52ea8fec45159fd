package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/internal/buildinfo"
	"github.com/kbus-limpet/limpet/internal/daemon"
	"github.com/kbus-limpet/limpet/internal/printable"
	"github.com/kbus-limpet/limpet/internal/sockaddr"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
)

// config is what limpetd was told, by flag, environment or file.
type config struct {
	Listen, Connect, ListenClassic, ConnectClassic []string

	Bus, Expose        string
	NetworkID          uint32
	MessageName        string
	Rename             []string
	Termination        string
	Grace, RequestHold time.Duration
	ProgramGrace       time.Duration
	Interest           string
	InterestPoll       time.Duration
	AnnounceLinks      bool
	AnnounceDrops      bool
	Verbosity          int
	API, Web, Metrics  string
	Reflection         string
	PeerNames          int
	TLSCert, TLSKey    string
	TLSCA, TLSName     string
	Insecure           bool
	PeerGroup          string
	APIGroup           string
	LogFormat          string
	TraceEndpoint      string
	TraceSample        float64
	FlightDir          string
	StuckAfter         time.Duration
	RecordDecisions    string
	RecordSize         int
	RecordFileSize     int
	RecordData         bool

	set    *settings
	links  []*linkSettings // of the file
	daemon daemon.Config   // made of these by validate
}

// settings returns the flags that set c: every setting is parsed as its flag is, wherever
// it stands.
func (c *config) settings() *pflag.FlagSet {
	f := pflag.NewFlagSet("limpetd", pflag.ContinueOnError)
	f.SortFlags = false
	f.StringSliceVar(&c.Listen, "listen", nil, "accept links from peers at `ADDRESS`: host:port is TCP, a path with a slash, or unix:PATH, a Unix socket (repeatable)")
	f.StringSliceVar(&c.Connect, "connect", nil, "keep a link up to the peer at `ADDRESS` (repeatable)")
	f.StringSliceVar(&c.ListenClassic, "listen-classic", nil, "accept links from upstream's limpets, which speak the old socket protocol, at `ADDRESS` (repeatable)")
	f.StringSliceVar(&c.ConnectClassic, "connect-classic", nil, "keep a link up to an upstream limpet at `ADDRESS` (repeatable)")
	f.StringVar(&c.Bus, "bus", daemon.Auto, "the `BUS`: a device's path or number, \"embedded\", or \"auto\" for /dev/kbus0 if there is one, else embedded")
	f.StringVar(&c.Expose, "expose", "", "serve the embedded bus to local programs as the device `FILE`, /dev/kbus0 or kbus0 in another folder, as kbusd does (root)")
	f.Uint32Var(&c.NetworkID, "network-id", 0, "the network `ID` of the bus, above 0 and different on every bus that is linked")
	f.StringVar(&c.MessageName, "message-name", "$.*", "forward only messages of this `NAME`, perhaps a wildcard: the short form of rules, for whoever the peer is")
	f.StringSliceVar(&c.Rename, "rename", nil, "names at or below one prefix here are at or below another one at the peers, both ways: `HERE=THERE`, such as $.Plant=$.Site7.Plant (repeatable)")
	f.StringVar(&c.Termination, "termination-message", "", "stop when a message of this `NAME` is sent on the bus")
	f.DurationVar(&c.Grace, "grace", 30*time.Second, "keep what is under way for this `DURATION` after a link has broken, so that the link can be resumed; 0 keeps nothing")
	f.DurationVar(&c.RequestHold, "request-hold", 5*time.Second, "keep a request that has not left for this `DURATION` while a link is broken, then answer that it was not delivered")
	f.DurationVar(&c.ProgramGrace, "program-grace", 10*time.Second, "keep a program's Ksock for this `DURATION` after its stream has broken, so that the program can resume it; 0 keeps nothing")
	f.StringVar(&c.Interest, "interest", "on", "`on`: send peers only the announcements that somebody there, or behind them, listens to; poll: tell peers also who listens on a device, by looking in turns; off: send everything")
	f.DurationVar(&c.InterestPoll, "interest-poll", 250*time.Millisecond, "with --interest poll, look at who listens on a device every `DURATION`, and let a new listener miss what is announced far away until then; 0 does not look")
	f.BoolVar(&c.AnnounceLinks, "announce-links", false, "announce on the bus when a link goes up or down or loses messages, as $.Limpet.Link.Up, $.Limpet.Link.Down and $.Limpet.Lost, and reply to $.Limpet.Links")
	f.BoolVar(&c.AnnounceDrops, "announce-drops", false, "announce on the bus each message that is dropped, without its data, as $.Limpet.Dropped: 10 a second at most, and how many there were besides")
	f.IntVarP(&c.Verbosity, "verbosity", "v", 1, "`LEVEL` 0: warnings; 1: changes of state; 2: every message as it is processed, without its data")
	f.StringVar(&c.API, "api", client.DefaultAPIAddress(), "offer the local API at `ADDRESS`; \"none\" offers none")
	f.StringVar(&c.Web, "web", "", "offer the API as HTTP with JSON, and a page that shows the daemon, at `ADDRESS`: host:port, or a Unix socket")
	f.StringVar(&c.TLSCert, "tls-cert", "", "encrypt connections over TCP, both ways authenticated, with the certificate in this PEM `FILE`; read again when it changes")
	f.StringVar(&c.TLSKey, "tls-key", "", "the private key of --tls-cert, a PEM `FILE`")
	f.StringVar(&c.TLSCA, "tls-ca", "", "believe peers and programs whose certificates a CA in this PEM `FILE` has signed")
	f.StringVar(&c.TLSName, "tls-name", "", "the `NAME` that the certificates of dialled peers must have, a DNS name or a URI such as spiffe://example.org/limpetd, in place of their address's host")
	f.BoolVar(&c.Insecure, "insecure", false, "allow addresses of other machines without TLS: anybody can join then, or read and change what is sent")
	f.StringVar(&c.PeerGroup, "peer-group", "", "open the Unix sockets for peers to the `GROUP`, a name or an id")
	f.StringVar(&c.APIGroup, "api-group", "", "open the Unix sockets of the local API, and of --web, to the `GROUP`, a name or an id")
	f.StringVar(&c.Metrics, "metrics", "", "serve Prometheus metrics over HTTP at `HOST:PORT`/metrics")
	f.StringVar(&c.TraceEndpoint, "trace-endpoint", "", "trace requests, and send the spans to the OpenTelemetry collector at `URL`, over gRPC: http://HOST:PORT, or https://HOST:PORT with TLS")
	f.Float64Var(&c.TraceSample, "trace-sample", 1, "trace this `SHARE` of the requests that come without a trace context, 0 to 1; the same on all daemons")
	f.StringVar(&c.FlightDir, "flight-dir", "", "record what limpetd does, and write the latest of it to a file in `FOLDER` when a request is stuck, for go tool trace")
	f.DurationVar(&c.StuckAfter, "stuck-after", 30*time.Second, "with --flight-dir, a request that is open for this `DURATION` is stuck")
	c.recordSettings(f)
	f.StringVar(&c.Reflection, "reflection", "api", "gRPC reflection, which tells what services there are: `api` for programs; peers for peers too; none")
	f.IntVar(&c.PeerNames, "peer-names", 1<<16, "let one peer bind, or want to hear, `N` names here, and all of them together twice as many")
	f.StringVar(&c.LogFormat, "log-format", "text", "`FORMAT` of the log on standard error: text or json")
	return f
}

// validate makes the daemon's configuration and judges it. The error is a
// *daemon.ConfigError.
func (c *config) validate() error {
	if c.Verbosity < 0 || c.Verbosity > 2 {
		return &daemon.ConfigError{Setting: "verbosity", Err: fmt.Errorf("%d is not 0, 1 or 2", c.Verbosity)}
	}
	if c.PeerNames == 0 { // which is the default to package daemon
		return &daemon.ConfigError{Setting: "peer-names", Err: errors.New("0 is none, with which no link works; choose at least 1")}
	}
	if c.StuckAfter == 0 { // likewise
		return &daemon.ConfigError{Setting: "stuck-after", Err: errors.New("every request is open for a moment; choose more than 0")}
	}
	if err := c.checkRecords(); err != nil {
		return err
	}
	if c.ProgramGrace < 0 {
		return &daemon.ConfigError{Setting: "program-grace", Err: fmt.Errorf("%v is less than 0; 0 is no grace", c.ProgramGrace)}
	}
	general, err := c.general().limpet(c)
	if err != nil {
		return err
	}
	all, tests := c.set.rules.All()
	d := daemon.Config{
		Rules: all, Tests: tests,
		Bus: c.Bus, Expose: c.Expose, NetworkID: c.NetworkID, Metrics: c.Metrics, AnnounceLinks: c.AnnounceLinks, AnnounceDrops: c.AnnounceDrops, Version: buildinfo.Read().Version,
		TLS: c.tls(), Insecure: c.Insecure, PeerGroup: c.PeerGroup, APIGroup: c.APIGroup,
		Limpet: general, Level: levels[c.Verbosity], ProgramGrace: noneIsNegative(c.ProgramGrace),
		Reflection: c.Reflection, PeerNames: c.PeerNames,
		FlightDir: c.FlightDir, StuckAfter: c.StuckAfter, Records: c.records(),
		Traces: daemon.Traces{Endpoint: c.TraceEndpoint, Sample: c.TraceSample},
	}
	if c.Interest == "poll" {
		d.InterestPoll = c.InterestPoll
	}
	if d.Links, err = c.allLinks(); err != nil {
		return err
	}
	if c.API != "none" {
		addr, err := sockaddr.ParseAddress(c.API)
		if err != nil {
			return &daemon.ConfigError{Setting: "api", Err: err}
		}
		d.API = &addr
	}
	if c.Web != "" {
		addr, err := sockaddr.ParseAddress(c.Web)
		if err != nil {
			return &daemon.ConfigError{Setting: "web", Err: err}
		}
		d.Web = &addr
	}
	c.daemon = d
	return d.Validate()
}

// noneIsNegative returns a duration as package daemon has it, to which 0 is the default.
func noneIsNegative(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

// levels are what is logged at each verbosity.
var levels = [...]slog.Level{slog.LevelWarn, slog.LevelInfo, slog.LevelDebug}

// newLog returns the log that the configuration asks for, of what has the level.
func (c *config) newLog(w io.Writer, level *slog.LevelVar) *slog.Logger {
	opts := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(printable.JSONLines(w), opts))
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
	if err := d.TLS.Check(); err != nil {
		return err
	}
	var b strings.Builder
	say := func(what string, value any) { fmt.Fprintf(&b, "%-16s %v\n", what+":", value) }
	b.WriteString("the configuration is good\n")
	say("bus", bus)
	say("network id", d.NetworkID)
	for i := range d.Links {
		l := &d.Links[i]
		say(l.Kind(), l.Address)
	}
	say("message name", d.Limpet.Pattern)
	if d.Limpet.Renames != nil {
		say("rename", d.Limpet.Renames)
	}
	say("grace", c.Grace)
	say("request hold", c.RequestHold)
	say("program grace", c.ProgramGrace)
	say("interest", c.Interest)
	if d.InterestPoll > 0 {
		say("interest poll", d.InterestPoll)
	}
	say("announce links", d.AnnounceLinks)
	say("announce drops", d.AnnounceDrops)
	if n := len(d.Rules); n > 0 {
		say("rules", fmt.Sprintf("%d, and %d tests that hold", n, len(d.Tests)))
	}
	api := "none"
	if d.API != nil {
		api = d.API.String()
	}
	say("api", api)
	if d.Web != nil {
		say("web", d.Web)
	}
	secrecy := "none, and only addresses of this machine"
	switch {
	case d.TLS != nil:
		secrecy = fmt.Sprintf("certificate %s, key %s, CA %s", d.TLS.Cert, d.TLS.Key, d.TLS.CA)
	case d.Insecure:
		secrecy = "none, with --insecure"
	}
	say("tls", secrecy)
	if c.PeerGroup != "" {
		say("peer group", c.PeerGroup)
	}
	if c.APIGroup != "" {
		say("api group", c.APIGroup)
	}
	if d.Expose != "" {
		say("expose", d.Expose)
	}
	if d.Metrics != "" {
		say("metrics", d.Metrics)
	}
	if d.FlightDir != "" {
		say("flight recorder", fmt.Sprintf("to %s, when a request is open for %v", d.FlightDir, d.StuckAfter))
	}
	if d.Records.Dir != "" {
		say("record", fmt.Sprintf("of decisions in %s, %d MiB at most", d.Records.Dir, c.RecordSize))
	}
	if d.Traces.Endpoint != "" {
		say("traces", fmt.Sprintf("%v of all requests, to %s", d.Traces.Sample, d.Traces.Endpoint))
	}
	if d.Limpet.Termination != "" {
		say("termination", d.Limpet.Termination)
	}
	_, err = io.WriteString(out, b.String())
	return err
}
