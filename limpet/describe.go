package limpet

import (
	"fmt"
	"strings"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/link"
	"github.com/kbus-limpet/limpet/limpet/tape"
	"github.com/kbus-limpet/limpet/limpet/translate"
)

var eventNames = [...]string{
	"none", "Attach", "Detach", "End", "Adopt", "Drain", "Stuck", "Tick", "WantsSnapshot", "SnapshotAsked", "QueueFull", "FromBus", "Dos", "Outcomes",
	"NextFrame", "Flushed", "TakeFrame", "Control", "Listening", "Interest", "WantChanged", "OweTopology", "TopologyDue", "TopologyTold", "SetRules", "Restarted", "Closed", "Say",
}

// what returns what an event has brought, in words. Names in it are a peer's or a program's.
func (d *decoded) what() []string {
	ev := &d.in
	name := eventNames[ev.kind]
	switch ev.kind {
	case evAttach:
		return []string{fmt.Sprintf("%s: the peer expects %d", name, ev.number)}
	case evDetach:
		return []string{fmt.Sprintf("%s: %v", name, ev.err)}
	case evEnd:
		return []string{fmt.Sprintf("%s: %v, announcements are kept: %t", name, ev.err, ev.truth)}
	case evAdopt:
		lines := []string{fmt.Sprintf("%s: %d messages", name, len(ev.carried))}
		for i := range ev.carried {
			lines = append(lines, "  "+describeMessage(&ev.carried[i].Msg))
		}
		return lines
	case evDrain:
		return []string{fmt.Sprintf("%s: %s", name, ev.name)}
	case evSnapshotAsked:
		return []string{fmt.Sprintf("%s: %d are queued, cut %t", name, ev.number, ev.truth)}
	case evQueueFull:
		return []string{fmt.Sprintf("%s: %t", name, ev.truth)}
	case evFromBus:
		lines := []string{fmt.Sprintf("%s: %d messages", name, len(ev.msgs))}
		for _, m := range ev.msgs {
			lines = append(lines, "  "+describeMessage(m))
		}
		return lines
	case evOutcomes:
		lines := []string{fmt.Sprintf("%s: %d things were done", name, len(ev.dos))}
		for i := range ev.dos {
			if errno := ev.dos[i].Errno; errno != 0 {
				lines = append(lines, fmt.Sprintf("  number %d: %s", i+1, kbusdev.ErrnoName(errno)))
			}
		}
		return lines
	case evTakeFrame, evControl, evSay:
		lines := describeFrame(ev.frame)
		lines[0] = name + ": " + lines[0]
		return lines
	case evInterest:
		return []string{fmt.Sprintf("%s: %s", name, strings.Join(ev.names, " "))}
	case evWantChanged:
		return []string{fmt.Sprintf("%s: %s %t", name, ev.name, ev.truth)}
	case evSetRules:
		return []string{fmt.Sprintf("%s: %s", name, marshal(ev.policy.Rules()))}
	case evRestarted:
		return []string{fmt.Sprintf("%s: networks %v", name, ev.networks)}
	default:
		return []string{name}
	}
}

// came returns what has come of it, in words.
func (d *decoded) came() (lines []string) {
	for i := range d.notes {
		lines = append(lines, d.notes[i].String())
	}
	ev := &d.out
	switch ev.kind {
	case evAttach, evControl:
		lines = append(lines, fmt.Sprintf("returns %v", ev.err))
	case evStuck, evWantsSnapshot, evQueueFull, evFromBus, evOweTopology, evTopologyDue:
		lines = append(lines, fmt.Sprintf("returns %t", ev.truth))
	case evDos:
		lines = append(lines, fmt.Sprintf("%d things to do on the bus", len(ev.dos)))
		for i := range ev.dos {
			lines = append(lines, describeEffect(&ev.dos[i].Effect)+ofMessage(ev.dos[i].seq))
		}
	case evNextFrame:
		lines = append(lines, describeFrame(ev.frame)...)
		lines = append(lines, fmt.Sprintf("again %s, over %t", describeTime(ev.again), ev.truth))
	case evTakeFrame:
		lines = append(lines, fmt.Sprintf("returns %v", ev.err))
		if ev.frame != nil {
			lines = append(lines, describeFrame(ev.frame)...)
		}
	case evListening:
		for _, l := range ev.listen {
			lines = append(lines, fmt.Sprintf("listen to %s: %t", l.Name, l.Bound))
		}
	case evSetRules:
		if ev.interest != nil {
			lines = append(lines, describeFrame(ev.interest)...)
		}
	case evClosed:
		c := ev.totals.Counts()
		lines = append(lines, fmt.Sprintf("counts: %+v", c))
	default: // nothing
	}
	return lines
}

func ofMessage(seq uint64) string {
	if seq == 0 {
		return ""
	}
	return fmt.Sprintf(", for message %d of the peer's", seq)
}

func describeTime(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format("15:04:05.000000000")
}

// String says what a note is.
func (n *note) String() string {
	switch n.kind {
	case noteEffect:
		return fmt.Sprintf("rules: %s, %s", n.effect, n.reason)
	case noteClaim:
		return fmt.Sprintf("is the id new on this bus: %t", n.truth)
	case noteRead:
		return fmt.Sprintf("the id with serial %d was read", n.number)
	case noteTake:
		return fmt.Sprintf("is there room for %d names: %t", n.number, n.truth)
	case noteGive:
		return fmt.Sprintf("room for %d names is given back", n.number)
	case noteChanges:
		return fmt.Sprintf("the topology has changed, %d", n.number)
	case noteElsewhere:
		return fmt.Sprintf("is network %d reached elsewhere: %t", n.number, n.truth)
	default:
		return "nothing"
	}
}

func describeEffect(fx *translate.Effect) string {
	s := fx.Kind.String()
	switch fx.Kind {
	case translate.Bind, translate.Unbind:
		s += " " + fx.Name
	case translate.Forward, translate.Bounce, translate.Send:
		s += " " + describeMessage(&fx.Msg)
	case translate.Drop, translate.Snapshot, translate.Stop:
	}
	if fx.Reason != translate.NoReason {
		s += ", " + fx.Reason.String()
	}
	return s
}

// describeMessage is Message.String with what that leaves out. The data that is shown
// stands for what was recorded of it.
func describeMessage(m *kbusdev.Message) string {
	s := m.String()
	if m.Event != nil {
		s += fmt.Sprintf(" event %s %t binder %d", m.Event.Name, m.Event.Bound, m.Event.Binder)
	}
	if !m.Expires.IsZero() {
		s += " expires " + describeTime(m.Expires)
	}
	if len(m.Data) > 0 {
		s += fmt.Sprintf(" sum %04x", tape.Sum(m.Data))
	}
	if m.Trace != nil {
		s += fmt.Sprintf(" trace %x-%x-%d", m.Trace.TraceID, m.Trace.SpanID, m.Trace.Flags)
	}
	return s
}

func describeFrame(f link.Frame) []string {
	switch f := f.(type) {
	case nil:
		return []string{"no frame"}
	case *link.Batch:
		lines := []string{fmt.Sprintf("batch of %d from number %d, acknowledges %d", len(f.Messages), f.First, f.Ack)}
		for i := range f.Messages {
			lines = append(lines, "  "+describeMessage(&f.Messages[i]))
		}
		return lines
	case *link.Error:
		return []string{"error frame: " + f.Error()}
	default:
		kind := strings.ToLower(strings.TrimPrefix(fmt.Sprintf("%T", f), "*link."))
		return []string{strings.TrimSpace(fmt.Sprintf("%s %+v", kind, strings.Trim(fmt.Sprintf("%+v", f), "&{}")))}
	}
}
