package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/kbus-limpet/limpet/client"
	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/daemon"
	"github.com/kbus-limpet/limpet/internal/doctor"
	"github.com/kbus-limpet/limpet/internal/sockaddr"
)

// realDaemon runs a daemon in this process until the test ends.
func realDaemon(t *testing.T, shown string) (api string) {
	t.Helper()
	api = filepath.Join(t.TempDir(), "api")
	d, err := daemon.Open(t.Context(), daemon.Config{Bus: daemon.Embedded, NetworkID: 1, Version: "test", Shown: shown, API: &sockaddr.Address{Network: "unix", Address: api}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx, nil) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return api
}

// members returns the names of the members of each line's object, and the objects.
func members(t *testing.T, out string) (names []string, objects []map[string]any) {
	t.Helper()
	for line := range strings.Lines(out) {
		var object map[string]any
		if err := json.Unmarshal([]byte(line), &object); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		d := json.NewDecoder(strings.NewReader(line))
		var all []string
		depth := 0
		for {
			token, err := d.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if delim, ok := token.(json.Delim); ok {
				depth += map[json.Delim]int{'{': 1, '}': -1}[delim]
			} else if word, ok := token.(string); ok && depth == 1 && object[word] != nil && !slices.Contains(all, word) {
				all = append(all, word)
			}
		}
		names, objects = append(names, strings.Join(all, " ")), append(objects, object)
	}
	return names, objects
}

// bench measures both ways, and says what it has measured.
func TestBench(t *testing.T) {
	api := realDaemon(t, "")
	var out, errOut bytes.Buffer
	if code := run(t.Context(), []string{"--api", api, "bench", "--json", "--time", "50ms", "--callers", "4", "--size", "100"}, &out, &errOut); code != exitOK {
		t.Fatalf("%d: %s", code, &errOut)
	}
	names, objects := members(t, out.String())
	if want := []string{
		"measure size time_seconds sent heard per_second bytes_per_second",
		"measure name size time_seconds callers answered failed per_second min_seconds p50_seconds p99_seconds max_seconds",
	}; !slices.Equal(names, want) {
		t.Fatalf("it prints %s", &out)
	}
	if n := objects[0]["heard"]; n != objects[0]["sent"] { // nothing is dropped
		t.Errorf("heard %v of %v", n, objects[0]["sent"])
	}
	if objects[1]["failed"] != 0.0 || (objects[1]["answered"] == 0.0) != (objects[1]["p50_seconds"] == 0.0) {
		t.Errorf("asked: %v", objects[1])
	}
	out.Reset()
	if code := run(t.Context(), []string{"--api", api, "bench", "--time", "50ms", "--only", "round-trip"}, &out, &errOut); code != exitOK ||
		!strings.HasPrefix(out.String(), "through limpetd test on bus embedded with 0 bindings; ") || strings.Contains(out.String(), "one way") {
		t.Errorf("in words: %q (%d)", &out, code)
	}
	out.Reset()
	errOut.Reset()
	if code := run(t.Context(), []string{"--api", api, "bench", "--time", "1h", "--ask", "$.Nobody"}, &out, &errOut); code == exitOK || !strings.Contains(errOut.String(), "$.Nobody: nobody is there to take it") {
		t.Errorf("of nobody: %q, %q (%d)", &out, &errOut, code)
	}
	for _, args := range []string{"--size -1", "--callers 0", "--time 0s", "--only half", "--only one-way --ask $.A"} {
		if code := run(t.Context(), append([]string{"--api", api, "bench"}, strings.Fields(args)...), io.Discard, io.Discard); code != exitUsage {
			t.Errorf("bench %s exits with %d", args, code)
		}
	}
}

// What is different each time has one shape all the same.
func TestShapes(t *testing.T) {
	api := realDaemon(t, "")
	bus, err := client.Open(api)
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	r, err := bus.Serve(t.Context(), 0, "$.Ask")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	go func() {
		for {
			q, err := r.Recv()
			if err != nil || r.Reply(q, "", nil) != nil {
				return
			}
		}
	}()
	for args, want := range map[string]string{
		"check":                   "health problems links_up links open_requests lost api_missed",
		"latency $.Ask --count 1": "asked answered min_seconds p50_seconds p99_seconds max_seconds",
		"doctor --between 1ms":    "code severity about finding cure",
		"send $.A":                "id",
		"bugreport --between 1ms " + filepath.Join(t.TempDir(), "r.tgz"): "file what size missing",
	} {
		var out, errOut bytes.Buffer
		if code := run(t.Context(), append([]string{"--api", api, "--json"}, strings.Fields(args)...), &out, &errOut); code != exitOK {
			t.Errorf("%s: %d, %s", args, code, &errOut)
		}
		names, _ := members(t, out.String())
		if len(names) == 0 || slices.ContainsFunc(names, func(n string) bool { return n != want }) {
			t.Errorf("%s prints %s", args, &out)
		}
	}
}

// An interrupted bench prints what it has measured so far.
func TestBenchInterrupted(t *testing.T) {
	api := realDaemon(t, "")
	bus, err := client.Open(api)
	if err != nil {
		t.Fatal(err)
	}
	defer bus.Close()
	bound, err := bus.WatchBindings(t.Context(), benchPrefix+"*")
	if err != nil {
		t.Fatal(err)
	}
	defer bound.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		for {
			c, err := bound.Recv()
			if err != nil || len(c.Here) > 0 {
				cancel()
				return
			}
		}
	}()
	var out, errOut bytes.Buffer
	code := run(ctx, []string{"--api", api, "bench", "--time", "1h", "--format", "text"}, &out, &errOut)
	if code != exitInterrupted || !strings.Contains(out.String(), "\none way: ") || strings.Contains(out.String(), "round trip") || errOut.Len() > 0 {
		t.Errorf("%d, %q, %q", code, &out, &errOut)
	}
}

// A refusingDaemon lets nobody administer.
type refusingDaemon struct {
	pb.UnimplementedBusServiceServer
	pb.UnimplementedAdminServiceServer
}

func (refusingDaemon) GetStatus(context.Context, *pb.GetStatusRequest) (*pb.GetStatusResponse, error) {
	return nil, status.Error(codes.PermissionDenied, "no")
}

// doctor tells why a daemon cannot be asked.
func TestDoctorReaches(t *testing.T) {
	dir := t.TempDir()
	stale := filepath.Join(dir, "stale")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	_ = l.Close()
	raw := filepath.Join(dir, "raw")
	if l, err = net.ListenUnix("unix", &net.UnixAddr{Name: raw, Net: "unix"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() { // it speaks no gRPC
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("220 mail\r\n"))
			_ = c.Close()
		}
	}()
	silent, _ := stuck(t)
	for _, c := range []struct{ name, api, code, timeout string }{
		{"nothing", filepath.Join(dir, "none"), "L001", "1m"},
		{"stale", stale, "L002", "1m"},
		{"no gRPC", raw, "L005", "1m"},
		{"silent", silent, "L006", "50ms"},
		{"foreign", serve(t, pb.UnimplementedBusServiceServer{}, pb.UnimplementedAdminServiceServer{}), "L007", "1m"},
		{"not admin", serve(t, refusingDaemon{}, refusingDaemon{}), "L008", "1m"},
	} {
		var out, errOut bytes.Buffer
		code := run(t.Context(), []string{"--api", c.api, "doctor", "--json", "--timeout", c.timeout}, &out, &errOut)
		names, objects := members(t, out.String())
		if code != int(doctor.Critical) || len(objects) == 0 || objects[0]["code"] != c.code || names[0] != "code severity about finding cure" {
			t.Errorf("%s: %d, %s, %s", c.name, code, &out, &errOut)
		}
	}
}

// doctor finds the faults of a daemon, and none of one that is well.
func TestDoctorFinds(t *testing.T) {
	api := realDaemon(t, "")
	var out, errOut bytes.Buffer
	code := run(t.Context(), []string{"--api", api, "doctor", "--between", "1ms", "--format", "text"}, &out, &errOut)
	if code != exitOK || !strings.HasPrefix(out.String(), "note     L010 limpetd is test, limpetctl ") {
		t.Errorf("%d: %q, %q", code, &out, &errOut)
	}
	out.Reset()
	api = serve(t, steadyDaemon{}, steadyDaemon{})
	code = run(t.Context(), []string{"--api", api, "doctor", "--between", "1ms", "--json"}, &out, &errOut)
	_, objects := members(t, out.String())
	var found []string
	for _, o := range objects {
		found = append(found, o["code"].(string))
	}
	if want := []string{"L031", "L050", "L010", "L060", "L064", "L070", "L071", "L073"}; code != int(doctor.Warning) || !slices.Equal(found, want) {
		t.Errorf("%d: %v, want %v", code, found, want)
	}
}

func TestParseUnit(t *testing.T) {
	u := parseUnit("limpetd.service", "NRestarts=3\nLoadState=loaded\nActiveState=failed\nResult=exit-code\n")
	if u == nil || *u != (doctor.Unit{Name: "limpetd.service", Active: "failed", Result: "exit-code", Restarts: 3}) {
		t.Errorf("%+v", u)
	}
	if u := parseUnit("limpetd.service", "LoadState=not-found\nActiveState=inactive\n"); u != nil {
		t.Errorf("a unit that is not there: %+v", u)
	}
}

// A report has what helps, and nothing that is nobody's business.
func TestBugreport(t *testing.T) {
	const shown = "network-id: 1          # default\nconnect: [\"north.example.org:7000\", \"192.0.2.7:7001\", \"[2001:db8::7]:7002\"]  # /etc/limpetd.yaml:2\ntls-key: /etc/key.pem\nsaid: -----BEGIN PRIVATE KEY-----\nMIIsecret\n-----END PRIVATE KEY-----\n"
	api := realDaemon(t, shown)
	for _, c := range []struct {
		args []string
		has  []string
		not  []string
	}{
		{nil, []string{"host-"}, []string{"north.example.org", "192.0.2.7", "2001:db8"}},
		{[]string{"--addresses", "keep"}, []string{"north.example.org:7000", "192.0.2.7:7001", "[2001:db8::7]:7002"}, []string{"host-"}},
	} {
		file := filepath.Join(t.TempDir(), "report.tar.gz")
		var out, errOut bytes.Buffer
		args := append([]string{"--api", api, "bugreport", file, "--between", "1ms"}, c.args...)
		if code := run(t.Context(), args, &out, &errOut); code != exitOK {
			t.Fatalf("%d: %s", code, &errOut)
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("its mode is %v: %v", info.Mode(), err)
		}
		parts := unpack(t, file)
		for _, name := range []string{"README.txt", "configuration.yaml", "doctor.txt", "status.json", "versions.json", "events.txt"} {
			if parts[name] == "" || !strings.Contains(out.String(), "  "+name+": ") {
				t.Errorf("there is no %s, or it is not said: %s", name, &out)
			}
		}
		if !strings.Contains(out.String(), "  metrics.txt: not there, for limpetd serves none") || parts["metrics.txt"] != "" {
			t.Errorf("what is not there: %s", &out)
		}
		if !strings.Contains(parts["events.txt"], " INFO  limpetd is running version=test bus=embedded ") {
			t.Errorf("the events are %q", parts["events.txt"])
		}
		text := parts["configuration.yaml"]
		for _, word := range append(c.has, "network-id: 1", "/etc/key.pem", "said: [removed]", "/etc/limpetd.yaml:2") {
			if !strings.Contains(text, word) {
				t.Errorf("%q has no %q", text, word)
			}
		}
		for _, word := range append(c.not, "MIIsecret") {
			for name, text := range parts {
				if strings.Contains(text, word) {
					t.Errorf("%s has %q: %q", name, word, text)
				}
			}
		}
		before, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if code := run(t.Context(), args, &out, &errOut); code != exitUsage || !strings.Contains(errOut.String(), "is there already") {
			t.Errorf("over a file that is there: %d, %s", code, &errOut)
		}
		if after, err := os.ReadFile(file); err != nil || !bytes.Equal(after, before) {
			t.Errorf("it has written over a file: %v", err)
		}
	}
	dir := t.TempDir()
	for _, args := range [][]string{{filepath.Join(dir, "x.zip")}, {filepath.Join(dir, "x.tgz"), "--addresses", "no"}} {
		if code := run(t.Context(), append([]string{"--api", api, "bugreport"}, args...), io.Discard, io.Discard); code != exitUsage {
			t.Errorf("bugreport %v exits with %d", args, code)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if code := run(ctx, []string{"--api", api, "bugreport", filepath.Join(dir, "y.tgz")}, io.Discard, io.Discard); code != exitInterrupted {
		t.Errorf("interrupted, it exits with %d", code)
	}
	if all, err := os.ReadDir(dir); err != nil || len(all) > 0 {
		t.Errorf("what failed has left %v, %v", all, err)
	}
}

func unpack(t *testing.T, file string) map[string]string {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	parts := make(map[string]string)
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return parts
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if h.Mode != 0o600 {
			t.Errorf("%s has mode %o", h.Name, h.Mode)
		}
		parts[strings.TrimPrefix(h.Name, "limpetd-report/")] = string(data)
	}
}
