package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/printable"
	"github.com/kbus-limpet/limpet/kbusdev"
)

// A tapPrinter prints what has been shown, for people or programs.
type tapPrinter struct {
	o   *options
	out io.Writer
}

func (p *tapPrinter) take(r *pb.TapResponse) error {
	for _, rec := range r.GetRecords() {
		var err error
		if p.o.json {
			err = p.o.printJSON(p.out, tapObject(rec))
		} else {
			_, err = printable.Fprintf(p.out, "%s\n", tapLine(rec))
		}
		if err != nil {
			return err
		}
	}
	l := r.GetLost()
	switch {
	case l == nil:
		return nil
	case p.o.json:
		return p.o.printJSON(p.out, object{{"event", "not_shown"}, {"over_rate", l.GetOverRate()}, {"no_room", l.GetNoRoom()}})
	default:
		_, err := printable.Fprintf(p.out, "not shown so far: %s\n", lostWords(l))
		return err
	}
}

// tapWord returns the name of an enum's value in lower case.
func tapWord(name, prefix string) string {
	return strings.ToLower(strings.TrimPrefix(name, prefix))
}

func verdictOf(r *pb.TapRecord) string { return tapWord(r.GetVerdict().String(), "TAP_VERDICT_") }

func kindOf(r *pb.TapRecord) string {
	return strings.ReplaceAll(tapWord(r.GetKind().String(), "TAP_KIND_"), "_", " ")
}

// A side is a message as one side of a link sees it, in words; empty is what does not apply.
type side struct{ name, id, inReplyTo, from, to, origFrom, finalTo, flags string }

func sideOf(m *pb.Message) side {
	if m == nil {
		return side{}
	}
	s := side{name: m.GetName(), id: kbusdev.MsgID{Network: m.GetIdNetwork(), Serial: m.GetIdSerial()}.String(), from: strconv.FormatUint(uint64(m.GetFrom()), 10)}
	if in := (kbusdev.MsgID{Network: m.GetInReplyToNetwork(), Serial: m.GetInReplyToSerial()}); !in.IsZero() {
		s.inReplyTo = in.String()
	}
	if m.GetTo() != 0 {
		s.to = strconv.FormatUint(uint64(m.GetTo()), 10)
	}
	if from := (kbusdev.Address{Network: m.GetOrigFromNetwork(), Local: kbusdev.KsockID(m.GetOrigFromLocal())}); !from.IsZero() {
		s.origFrom = from.String()
	}
	if to := (kbusdev.Address{Network: m.GetFinalToNetwork(), Local: kbusdev.KsockID(m.GetFinalToLocal())}); !to.IsZero() {
		s.finalTo = to.String()
	}
	if f := kbusdev.Flags(m.GetFlags()); f != 0 {
		s.flags = f.String()
	}
	return s
}

// fields returns what there is of a side, with its labels, but for the name.
func (s *side) fields() [7]struct{ label, value string } {
	return [...]struct{ label, value string }{
		{"id", s.id}, {"in_reply_to", s.inReplyTo}, {"from", s.from}, {"to", s.to}, {"orig_from", s.origFrom}, {"final_to", s.finalTo}, {"flags", s.flags},
	}
}

// tapLine returns a record on one line: of what was given only what is different.
func tapLine(r *pb.TapRecord) string {
	var b strings.Builder
	way := ">"
	if r.GetDirection() == pb.TapDirection_TAP_DIRECTION_FROM_PEER {
		way = "<"
	}
	fmt.Fprintf(&b, "%s %s %s %s", r.GetTime().AsTime().Local().Format("15:04:05.000"), r.GetLink(), way, verdictOf(r))
	if r.GetReason() != "" {
		fmt.Fprintf(&b, " (%s)", r.GetReason())
	}
	fmt.Fprintf(&b, " %s", kindOf(r))
	if r.GetOwn() {
		b.WriteString(" made here")
	}
	read, given := sideOf(r.GetRead()), sideOf(r.GetGiven())
	first, second := read, given
	if r.GetRead() == nil {
		first, second = given, side{}
	}
	fmt.Fprintf(&b, " %s", first.name)
	for _, f := range first.fields() {
		if f.value != "" {
			fmt.Fprintf(&b, " %s %s", f.label, f.value)
		}
	}
	if r.GetRead() != nil && r.GetGiven() != nil && second != first {
		b.WriteString(" =>")
		if second.name != first.name {
			b.WriteString(" " + second.name)
		}
		was := first.fields()
		for i, f := range second.fields() {
			if f.value != was[i].value {
				fmt.Fprintf(&b, " %s %s", f.label, orNone(f.value))
			}
		}
	}
	if e := bindEventOf(r); e != nil {
		did := "unbound"
		if e.GetIsBind() {
			did = "bound"
		}
		fmt.Fprintf(&b, ": %s %s by %d", e.GetName(), did, e.GetBinder())
		return b.String()
	}
	fmt.Fprintf(&b, ", %d bytes", r.GetSize())
	switch data := r.GetData(); {
	case r.GetDataWithheld():
		b.WriteString(", withheld by the rules")
	case len(data) == 0:
		return b.String()
	case utf8.Valid(data):
		fmt.Fprintf(&b, ": %q", data)
	default:
		fmt.Fprintf(&b, ": hex %x", data)
	}
	if n := len(r.GetData()); n > 0 && n < int(r.GetSize()) {
		b.WriteString("...")
	}
	return b.String()
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func bindEventOf(r *pb.TapRecord) *pb.BindEvent {
	if e := r.GetRead().GetBindEvent(); e != nil {
		return e
	}
	return r.GetGiven().GetBindEvent()
}

// tapObject returns a record as JSON.
func tapObject(r *pb.TapRecord) object {
	sideObject := func(m *pb.Message) any {
		if m == nil {
			return nil
		}
		s := sideOf(m)
		out := object{{"name", s.name}, {"id", s.id}, {"from", m.GetFrom()}}
		for _, f := range []member{{"in_reply_to", s.inReplyTo}, {"orig_from", s.origFrom}, {"final_to", s.finalTo}, {"flags", s.flags}} {
			if f.value != "" {
				out = append(out, f)
			}
		}
		if m.GetTo() != 0 {
			out = append(out, member{"to", m.GetTo()})
		}
		return out
	}
	out := object{
		{"event", "message"}, {"time", r.GetTime().AsTime()}, {"link", r.GetLink()}, {"direction", tapWord(r.GetDirection().String(), "TAP_DIRECTION_")},
		{"verdict", verdictOf(r)}, {"reason", r.GetReason()}, {"loss", r.GetLoss()}, {"own", r.GetOwn()}, {"kind", kindOf(r)},
		{"read", sideObject(r.GetRead())}, {"given", sideObject(r.GetGiven())}, {"size", r.GetSize()}, {"data_withheld", r.GetDataWithheld()},
	}
	if e := bindEventOf(r); e != nil {
		out = append(out, member{"bind_event", bindEvent{e.GetIsBind(), kbusdev.KsockID(e.GetBinder()), e.GetName()}})
	}
	if data := r.GetData(); len(data) > 0 {
		out = append(out, member{"data", data})
		if utf8.Valid(data) {
			out = append(out, member{"text", string(data)})
		}
	}
	return out
}
