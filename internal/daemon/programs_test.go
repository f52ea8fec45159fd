package daemon_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/kbus-limpet/limpet/client"
	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/daemon"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/rules"
)

// What everybody may do is what ExplainRules says of them, of a link by the link's own rules.
func TestProgramsAndWhatTheyMay(t *testing.T) {
	var now whoever
	now.is("uid:0 gid:50")
	at := unix(filepath.Join(t.TempDir(), "link"))
	own := []rules.Rule{{Deny: []string{"request"}, Names: []string{"$.Secret.*"}}, {Allow: []string{"join", "request"}}}
	link := daemon.Accept(at)
	link.Rules = own
	a := start(t, daemon.Config{NetworkID: 1, IdentityOf: now.of, Links: []daemon.LinkConfig{link}, Rules: []rules.Rule{
		{Deny: []string{"announce"}, Who: []string{"network:2"}},
		allow("uid:0", "", "all"),
		allow("uid:7", "$.Sensor.*", "announce", "listen"),
	}})
	b := start(t, daemon.Config{NetworkID: 2, Links: dial(at)})
	a.wait(limpet.Up)
	b.wait(limpet.Up)

	ksock(t, a)
	now.is("uid:7")
	listens, err := a.bus.Listen(t.Context(), client.ListenConfig{Names: []string{"$.Sensor.Rain"}})
	if err != nil {
		t.Fatal(err)
	}
	defer listens.Close()
	if _, _, err := a.bus.Programs(t.Context(), ""); err == nil {
		t.Error("who may not administer is told who is there")
	}
	now.is("uid:0")

	for _, name := range []string{"$.Sensor.Rain", "$.Sensor.*", "$.Secret.Key", "$.*"} {
		programs, peers, err := a.bus.Programs(t.Context(), name)
		if err != nil || len(programs) != 2 || len(peers) != 1 {
			t.Fatalf("%v, %v, %v", programs, peers, err)
		}
		explained := func(link, identity string) (all []string) {
			r, err := a.bus.ExplainLinkRules(t.Context(), link, identity, name)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range r.GetVerdicts() {
				all = append(all, fmt.Sprint(v.GetAction(), v.GetAllowed(), v.GetRule(), v.GetOfLink()))
			}
			return all
		}
		for i, x := range []struct {
			who            string
			link, identity string
			rights         []*pb.Right
		}{
			{"Attach", "", "uid:0 gid:50", programs[0].GetRights()},
			{"Listen", "", "uid:7", programs[1].GetRights()},
			{"network 2", "listen " + at.Address, fmt.Sprintf("uid:%d network:2", os.Getuid()), peers[0].GetRights()},
		} {
			if i < 2 && programs[i].GetCall() != x.who || i == 2 && peers[0].GetLink() != x.who {
				t.Fatalf("%v, %v instead of %s", programs, peers, x.who)
			}
			var got []string
			for _, r := range x.rights {
				got = append(got, fmt.Sprint(r.GetAction(), r.GetAllowed(), r.GetRule(), r.GetOfLink()))
			}
			if want := explained(x.link, x.identity); strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Errorf("%s and %s: %v; explained is %v", x.who, name, got, want)
			}
		}
	}
	var refused *client.StatusError
	if _, _, err := a.bus.Programs(t.Context(), "no name"); !errors.As(err, &refused) || refused.Code != codes.InvalidArgument {
		t.Errorf("of no name: %v", err)
	}
	programs, peers, err := a.bus.Programs(t.Context(), "")
	if err != nil || len(peers) > 0 || len(programs) != 2 || len(programs[0].GetRights()) > 0 {
		t.Errorf("without a name: %v, %v, %v", programs, peers, err)
	}
	if n := programs[1].GetNames(); len(n) != 1 || n[0].GetName() != "$.Sensor.Rain" || kbusdev.Role(n[0].GetIsReplier()) != kbusdev.Listener {
		t.Errorf("bound is %v", n)
	}
}
