package capture_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/capture"
)

// tshark returns what tshark says of a file, with our dissector. The test is skipped where
// there is none.
func tshark(t *testing.T, file []byte, args ...string) string {
	t.Helper()
	program, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("there is no tshark (Debian's package tshark)")
	}
	path := filepath.Join(t.TempDir(), "file.pcapng")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, append([]string{"-X", "lua_script:../../monitoring/limpet.lua", "-r", path}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir(), "TZ=UTC", "LC_ALL=C.UTF-8")
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, &errOut)
	}
	if strings.Contains(errOut.String(), "Lua") || strings.Contains(out.String(), "Lua Error") {
		t.Errorf("the dissector fails: %s%s", &errOut, &out)
	}
	return out.String()
}

// Wireshark shows what a file has.
func TestDissector(t *testing.T) {
	var file bytes.Buffer
	w, err := capture.NewWriter(&file, "a test")
	if err != nil {
		t.Fatal(err)
	}
	at := func(ms int) *timestamppb.Timestamp {
		return timestamppb.New(noon.Add(time.Duration(ms) * time.Millisecond))
	}
	shown := &pb.TapResponse{
		Start: &pb.TapStart{Format: 1, Version: "v1.2.3", NetworkId: 1, Bus: "embedded", MaxRate: 100, MaxData: 5, Time: at(0)},
		Records: []*pb.TapRecord{
			{
				Time: at(1), Link: "network 2", Direction: pb.TapDirection_TAP_DIRECTION_TO_PEER, Verdict: pb.TapVerdict_TAP_VERDICT_FORWARDED, Kind: pb.TapKind_TAP_KIND_REQUEST,
				Read:  &pb.Message{Name: "$.Plant.Ask", IdSerial: 300, From: 3, To: 1 << 31, FinalToNetwork: 2, FinalToLocal: 8, Flags: 1<<31 | 3},
				Given: &pb.Message{Name: "$.Site.Ask", IdNetwork: 1, IdSerial: 300, From: 3, OrigFromNetwork: 1, OrigFromLocal: 3, Flags: 3}, Size: 5, Data: []byte("hello"),
			},
			{
				Time: at(2), Link: "network 2", Direction: pb.TapDirection_TAP_DIRECTION_FROM_PEER, Verdict: pb.TapVerdict_TAP_VERDICT_DELIVERED, Kind: pb.TapKind_TAP_KIND_REPLY, Own: true,
				Given: &pb.Message{Name: "$.KBUS.RemoteError.NotDelivered", InReplyToNetwork: 1, InReplyToSerial: 300, To: 3}, Size: 7, DataWithheld: true,
			},
			{
				Time: at(3), Link: "connect hostb", Direction: pb.TapDirection_TAP_DIRECTION_TO_PEER, Verdict: pb.TapVerdict_TAP_VERDICT_DROPPED, Reason: "link_lost", Loss: true, Kind: pb.TapKind_TAP_KIND_BIND_EVENT,
				Read: &pb.Message{Name: "$.KBUS.ReplierBindEvent", BindEvent: &pb.BindEvent{IsBind: true, Binder: 5, Name: "$.Ask"}},
			},
		},
		Lost: &pb.TapLost{OverRate: 1<<40 + 3, NoRoom: 7},
	}
	if err := w.Write(shown); err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(`frame.time_epoch frame.packet_flags_direction limpet.link limpet.direction limpet.verdict limpet.reason limpet.loss limpet.own limpet.kind limpet.name limpet.read.id limpet.given.id
		limpet.read.from limpet.read.to limpet.given.to limpet.read.final_to limpet.given.orig_from limpet.given.in_reply_to limpet.read.flags_text limpet.read.bound
		limpet.size limpet.data limpet.data_withheld limpet.version limpet.network_id limpet.max_rate limpet.lost.over_rate limpet.lost.no_room`)
	args := []string{"-T", "fields", "-E", "separator=|", "-E", "occurrence=a"}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	want := `1795694400.250000000|||||||||||||||||||||||v1.2.3|1|100||
1795694400.251000000|0x00000002|network 2|1|1||0|0|2|$.Plant.Ask,$.Site.Ask|[0:300]|[1:300]|3|2147483648||{2:8}|{1:3}||WANT_A_REPLY|WANT_YOU_TO_REPLY|0x80000000||5|68656c6c6f|0|||||
1795694400.252000000|0x00000001|network 2|2|2||0|1|3|$.KBUS.RemoteError.NotDelivered||[0:0]|||3|||[1:300]|||7||1|||||
1795694400.253000000|0x00000002|connect hostb|1|3|link_lost|1|0|4|$.KBUS.ReplierBindEvent|[0:0]||0|||||||$.Ask bound by 5|0||0|||||
1795694400.253000000||||||||||||||||||||||||||1099511627779|7
`
	if got := tshark(t, file.Bytes(), args...); got != want {
		t.Errorf("tshark shows\n%s", got)
	}
	got := tshark(t, file.Bytes())
	for _, want := range []string{
		"tap of network 1 begins, limpetd v1.2.3", "our bus → network 2 ", "LIMPET", "request $.Plant.Ask [0:300] => $.Site.Ask [1:300] forwarded",
		"network 2 → our bus", "reply $.KBUS.RemoteError.NotDelivered [0:0] delivered", "bind event $.KBUS.ReplierBindEvent [0:0] dropped (link_lost)",
		"not shown so far: 1099511627779 beyond the rate, 7 that came too fast",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("tshark does not list %q:\n%s", want, got)
		}
	}
}

// Nothing that a packet may have makes the dissector fail.
func TestDissectorOfBadPackets(t *testing.T) {
	_, good := written(t)
	r := rand.New(rand.NewPCG(3, 4))
	var file []byte
	for range 100 {
		one := bytes.Clone(good)
		for at := 0; at < len(one); at += int(binary.LittleEndian.Uint32(one[at+4:])) {
			if binary.LittleEndian.Uint32(one[at:]) != 6 {
				continue
			}
			size := int(binary.LittleEndian.Uint32(one[at+20:]))
			for range r.IntN(5) {
				one[at+28+r.IntN(size)] = byte(r.Uint32())
			}
		}
		file = append(file, one...) // each a section of its own
	}
	if got := tshark(t, file, "-V"); strings.Count(got, "\nlimpetd tap") != 500 || !strings.Contains(got, "It is no message of a tap") {
		t.Errorf("tshark shows %d packets", strings.Count(got, "\nlimpetd tap"))
	}
}
