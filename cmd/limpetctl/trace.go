package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/kbus-limpet/limpet/client"
	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/printable"
	"github.com/kbus-limpet/limpet/kbusdev"
)

// traceKinds are the kinds as they are written.
var traceKinds = map[string]pb.ExplainKind{
	"request":          pb.ExplainKind_EXPLAIN_KIND_REQUEST,
	"announcement":     pb.ExplainKind_EXPLAIN_KIND_ANNOUNCEMENT,
	"stateful-request": pb.ExplainKind_EXPLAIN_KIND_STATEFUL_REQUEST,
}

func (o *options) newTrace() *cobra.Command {
	var d data
	var kind, finalTo string
	var deliver bool
	q := new(pb.ExplainRequest)
	within := 5 * time.Second
	cmd := &cobra.Command{
		Use:   "trace NAME [TEXT...]",
		Short: "Tell what would become of a message, bus by bus, or with --deliver what becomes of it",
		Long: `trace asks the daemon what would become of a message called NAME if it were sent
now, and prints it as a tree: on each bus which rule decides, who is bound to the name
and by which binding, and over which links it goes on, under which id and name; or why
it goes no further. Nothing is sent. Each daemon asks the next over the link between
them; one that cannot be asked is named as the end of what is known. A daemon whose
rules do not let the one before administer it tells no more than sending would.

With --deliver the message is sent too, with the data that is given, and what has
become of it stands beside what was foretold. Then the exit code is 1 if it differs.`,
		Example: "  limpetctl trace '$.Clock.Now'\n  limpetctl trace '$.Weather.Rain' --kind announcement --identity uid:1000\n  limpetctl trace '$.Clock.Now' --from 'connect hostB:7000'\n  limpetctl trace '$.Clock.Now' --deliver",
		Args:    args(cobra.MinimumNArgs(1)), ValidArgsFunction: o.completeNames(kbusdev.Replier),
		RunE: func(cmd *cobra.Command, words []string) (err error) {
			q.Name, q.Within = words[0], durationpb.New(within)
			if q.GetTo() != 0 || finalTo != "" {
				kind = "stateful-request"
			}
			var known bool
			if q.Kind, known = traceKinds[kind]; !known {
				return &usageError{fmt.Errorf("--kind %q is not request, announcement or stateful-request", kind)}
			}
			if finalTo != "" {
				a, err := parseAddress(finalTo)
				if err != nil {
					return &usageError{err}
				}
				q.FinalToNetwork, q.FinalToLocal = a.Network, uint32(a.Local)
			}
			content, err := d.read(cmd.Context(), words[1:])
			switch {
			case err != nil:
				return err
			case !deliver && len(content) > 0:
				return &usageError{errors.New("there is data, but nothing is sent: say --deliver, or leave it out")}
			}
			return o.withBus(func(bus *client.Bus) error {
				ctx, cancel := o.limited(cmd.Context())
				defer cancel()
				r, err := bus.Explain(ctx, q)
				if err != nil {
					return err
				}
				t := &traced{foretold: r}
				if deliver {
					t.deliver(ctx, bus, q, content)
				}
				return t.print(o, cmd)
			})
		},
	}
	d.addFlags(cmd)
	f := cmd.Flags()
	f.StringVar(&kind, "kind", "request", "the `KIND` of message: request, announcement or stateful-request")
	f.StringVar(&q.Link, "from", "", "it comes from the peer of the `LINK`, by the name that limpetctl links shows (default: from a program of this bus)")
	f.Uint32Var(&q.Network, "network", 0, "with --from, it was first sent on the network with this `ID`, behind the peer (default the peer's)")
	f.StringVar(&q.Identity, "identity", "", "the program that sends it is `WHO`, as in limpetctl rules explain (default you)")
	f.Uint32Var(&q.To, "to", 0, "stateful: the `KSOCK` that must reply, the from of the reply before")
	f.StringVar(&finalTo, "final-to", "", "stateful across limpets: the `NETWORK:KSOCK` that must reply, the orig_from of the reply before")
	f.DurationVar(&within, "within", within, "wait for the other daemons no longer than this `DURATION`, at most 30s")
	f.BoolVar(&deliver, "deliver", false, "send it, too")
	cmd.MarkFlagsMutuallyExclusive("deliver", "from")
	cmd.MarkFlagsMutuallyExclusive("deliver", "identity")
	cmd.MarkFlagsMutuallyExclusive("from", "identity")
	return cmd
}

// traced is what was foretold of a message, and what has become of it.
type traced struct {
	foretold *pb.ExplainResponse
	sent     *delivered // nil if it was not sent
}

// delivered is what has become of a message.
type delivered struct {
	id      kbusdev.MsgID // zero if that is not known
	elapsed time.Duration
	by      kbusdev.Address // of the replier; zero if none has answered
	ksock   kbusdev.KsockID // that the reply came from on this bus
	answer  string          // the name of the reply if no replier has answered
	errno   string          // if the bus has refused it
	err     error           // if nothing is known
}

// deliver sends the message.
func (t *traced) deliver(ctx context.Context, bus *client.Bus, q *pb.ExplainRequest, content []byte) {
	m := &kbusdev.Message{
		Name: q.GetName(), Data: content, To: kbusdev.KsockID(q.GetTo()),
		FinalTo: kbusdev.Address{Network: q.GetFinalToNetwork(), Local: kbusdev.KsockID(q.GetFinalToLocal())},
	}
	if m.FinalTo.Local != 0 && m.To == 0 {
		m.To = kbusdev.KsockID(t.foretold.GetHop().GetMessage().GetTo())
	}
	s := new(delivered)
	t.sent = s
	began := time.Now()
	if q.GetKind() == pb.ExplainKind_EXPLAIN_KIND_ANNOUNCEMENT {
		s.id, s.err = bus.Send(ctx, m)
		s.elapsed = time.Since(began)
		if errno, refused := kbusdev.ErrnoOf(s.err); refused {
			s.errno, s.err = kbusdev.ErrnoName(errno), nil
		}
		return
	}
	reply, err := bus.Call(ctx, m)
	s.elapsed = time.Since(began)
	var none *client.NoAnswerError
	switch {
	case err == nil:
		s.by = reply.OrigFrom
		if s.by.IsZero() {
			s.by = kbusdev.Address{Network: t.foretold.GetHop().GetNetwork(), Local: reply.From}
		}
	case errors.As(err, &none) && none.Reply != nil:
		reply, s.answer = none.Reply, none.Reply.Name
	case errors.As(err, &none) && none.Reason != "":
		s.errno = none.Reason
	default:
		s.err = err
	}
	if reply != nil {
		s.id, s.ksock = reply.InReplyTo, reply.From
	}
}

// link returns the link over which the reply came, "" if it is not known, or from this bus.
func (t *traced) link() string {
	if r := t.foretold.GetHop().GetReplier(); r != nil && kbusdev.KsockID(r.GetKsock()) == t.sent.ksock {
		return r.GetLink()
	}
	return ""
}

// way returns the networks that the request and its reply have crossed, as far as is known: a
// replier's own network is told by the reply, those between by what was foretold.
func (t *traced) way() []uint32 {
	if t.sent.ksock == 0 {
		return []uint32{}
	}
	h := t.foretold.GetHop()
	way := []uint32{h.GetNetwork()}
	if t.link() != "" {
		for next := h; next != nil; {
			h, next = next, nil
			for _, b := range h.GetBranches() {
				if b.GetRequest() {
					way, next = append(way, b.GetNetwork()), b.GetNext()
				}
			}
		}
	}
	if by := t.sent.by.Network; by != 0 && way[len(way)-1] != by {
		way = append(way, by)
	}
	return way
}

// verdict compares what has become of it with what was foretold: "as foretold", "not as
// foretold", or "not foretold" if nobody could tell.
func (t *traced) verdict() string {
	s, o := t.sent, t.foretold.GetOutcome()
	by := kbusdev.Address{Network: o.GetBy().GetNetwork(), Local: kbusdev.KsockID(o.GetBy().GetKsock())}
	switch {
	case s.err != nil:
		return "not known"
	case by == s.by && o.GetAnswer() == s.answer && o.GetErrno() == s.errno:
		if o.GetUnseen() != 0 && by.IsZero() && s.answer == "" && s.errno == "" && s.ksock != 0 {
			return "not foretold"
		}
		return "as foretold"
	case o.GetUnseen() != 0 && by.IsZero() && o.GetAnswer() == "" && o.GetErrno() == "":
		return "not foretold"
	default:
		return "not as foretold"
	}
}

// print prints it, and returns what the command ends with.
func (t *traced) print(o *options, cmd *cobra.Command) error {
	out := cmd.OutOrStdout()
	if o.json {
		fields := append(objectOf(t.foretold.ProtoReflect()), member{"delivered", t.object()})
		if err := o.printJSON(out, fields); err != nil {
			return err
		}
	} else {
		w := &tree{out: out}
		printable.Fprintf(out, "%s\n", foretoldLine(t.foretold))
		w.hop(t.foretold.GetHop(), "", "")
		if t.sent != nil {
			printable.Fprintf(out, "%s: %s\n", t.sentLine(), t.verdict())
		}
	}
	if t.sent == nil {
		return nil
	}
	if t.sent.err != nil {
		return t.sent.err
	}
	if t.verdict() == "not as foretold" {
		return errors.New("what has become of the message is not what was foretold; perhaps something has changed meanwhile")
	}
	return nil
}

// object returns what has become of the message for --json; nil if it was not sent.
func (t *traced) object() any {
	s := t.sent
	if s == nil {
		return nil
	}
	var by any
	if !s.by.IsZero() {
		by = object{{"network", s.by.Network}, {"ksock", s.by.Local}}
	}
	why := ""
	if s.err != nil {
		why = s.err.Error()
	}
	return object{{"id", s.id.String()}, {"elapsed_seconds", s.elapsed.Seconds()}, {"by", by}, {"link", t.link()}, {"networks", t.way()}, {"answer", s.answer}, {"errno", s.errno}, {"error", why}, {"verdict", t.verdict()}}
}

func (t *traced) sentLine() string {
	s := t.sent
	took := s.elapsed.Round(10 * time.Microsecond)
	switch {
	case s.err != nil:
		return fmt.Sprintf("sent, and after %v %v", took, s.err)
	case s.errno != "":
		return fmt.Sprintf("sent, and refused with %s after %v", s.errno, took)
	case s.ksock == 0:
		return fmt.Sprintf("sent as %s in %v; who has heard it is not told", s.id, took)
	}
	way := "on this bus"
	if l := t.link(); l != "" {
		way = "over link " + l
		if networks := t.way(); len(networks) > 2 {
			way += fmt.Sprintf(" and networks %v", networks[1:])
		}
	}
	if s.answer != "" {
		return fmt.Sprintf("sent as %s, and answered %s after %v, %s", s.id, s.answer, took, way)
	}
	return fmt.Sprintf("sent as %s, and answered by ksock %d of network %d after %v, %s", s.id, s.by.Local, s.by.Network, took, way)
}
