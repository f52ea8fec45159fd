package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/printable"
	"github.com/kbus-limpet/limpet/kbusdev"
)

// foretoldLine says what it all amounts to.
func foretoldLine(r *pb.ExplainResponse) string {
	o, m := r.GetOutcome(), r.GetHop().GetMessage()
	what := messageKind(m) + " " + m.GetName()
	request := m.GetFlags()&uint32(kbusdev.WantReply) != 0
	switch by := o.GetBy(); {
	case o.GetErrno() != "":
		return fmt.Sprintf("%s would be refused with %s%s", what, o.GetErrno(), because(r.GetHop().GetStop(), o.GetErrno()))
	case by != nil:
		return fmt.Sprintf("%s would be answered by ksock %d of network %d", what, by.GetKsock(), by.GetNetwork())
	case o.GetAnswer() != "":
		return fmt.Sprintf("%s would be answered %s", what, o.GetAnswer())
	case request && o.GetUnseen() != pb.ExplainEnd_EXPLAIN_END_UNSPECIFIED:
		return fmt.Sprintf("%s: who would answer it is not known: %s", what, ends[o.GetUnseen()])
	case request:
		return what + " would not be answered"
	case len(r.GetHearers()) > 0:
		return fmt.Sprintf("%s would be heard by %s%s", what, programs(len(r.GetHearers())), more(o))
	case o.GetHeard():
		return what + " would be heard"
	case o.GetUnseen() != pb.ExplainEnd_EXPLAIN_END_UNSPECIFIED:
		return fmt.Sprintf("%s: whether it would be heard is not known: %s", what, ends[o.GetUnseen()])
	default:
		return what + " would be heard by nobody"
	}
}

func more(o *pb.ExplainOutcome) string {
	if o.GetUnseen() == pb.ExplainEnd_EXPLAIN_END_UNSPECIFIED {
		return ""
	}
	return ", and perhaps by more: " + ends[o.GetUnseen()]
}

func programs(n int) string {
	if n == 1 {
		return "1 program"
	}
	return fmt.Sprintf("%d programs", n)
}

// ends say why nothing is known.
var ends = map[pb.ExplainEnd]string{
	pb.ExplainEnd_EXPLAIN_END_CLASSIC:    "the peer is an upstream limpet, which cannot be asked",
	pb.ExplainEnd_EXPLAIN_END_OLD_PEER:   "the peer is a limpetd that cannot be asked; a newer one can",
	pb.ExplainEnd_EXPLAIN_END_NOT_LINKED: "the link is not up",
	pb.ExplainEnd_EXPLAIN_END_DETACHED:   "the link has broken, and it would wait for the peer",
	pb.ExplainEnd_EXPLAIN_END_NO_ANSWER:  "the peer has not answered in time",
	pb.ExplainEnd_EXPLAIN_END_BUSY:       "the peer is asked too often; ask again later",
	pb.ExplainEnd_EXPLAIN_END_TOO_FAR:    "that is too many links away",
	pb.ExplainEnd_EXPLAIN_END_TOO_LARGE:  "there was no room for the answer",
	pb.ExplainEnd_EXPLAIN_END_UNLISTED:   "the bus cannot tell what is bound on it",
	pb.ExplainEnd_EXPLAIN_END_HIDDEN:     "the peer tells no more",
}

// reasons say why a message goes no further, where the word is not enough.
var reasons = map[string]string{
	"denied":          "the rules do not allow it",
	"withheld":        "the rules do not let the peer hear it",
	"unwanted":        "nobody there wants to hear it",
	"outside_pattern": "it is not among the names that the link is for",
	"not_renamed":     "its name would be taken for another one there, or be too long",
	"peers_message":   "it comes from there",
	"came_round":      "it would come round to where it was sent",
	"foreign_origin":  "it says that it is from a network that is not behind the peer",
	"stalled":         "the peer takes nothing",
	"link_down":       "the link has been down for too long",
	"link_lost":       "the link is ending",
	"answered_here":   "the limpet answers it itself",
	"terminated":      "it stops the daemon",
}

// because says why it is refused, if there is more to say than the error.
func because(s *pb.ExplainStop, errno string) string {
	switch {
	case s.GetReason() != "refused":
		if r := reasons[s.GetReason()]; r != "" {
			return ": " + r
		}
	case errno == "EADDRNOTAVAIL":
		return ": no replier is bound to it"
	case errno == "EPIPE":
		return ": another replier is bound than it insists on"
	case errno == "EBUSY":
		return ": there is no room in a queue"
	}
	return ""
}

// stopped says why a message goes no further.
func stopped(s *pb.ExplainStop) string {
	why := reasons[s.GetReason()]
	if s.GetReason() == "refused" && s.GetErrno() != "" {
		why = "the bus refuses it with " + s.GetErrno() + because(s, s.GetErrno())
	} else if why == "" {
		why = s.GetReason()
	} else {
		why += " (" + s.GetReason() + ")"
	}
	if s.GetAnswer() != "" {
		why += "; the answer is " + s.GetAnswer()
	}
	return why
}

// header says what a message is.
func header(m *pb.Message) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", messageKind(m), m.GetName())
	fmt.Fprintf(&b, " id [%d:%s]", m.GetIdNetwork(), numberOr(m.GetIdSerial()))
	if m.GetOrigFromNetwork() != 0 {
		fmt.Fprintf(&b, " orig_from {%d:%s}", m.GetOrigFromNetwork(), numberOr(m.GetOrigFromLocal()))
	}
	if m.GetFrom() != 0 {
		fmt.Fprintf(&b, " from %d", m.GetFrom())
	}
	if m.GetTo() != 0 {
		fmt.Fprintf(&b, " to %d", m.GetTo())
	}
	if m.GetFinalToNetwork() != 0 || m.GetFinalToLocal() != 0 {
		fmt.Fprintf(&b, " final_to {%d:%d}", m.GetFinalToNetwork(), m.GetFinalToLocal())
	}
	return b.String()
}

// numberOr returns a number that a message gets when it is sent, "?" if that is not known yet.
func numberOr(n uint32) string {
	if n == 0 {
		return "?"
	}
	return strconv.FormatUint(uint64(n), 10)
}

func messageKind(m *pb.Message) string {
	of := kbusdev.Message{Flags: kbusdev.Flags(m.GetFlags()), To: kbusdev.KsockID(m.GetTo())}
	return of.Kind()
}

func ruleLine(r *pb.ExplainRule) string {
	said := "does not allow it to"
	if r.GetAllowed() {
		said = "allows it to"
	}
	if r.GetRule() == 0 {
		return fmt.Sprintf("to %s: %s", r.GetAction(), r.GetText())
	}
	of := ""
	if r.GetOfLink() {
		of = " of the link"
	}
	return fmt.Sprintf("rule %d%s %s %s: %s", r.GetRule(), of, said, r.GetAction(), r.GetText())
}

// A tree prints an explanation.
type tree struct{ out io.Writer }

// A leaf is a line of it, and what stands below.
type leaf struct {
	line  string
	below func(prefix string)
}

func (w *tree) line(prefix, text string) { printable.Fprintf(w.out, "%s%s\n", prefix, text) }

// hop prints a hop; first stands before its first line, then before the others.
func (w *tree) hop(h *pb.ExplainHop, first, then string) {
	text := fmt.Sprintf("network %d", h.GetNetwork())
	if h.GetMessage() != nil {
		text += ": " + header(h.GetMessage())
	}
	w.line(first, text)
	var all []leaf
	add := func(format string, args ...any) { all = append(all, leaf{line: fmt.Sprintf(format, args...)}) }
	if h.GetRule() != nil {
		add("%s", ruleLine(h.GetRule()))
	}
	if h.GetStop() != nil {
		add("it ends here: %s", stopped(h.GetStop()))
	}
	if t := h.GetTold(); t != nil {
		add("it tells no more than sending would: %s", told(t))
	}
	for _, c := range h.GetClaims() {
		why := "a replier of this bus has it, or it is about to be bound"
		if c.GetDenied() {
			why = "the rules do not let the peer bind it"
		}
		add("link %s says that %s is bound there, but it is not bound here: %s", c.GetLink(), c.GetName(), why)
	}
	if r := h.GetReplier(); r != nil {
		add("replier: %s", recipient(r))
	}
	for _, l := range h.GetListeners() {
		line := "listener: " + recipient(l)
		if l.GetDenied() != nil {
			line += ", but does not hear it: " + ruleLine(l.GetDenied())
		}
		add("%s", line)
	}
	if n := h.GetMoreListeners(); n > 0 {
		add("%d more listeners", n)
	}
	for _, b := range h.GetBranches() {
		all = append(all, w.branch(b))
	}
	if n := h.GetMoreBranches(); n > 0 {
		add("%d more links", n)
	}
	for i, l := range all {
		mark, rest := "├─ ", "│  "
		if i == len(all)-1 {
			mark, rest = "└─ ", "   "
		}
		w.line(then+mark, l.line)
		if l.below != nil {
			l.below(then + rest)
		}
	}
}

func recipient(r *pb.ExplainRecipient) string {
	s := fmt.Sprintf("ksock %d, bound to %s", r.GetKsock(), r.GetBinding())
	if r.GetLink() != "" {
		s += ", for link " + r.GetLink()
	}
	if r.GetNoRoom() {
		s += ", whose queue is full"
	}
	return s
}

func (w *tree) branch(b *pb.ExplainBranch) leaf {
	line := "this bus"
	if b.GetLink() != "" {
		line = "link " + b.GetLink()
	}
	if b.GetNetwork() != 0 && !strings.HasPrefix(b.GetLink(), fmt.Sprintf("network %d", b.GetNetwork())) {
		line += fmt.Sprintf(" to network %d", b.GetNetwork())
	}
	switch {
	case b.GetStop() != nil:
		line += ": not sent: " + stopped(b.GetStop())
	case b.GetMessage() != nil:
		line += ": " + header(b.GetMessage())
	}
	if b.GetRule() != nil {
		line += "; " + ruleLine(b.GetRule())
	}
	if b.GetEnd() != pb.ExplainEnd_EXPLAIN_END_UNSPECIFIED {
		end := ends[b.GetEnd()]
		if end == "" {
			end = b.GetEnd().String()
		}
		line += ": " + end
		if b.GetWhy() != "" {
			line += " (" + b.GetWhy() + ")"
		}
	}
	if b.GetNext() == nil {
		return leaf{line: line}
	}
	line += fmt.Sprintf("; asked in %v", b.GetTook().AsDuration().Round(10*time.Microsecond))
	return leaf{line, func(prefix string) { w.hop(b.GetNext(), prefix+"└─ ", prefix+"   ") }}
}

// told says what a peer tells that tells no more than sending would.
func told(o *pb.ExplainOutcome) string {
	switch {
	case o.GetBy() != nil:
		return fmt.Sprintf("answered by ksock %d of network %d", o.GetBy().GetKsock(), o.GetBy().GetNetwork())
	case o.GetAnswer() != "":
		return "answered " + o.GetAnswer()
	case o.GetHeard():
		return "somebody there, or behind it, wants to hear it"
	case o.GetUnseen() != pb.ExplainEnd_EXPLAIN_END_UNSPECIFIED:
		return "what becomes of it is not told"
	default:
		return "nobody hears it"
	}
}
