package doctor_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/doctor"
)

var at = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// well is a snapshot of a daemon that is well.
func well() *doctor.Snapshot {
	status := func() *pb.GetStatusResponse {
		return &pb.GetStatusResponse{Version: "v1", Bus: "embedded", Links: []*pb.LinkStatus{{Name: "l", State: pb.LinkState_LINK_STATE_UP, Since: timestamppb.New(at.Add(-time.Minute)), Counts: new(pb.LinkCounts)}}}
	}
	return &doctor.Snapshot{At: at, Address: "/api", Version: "v1", First: status(), Last: status()}
}

func TestFindings(t *testing.T) {
	reached := func(r doctor.Reach) func(*doctor.Snapshot) {
		return func(s *doctor.Snapshot) { s.Reach, s.Error, s.First, s.Last = r, "why", nil, nil }
	}
	certificate := func(from, until time.Duration) func(*doctor.Snapshot) {
		return func(s *doctor.Snapshot) {
			s.Certificates = []doctor.Certificate{{File: "c", From: at.Add(from), Until: at.Add(until)}}
		}
	}
	link := func(change func(first, last *pb.LinkStatus)) func(*doctor.Snapshot) {
		return func(s *doctor.Snapshot) { change(s.First.Links[0], s.Last.Links[0]) }
	}
	down := func(code string, dialled bool) func(*doctor.Snapshot) {
		return link(func(_, l *pb.LinkStatus) {
			l.State, l.ErrorCode, l.Dialled, l.LastError = pb.LinkState_LINK_STATE_CONNECTING, code, dialled, "why"
		})
	}
	const day = 24 * time.Hour
	tried := make(map[string]bool)
	for _, c := range []struct {
		name   string
		change func(*doctor.Snapshot)
		want   string // the codes and severities
	}{
		{"well", func(*doctor.Snapshot) {}, ""},
		{"no socket", reached(doctor.NoSocket), "L001 critical"},
		{"refused", reached(doctor.Refused), "L002 critical"},
		{"forbidden", reached(doctor.Forbidden), "L003 critical"},
		{"untrusted", reached(doctor.Untrusted), "L004 critical"},
		{"bad TLS", reached(doctor.BadTLS), "L005 critical"},
		{"silent", reached(doctor.Silent), "L006 critical"},
		{"foreign", reached(doctor.Foreign), "L007 critical"},
		{"not admin", reached(doctor.NotAdmin), "L008 critical"},
		{"unknown", reached(doctor.Unknown), "L009 critical"},
		{"version", func(s *doctor.Snapshot) { s.Version = "v2" }, "L010 note"},
		{"device gone", func(s *doctor.Snapshot) { s.Device = &doctor.Device{Missing: true} }, "L020 critical"},
		{"another file", func(s *doctor.Snapshot) { s.Device = &doctor.Device{Other: true} }, "L021 critical"},
		{"device closed", func(s *doctor.Snapshot) { s.Device = &doctor.Device{Closed: true} }, "L022 note"},
		{"device", func(s *doctor.Snapshot) { s.Device = &doctor.Device{Path: "/dev/kbus0"} }, ""},
		{"down", down("", true), "L030 critical"},
		{"down for another reason", down("going away", true), "L030 critical"},
		{"just down", link(func(_, l *pb.LinkStatus) {
			l.State, l.Dialled, l.Since = pb.LinkState_LINK_STATE_CONNECTING, true, timestamppb.New(at)
		}), ""},
		{"detached", link(func(_, l *pb.LinkStatus) { l.State = pb.LinkState_LINK_STATE_DETACHED }), "L031 warning"},
		{"draining", link(func(_, l *pb.LinkStatus) { l.State = pb.LinkState_LINK_STATE_DRAINING }), "L032 note"},
		{"gone", down("", false), "L033 note"},
		{"loop", down("loop", true), "L034 critical"},
		{"same id", down("same network id", true), "L035 critical"},
		{"clash", down("clash", true), "L035 critical"},
		{"id 0", down("bad network id", true), "L035 critical"},
		{"not authorised", down("not authorised", true), "L036 critical"},
		{"protocol version", down("version", true), "L037 critical"},
		{"no certificate", func(s *doctor.Snapshot) { s.Certificates = []doctor.Certificate{{Error: "why"}} }, "L040 critical"},
		{"certificate", certificate(-day, 15*day), ""},
		{"over soon", certificate(-day, 13*day), "L041 warning"},
		{"over", certificate(-day, 0), "L041 critical"},
		{"not yet", certificate(day, 100*day), "L041 critical"},
		{"daemon's over soon", func(s *doctor.Snapshot) { s.Last.CertificateExpires = timestamppb.New(at.Add(day)) }, "L042 warning"},
		{"daemon's over", func(s *doctor.Snapshot) { s.Last.CertificateExpires = timestamppb.New(at.Add(-day)) }, "L042 critical"},
		{"insecure", func(s *doctor.Snapshot) { s.Last.Insecure = []string{"--listen :1"} }, "L050 warning"},
		{"lost", link(func(a, b *pb.LinkStatus) {
			a.Counts.Lost, b.Counts.Lost = map[string]uint64{"expired": 1}, map[string]uint64{"expired": 1}
		}), "L060 note"},
		{"losing", link(func(_, b *pb.LinkStatus) { b.Counts.Lost = map[string]uint64{"expired": 1} }), "L060 warning"},
		{"queue was full", link(func(a, b *pb.LinkStatus) { a.Counts.QueueFull, b.Counts.QueueFull = 1, 1 }), "L061 note"},
		{"queue full", link(func(_, b *pb.LinkStatus) { b.Counts.QueueFull = 1 }), "L061 warning"},
		{"queue nearly full", link(func(_, b *pb.LinkStatus) { b.Counts.Queued, b.Counts.QueueBound = 80, 100 }), "L062 warning"},
		{"queue half full", link(func(_, b *pb.LinkStatus) { b.Counts.Queued, b.Counts.QueueBound = 50, 100 }), ""},
		{"window was full", link(func(a, b *pb.LinkStatus) { a.Counts.WindowFull, b.Counts.WindowFull = 1, 1 }), ""},
		{"window full", link(func(_, b *pb.LinkStatus) { b.Counts.WindowFull = 1 }), "L063 note"},
		{"missed", func(s *doctor.Snapshot) { s.First.ApiMissed, s.Last.ApiMissed = 1, 1 }, "L064 note"},
		{"missing", func(s *doctor.Snapshot) { s.Last.ApiMissed = 1 }, "L064 warning"},
		{"bound", func(s *doctor.Snapshot) {
			s.First.BoundsReached = []*pb.BoundReached{{Who: "peers", Bound: "links", Count: 1}}
			s.Last.BoundsReached = s.First.BoundsReached
		}, "L070 note"},
		{"bound now", func(s *doctor.Snapshot) {
			s.Last.BoundsReached = []*pb.BoundReached{{Who: "peers", Bound: "links", Count: 1}}
		}, "L070 warning"},
		{"programs denied", func(s *doctor.Snapshot) { s.First.ApiDenied, s.Last.ApiDenied = 1, 1 }, "L071 note"},
		{"peer denied", link(func(_, b *pb.LinkStatus) { b.Counts.FromPeerEnded = map[string]uint64{"denied": 1} }), "L071 warning"},
		{"unknown frames", link(func(_, b *pb.LinkStatus) { b.Counts.UnknownFrames = 1 }), "L072 note"},
		{"versions behind", func(s *doctor.Snapshot) {
			for i := range uint32(9) {
				s.Networks = append(s.Networks, &pb.ReachableNetwork{NetworkId: i + 2, Link: "l", Behind: i > 0, Version: []string{"v1", "v2", ""}[i%3]})
			}
		}, "L074 note"},
		{"the same versions behind", func(s *doctor.Snapshot) {
			s.Networks = []*pb.ReachableNetwork{{NetworkId: 2, Link: "l", Version: "v2"}, {NetworkId: 3, Link: "l", Behind: true, Version: "v1"}, {NetworkId: 4, Link: "l", Behind: true}}
		}, ""},
		{"peer's version", link(func(_, b *pb.LinkStatus) { b.PeerVersion = "v2" }), "L073 note"},
		{"same version", link(func(_, b *pb.LinkStatus) { b.PeerVersion = "v1" }), ""},
		{"failed unit", func(s *doctor.Snapshot) { s.Unit = &doctor.Unit{Active: "failed"} }, "L080 critical"},
		{"restarted", func(s *doctor.Snapshot) { s.Unit = &doctor.Unit{Active: "active", Restarts: 2} }, "L081 warning"},
		{"unit", func(s *doctor.Snapshot) { s.Unit = &doctor.Unit{Active: "active"} }, ""},
		{"a link that is new", func(s *doctor.Snapshot) { s.First.Links = nil }, ""},
		{"the worst first", func(s *doctor.Snapshot) {
			s.Version, s.Last.Insecure = "v2", []string{"a"}
			down("loop", true)(s)
		}, "L034 critical, L050 warning, L010 note"},
	} {
		s := well()
		c.change(s)
		found := doctor.Examine(s)
		var got []string
		for _, f := range found {
			got = append(got, f.Code+" "+f.Severity.String())
			tried[f.Code] = true
			if f.What == "" || f.Cure == "" || strings.Contains(f.What+f.Cure, "%!") {
				t.Errorf("%s: %+v", c.name, f)
			}
		}
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s: found %q, want %q", c.name, got, c.want)
		}
		if len(found) > 0 && doctor.Worst(found) != found[0].Severity {
			t.Errorf("%s: the worst is %v", c.name, doctor.Worst(found))
		}
	}
	for _, c := range doctor.Codes {
		if !tried[c.Code] {
			t.Errorf("%s is tried by nothing", c.Code)
		}
		delete(tried, c.Code)
	}
	if len(tried) > 0 {
		t.Errorf("these are no codes: %v", tried)
	}
}

// docs/doctor.md describes each code, and no other.
func TestCodesAreDescribed(t *testing.T) {
	text, err := os.ReadFile("../../docs/doctor.md")
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for _, m := range regexp.MustCompile(`(?m)^\| (L[0-9]{3}) \| ([^|]+) \|`).FindAllStringSubmatch(string(text), -1) {
		got = append(got, m[1]+" "+m[2])
	}
	for _, c := range doctor.Codes {
		want = append(want, c.Code+" "+c.Title)
	}
	if !slices.Equal(got, want) {
		t.Errorf("docs/doctor.md has\n%s\nbut the codes are\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if !slices.IsSorted(want) {
		t.Error("the codes are not in order")
	}
}
