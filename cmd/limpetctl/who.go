package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kbus-limpet/limpet/client"
	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/printable"
)

func (o *options) newWho() *cobra.Command {
	may := ""
	cmd := &cobra.Command{
		Use:   "who",
		Short: "List who is connected, over links and to the API, and what they may",
		Long: `who lists the peers of the links, then the programs that are connected to the API: who
they are, how they came, since when, and what they have bound. A program is there once for
each call that goes on; limpetctl's own, which asks, is none of them.

--may tells beside that what the rules let each of them do with a name, as limpetctl rules
explain does: with all names of a wildcard, but for listening, where any is enough.`,
		Example: "  limpetctl who\n  limpetctl who --may '$.Sensor.*'",
		Args:    args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.withBus(func(bus *client.Bus) error {
				all, err := o.visitors(cmd.Context(), bus, may)
				if err != nil {
					return err
				}
				return o.printVisitors(cmd.OutOrStdout(), all, time.Now())
			})
		},
	}
	cmd.Flags().StringVar(&may, "may", "", "tell what the rules let each of them do with a `NAME`")
	return cmd
}

// A visitor is the peer of a link, or a program.
type visitor struct {
	kind      string // link or program
	identity  string
	name      string // the link's, or the program's call
	state     string
	since     time.Time
	transport string // of a link
	source    string // of a program
	network   uint32 // of a link
	version   string // of a link, as far as it is known
	ksock     uint32
	bound     uint64
	names     []*pb.ProgramName // some of those of a program
	owed      uint64
	queued    uint64
	held      uint64
	rights    []*pb.Right // nil if they are not asked for
}

// visitors returns who is there.
func (o *options) visitors(ctx context.Context, bus *client.Bus, may string) ([]visitor, error) {
	ctx, cancel := o.limited(ctx)
	defer cancel()
	links, err := bus.LinkStatus(ctx, "", 0)
	if err != nil {
		return nil, err
	}
	programs, peers, err := bus.Programs(ctx, may)
	if err != nil {
		return nil, err
	}
	rights := make(map[string][]*pb.Right)
	for _, p := range peers {
		rights[p.GetLink()] = p.GetRights()
	}
	var all []visitor
	for _, l := range links {
		c := l.GetCounts()
		all = append(all, visitor{
			kind: "link", identity: l.GetIdentity(), name: l.GetName(), state: stateOf(l), since: l.GetSince().AsTime(), transport: l.GetTransport(),
			network: l.GetPeerNetworkId(), version: l.GetPeerVersion(), ksock: l.GetKsock(), bound: c.GetProxies(), owed: c.GetOpen(), queued: c.GetQueued(),
			rights: rights[l.GetName()],
		})
	}
	for _, p := range programs {
		v := visitor{
			kind: "program", identity: p.GetIdentity(), name: p.GetCall(), state: "attached", since: p.GetSince().AsTime(), source: p.GetSource(),
			ksock: p.GetKsock(), bound: uint64(p.GetNamesBound()), names: p.GetNames(), owed: uint64(p.GetOwed()), queued: uint64(p.GetQueued()), held: p.GetHeldBytes(),
			rights: p.GetRights(),
		}
		if p.GetDetachedSince() != nil {
			v.state = "detached"
		}
		all = append(all, v)
	}
	return all, nil
}

func (o *options) printVisitors(out io.Writer, all []visitor, now time.Time) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for i := range all {
		v := &all[i]
		var err error
		if o.json {
			err = o.printJSON(out, v.object())
		} else {
			_, err = printable.Fprintf(w, "%s\t%s\t%s\tfor %v\t%s", orDash(v.identity), v.came(), v.state, now.Sub(v.since).Round(time.Second), v.has())
			if v.rights != nil {
				printable.Fprintf(w, "\t%s", v.may())
			}
			fmt.Fprintln(w)
		}
		if err != nil {
			return err
		}
	}
	return w.Flush()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// count returns how many there are of something.
func count(n uint64, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// came says how somebody came.
func (v *visitor) came() string {
	if v.kind == "program" {
		return v.name
	}
	if v.transport == "" {
		return v.name
	}
	return v.name + ", " + v.transport
}

// has says what somebody has, and what is to be done.
func (v *visitor) has() string {
	var facts []string
	add := func(format string, args ...any) { facts = append(facts, fmt.Sprintf(format, args...)) }
	if v.network != 0 {
		add("network %d", v.network)
	}
	if v.version != "" {
		add("limpetd %s", v.version)
	}
	if v.ksock != 0 {
		add("ksock %d", v.ksock)
	}
	for _, role := range []struct {
		says    string
		replier bool
	}{{"replies to", true}, {"listens to", false}} {
		var names []string
		for _, n := range v.names {
			if n.GetIsReplier() == role.replier {
				names = append(names, n.GetName())
			}
		}
		if len(names) > 0 {
			add("%s %s", role.says, strings.Join(names, " "))
		}
	}
	switch {
	case v.kind == "link" && v.bound > 0:
		add("%s of its repliers bound", count(v.bound, "name"))
	case v.bound > uint64(len(v.names)):
		add("and %s more", count(v.bound-uint64(len(v.names)), "name"))
	}
	if v.owed > 0 {
		add("owes %s", count(v.owed, "answer"))
	}
	if v.queued > 0 {
		add("%s queued", count(v.queued, "message"))
	}
	if v.held > 0 {
		add("%s held", count(v.held, "byte"))
	}
	return orDash(strings.Join(facts, ", "))
}

// may says what somebody may do.
func (v *visitor) may() string {
	var may, not []string
	for _, r := range v.rights {
		if r.GetAllowed() {
			may = append(may, r.GetAction())
		} else {
			not = append(not, r.GetAction())
		}
	}
	var said []string
	if may != nil {
		said = append(said, "may "+strings.Join(may, ", "))
	}
	if not != nil {
		said = append(said, "not "+strings.Join(not, ", "))
	}
	return strings.Join(said, "; ")
}

func (v *visitor) object() object {
	names := make([]object, len(v.names))
	for i, n := range v.names {
		names[i] = object{{"name", n.GetName()}, {"is_replier", n.GetIsReplier()}}
	}
	rights := make([]object, len(v.rights))
	for i, r := range v.rights {
		rights[i] = object{{"action", r.GetAction()}, {"allowed", r.GetAllowed()}, {"rule", r.GetRule()}, {"of_link", r.GetOfLink()}}
	}
	return object{
		{"kind", v.kind}, {"identity", v.identity}, {"name", v.name}, {"state", v.state}, {"since", v.since}, {"transport", v.transport}, {"source", v.source},
		{"network_id", v.network}, {"version", v.version}, {"ksock", v.ksock}, {"names_bound", v.bound}, {"names", names}, {"owed", v.owed}, {"queued", v.queued},
		{"held_bytes", v.held}, {"rights", rights},
	}
}
