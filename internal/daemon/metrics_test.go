package daemon_test

import (
	"bufio"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/client"
	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/certs"
	"github.com/kbus-limpet/limpet/internal/daemon"
	"github.com/kbus-limpet/limpet/internal/sockaddr"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet"
)

// A page is what /metrics prints.
type page struct {
	types  map[string]string   // by the metric's name
	labels map[string][]string // the names of its labels, sorted, without "le"
	series map[string]float64  // by the whole name
}

var (
	seriesLine = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{.*\})? (\S+)$`)
	labelName  = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)="(?:[^"\\]|\\.)*"`)
	ofHistgram = regexp.MustCompile(`_(bucket|sum|count)$`)
)

func parsePage(t *testing.T, text string) page {
	t.Helper()
	p := page{make(map[string]string), make(map[string][]string), make(map[string]float64)}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, kind, _ := strings.Cut(rest, " ")
			p.types[name] = kind
		}
		if strings.HasPrefix(line, "#") {
			continue
		}
		m := seriesLine.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("no line of a metric: %q", line)
		}
		v, err := strconv.ParseFloat(m[3], 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		p.series[m[1]+m[2]] = v
		p.labels[p.family(m[1])] = labelsOf(m[2])
	}
	return p
}

// family returns the metric that a series of this name belongs to.
func (p page) family(series string) string {
	if name := ofHistgram.ReplaceAllString(series, ""); p.types[name] == "histogram" {
		return name
	}
	return series
}

func labelsOf(braces string) (names []string) {
	for _, m := range labelName.FindAllStringSubmatch(braces, -1) {
		if m[1] != "le" {
			names = append(names, m[1])
		}
	}
	slices.Sort(names)
	return names
}

// grows reports whether a series must never become less.
func (p page) grows(series string) bool {
	name, _, _ := strings.Cut(series, "{")
	kind := p.types[p.family(name)]
	return kind == "counter" || kind == "histogram"
}

// ours reports whether a metric is limpetd's own.
func ours(name string) bool {
	return strings.HasPrefix(name, "limpet_") || strings.HasPrefix(name, "limpetd_")
}

// working is a pair under work, which has a bit of everything: network 2 dials network 1 over
// TCP, with TLS. back is called when there is nothing left but the daemons.
func working(t *testing.T) (a, b *running, back func()) {
	t.Helper()
	f := certs.Folder{Dir: t.TempDir(), Life: time.Hour}
	if _, err := f.Add([]string{"localhost,127.0.0.1"}); err != nil {
		t.Fatal(err)
	}
	cert, key := f.Path("localhost")
	ca, _ := f.Path("ca")
	tls := &daemon.TLS{Cert: cert, Key: key, CA: ca}
	bounds := daemon.DefaultBounds()
	for i := range bounds.Programs.Calls {
		if c := &bounds.Programs.Calls[i]; c.Bound == "watches" {
			c.OfConnection = 1
		}
	}
	a = start(t, daemon.Config{NetworkID: 1, TLS: tls, Metrics: "127.0.0.1:0", Bounds: &bounds, Links: []daemon.LinkConfig{daemon.Accept(sockaddr.Address{Network: "tcp", Address: "127.0.0.1:0"})}})
	at := sockaddr.Address{Network: "tcp", Address: a.PeerAddrs()[0].String()}
	b = start(t, daemon.Config{NetworkID: 2, TLS: tls, Metrics: "127.0.0.1:0", Links: []daemon.LinkConfig{daemon.Dial(at)}})
	a.wait(limpet.Up)
	b.wait(limpet.Up)

	answer(t, a, "$.At.One")
	answer(t, b, "$.At.Two")
	for _, r := range []*running{a, b} {
		for _, name := range []string{"$.At.One", "$.At.Two"} {
			r.waitReplier(name)
			if _, err := r.bus.Call(t.Context(), &kbusdev.Message{Name: name}); err != nil {
				t.Fatal(err)
			}
		}
	}
	k := ksock(t, a)
	if _, err := k.MaxMessages(1); err != nil {
		t.Fatal(err)
	}
	if err := k.Bind("$.Much", kbusdev.Listener); err != nil {
		t.Fatal(err)
	}
	for range 3 { // the listener has no room for two of them
		if _, err := a.bus.Send(t.Context(), &kbusdev.Message{Name: "$.Much"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := a.bus.Call(t.Context(), &kbusdev.Message{Name: "$.Nobody"}); err == nil {
		t.Error("nobody has answered")
	}
	ignored, err := a.bus.Serve(t.Context(), 0, "$.Ignored")
	if err != nil {
		t.Fatal(err)
	}
	if err := k.Bind("$.Ignored.Not", kbusdev.Replier); err != nil {
		t.Fatal(err)
	}
	go func() {
		_, _ = ignored.Recv()
		ignored.Close()
	}()
	if _, err := a.bus.Call(t.Context(), &kbusdev.Message{Name: "$.Ignored"}); !errors.Is(err, client.ErrMayHaveRun) {
		t.Errorf("what a replier does not answer is %v", err)
	}
	watch := func() *client.Watch[*pb.LinkStatus] {
		w, err := a.bus.WatchLinks(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	first := watch()
	if _, err := first.Recv(); err != nil {
		t.Error(err)
	}
	second := watch()
	if _, err := second.Recv(); err == nil {
		t.Error("a second watch is let in")
	}
	return a, b, func() {
		first.Close()
		second.Close()
		_ = k.Close()
	}
}

// answer has a daemon's program reply to a name until the test ends.
func answer(t *testing.T, on *running, name string) {
	t.Helper()
	r, err := on.bus.Serve(t.Context(), 0, name)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			q, err := r.Recv()
			if err != nil {
				return
			}
			if err := r.Reply(q, "", nil); err != nil {
				return
			}
		}
	}()
}

// A listed metric is a line of the table in docs/metrics.md.
type listed struct {
	kind   string
	labels []string
}

var (
	tableLine = regexp.MustCompile("^\\| `(limpetd?_[a-z_]+)` \\| (\\w+) \\|([^|]*)\\| [^|]+ \\|$")
	inTicks   = regexp.MustCompile("`([a-z_]+)`")
)

func listedMetrics(t *testing.T) map[string]listed {
	t.Helper()
	f, err := os.Open("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	all := make(map[string]listed)
	for s := bufio.NewScanner(f); s.Scan(); {
		line := s.Text()
		if !strings.HasPrefix(line, "| `limpet") {
			continue
		}
		m := tableLine.FindStringSubmatch(line)
		if m == nil {
			t.Errorf("docs/metrics.md has a line of another form: %s", line)
			continue
		}
		if _, twice := all[m[1]]; twice {
			t.Errorf("docs/metrics.md has %s twice", m[1])
		}
		l := listed{kind: m[2]}
		for _, label := range inTicks.FindAllStringSubmatch(m[3], -1) {
			l.labels = append(l.labels, label[1])
		}
		slices.Sort(l.labels)
		all[m[1]] = l
	}
	return all
}

// What /metrics prints is what docs/metrics.md lists, all of it; links are called by names
// that stay; and nothing that is counted becomes less when programs and links go.
func TestMetrics(t *testing.T) {
	a, b, back := working(t)
	before := map[*running]page{a: parsePage(t, a.metrics()), b: parsePage(t, b.metrics())}

	table, printed := listedMetrics(t), make(map[string]bool)
	for r, p := range before {
		for name, kind := range p.types {
			if !ours(name) {
				continue
			}
			printed[name] = true
			want, ok := table[name]
			if !ok {
				t.Errorf("docs/metrics.md does not list %s", name)
			} else if kind != want.kind || !slices.Equal(p.labels[name], want.labels) {
				t.Errorf("network %d: %s is a %s with labels %v, docs/metrics.md says a %s with %v", r.Node().NetworkID(), name, kind, p.labels[name], want.kind, want.labels)
			}
		}
	}
	for name := range table {
		if !printed[name] {
			t.Errorf("docs/metrics.md lists %s, which is not printed", name)
		}
	}
	dialled := "connect " + a.PeerAddrs()[0].String()
	for r, link := range map[*running]string{a: "network 2", b: dialled} {
		for series := range before[r].series {
			if i := strings.Index(series, `link="`); i >= 0 && !strings.HasPrefix(series[i:], `link="`+link+`"`) {
				t.Errorf("network %d: %s, want link %q", r.Node().NetworkID(), series, link)
			}
		}
	}
	for r, want := range map[*running][]string{
		a: {`limpet_link_up{link="network 2"} 1`, `limpet_link_info{link="network 2",protocol="grpc",side="accepted"} 1`, `limpet_bus_missed_total{reason="queue_messages"} 2`, `limpet_bound_reached_total{bound="watches",who="programs"} 1`, `limpet_request_duration_seconds_count{direction="from_bus",link="network 2"} 1`, `limpet_request_duration_seconds_count{direction="from_peer",link="network 2"} 1`, `limpet_api_attached_programs 1`, `limpet_bus_refused_total{errno="EADDRNOTAVAIL"} 1`, `limpet_bus_answered_total{reply="$.KBUS.Replier.Ignored"} 1`},
		b: {`limpet_link_info{link="` + dialled + `",protocol="grpc",side="dialled"} 1`, `limpet_requests_total{end="replied",link="` + dialled + `"} 1`},
	} {
		for _, line := range want {
			name, value, _ := cutLast(line, " ")
			if v, ok := before[r].series[name]; !ok || strconv.FormatFloat(v, 'g', -1, 64) != value {
				t.Errorf("network %d: %s is %v", r.Node().NetworkID(), name, v)
			}
		}
	}
	t.Run("Monitoring", func(t *testing.T) { testMonitoring(t, before[a], before[b], a.metrics()) })

	back()
	b.stop()
	<-b.done
	a.wait(limpet.Connecting).Close(t.Context(), "it is forgotten")
	after := parsePage(t, a.metrics())
	for _, series := range slices.Sorted(maps.Keys(before[a].series)) {
		if was := before[a].series[series]; before[a].grows(series) {
			if is, ok := after.series[series]; !ok || is < was {
				t.Errorf("%s was %v, and is %v, %v, when the link has gone", series, was, is, ok)
			}
		}
	}
	if _, ok := after.series[`limpet_link_up{link="network 2"}`]; ok {
		t.Error("a link that is forgotten is shown as one that is down")
	}
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// A link that is dialled, and an accepted one, may have one name, and a name may be no text:
// the page shows all the same what there is.
func TestMetricsOfStrangeNames(t *testing.T) {
	link := unix(filepath.Join(t.TempDir(), "link"))
	nobody := unix(filepath.Join(t.TempDir(), "nobody"))
	odd := unix(filepath.Join(t.TempDir(), "\xff"))
	first := daemon.Dial(nobody)
	first.Name = "network 2"
	a := start(t, daemon.Config{NetworkID: 1, Metrics: "127.0.0.1:0", Links: []daemon.LinkConfig{first, daemon.Dial(odd), daemon.Accept(link)}})
	b := start(t, daemon.Config{NetworkID: 2, Links: []daemon.LinkConfig{daemon.Dial(link)}})
	b.wait(limpet.Up)
	p := parsePage(t, a.metrics())
	for series, want := range map[string]float64{
		`limpet_link_up{link="network 2"}`:                                       1,
		`limpet_link_state{link="network 2",state="connecting"}`:                 1,
		`limpet_link_state{link="network 2",state="up"}`:                         1,
		`limpet_link_up{link="connect ` + filepath.Dir(odd.Address) + `/\\xff"}`: 0,
	} {
		if got, ok := p.series[series]; !ok || got != want {
			t.Errorf("%s is %v, %v, want %v", series, got, ok, want)
		}
	}
}
