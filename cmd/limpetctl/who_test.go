package main

import (
	"bytes"
	"context"
	"regexp"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
)

func (steadyDaemon) ListPrograms(_ context.Context, q *pb.ListProgramsRequest) (*pb.ListProgramsResponse, error) {
	r := &pb.ListProgramsResponse{Programs: []*pb.Program{
		{
			Identity: "uid 1000 (pid 77)", Source: "process 77 of user 1000", Call: "Attach", Since: timestamppb.New(noon), Ksock: 4, NamesBound: 12,
			Names: []*pb.ProgramName{{Name: "$.A.*"}, {Name: "$.Ask", IsReplier: true}, {Name: "$.B"}}, Owed: 2, Queued: 3, HeldBytes: 500, DetachedSince: timestamppb.New(noon),
		},
		{Identity: "unknown", Source: "192.0.2.1", Call: "WatchBindings", Since: timestamppb.New(noon)},
	}}
	if q.GetMay() != "" {
		r.Peers = []*pb.PeerRights{{Link: "connect hosta:7000", Rights: []*pb.Right{{Action: "announce", Rule: 2, OfLink: true}}}}
		r.Programs[0].Rights = []*pb.Right{{Action: "announce", Allowed: true, Rule: 1}, {Action: "listen", Allowed: true, Rule: 3}, {Action: "admin"}}
	}
	return r, nil
}

// Links and programs are in one table.
func TestWhoAsText(t *testing.T) {
	api := serve(t, steadyDaemon{}, steadyDaemon{})
	const links, attached, watches = `hosta +connect hosta:7000, tls +detached +for \S+ +network 7, limpetd v1.2.2, ksock 3`,
		`uid 1000 \(pid 77\) +Attach +detached +for \S+ +ksock 4, replies to \$.Ask, listens to \$.A.\* \$.B, and 9 names more, owes 2 answers, 3 messages queued, 500 bytes held`,
		`unknown +WatchBindings +attached +for \S+ +-`
	for _, x := range []struct {
		args []string
		want string
	}{
		{[]string{"who"}, links + ` *\n` + attached + ` *\n` + watches + ` *\n`},
		{[]string{"who", "--may", "$.A"}, links + ` +not announce\n` + attached + ` +may announce, listen; not admin\n` + watches + ` *\n`},
	} {
		var out, errOut bytes.Buffer
		if code := run(t.Context(), append([]string{"--api", api}, x.args...), &out, &errOut); code != exitOK {
			t.Fatalf("%d: %s", code, &errOut)
		}
		if !regexp.MustCompile(`\A` + x.want + `\z`).MatchString(out.String()) {
			t.Errorf("%v prints\n%s", x.args, &out)
		}
	}
}
