package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/printable"
	"github.com/kbus-limpet/limpet/kbusdev"
)

// A topView is what limpetctl top shows: a look, and what has changed since the one before.
type topView struct {
	*topLook
	apart time.Duration // of the two
	links []topLink
	drops []topDrops // most first
}

type topLink struct {
	*pb.LinkStatus
	out, in, lost float64 // messages a second that the peer's bus and ours took, and that were lost
}

type topDrops struct {
	dropKey
	count  uint64
	second float64 // how many a second
}

// newTopView compares two looks.
func newTopView(before, now *topLook) *topView {
	v := &topView{topLook: now, apart: now.at.Sub(before.at)}
	second := func(before, now uint64) float64 {
		if v.apart <= 0 || now < before { // another daemon, for example
			return 0
		}
		return float64(now-before) / v.apart.Seconds()
	}
	was := make(map[string]*pb.LinkStatus)
	for _, l := range before.status.GetLinks() {
		was[l.GetName()] = l
	}
	for _, l := range now.status.GetLinks() {
		b := was[l.GetName()]
		if b == nil {
			b = l
		}
		c, bc := l.GetCounts(), b.GetCounts()
		v.links = append(v.links, topLink{
			LinkStatus: l,
			out:        second(bc.GetFromBusEnded()["delivered"], c.GetFromBusEnded()["delivered"]),
			in:         second(bc.GetFromPeerEnded()["delivered"], c.GetFromPeerEnded()["delivered"]),
			lost:       second(lost(b), lost(l)),
		})
	}
	for k, n := range now.drops {
		v.drops = append(v.drops, topDrops{k, n, second(before.drops[k], n)})
	}
	slices.SortFunc(v.drops, func(a, b topDrops) int {
		return cmp.Or(cmp.Compare(b.count, a.count), cmp.Compare(a.source, b.source), cmp.Compare(a.reason, b.reason))
	})
	return v
}

// topSorts are the orders of links, in that of the key.
var topSorts = []string{"name", "rate", "open", "lost"}

// sortLinks puts the links into an order, those with most first.
func (v *topView) sortLinks(by string) {
	slices.SortStableFunc(v.links, func(a, b topLink) int {
		most := 0
		switch by {
		case "rate":
			most = cmp.Compare(b.out+b.in, a.out+a.in)
		case "open":
			most = cmp.Compare(b.GetCounts().GetOpen()+b.GetCounts().GetAsked(), a.GetCounts().GetOpen()+a.GetCounts().GetAsked())
		case "lost":
			most = cmp.Compare(lost(b.LinkStatus), lost(a.LinkStatus))
		}
		return cmp.Or(most, strings.Compare(a.GetName(), b.GetName()))
	})
}

func (v *topView) up() (n int) {
	for _, l := range v.links {
		if l.GetState() == pb.LinkState_LINK_STATE_UP {
			n++
		}
	}
	return n
}

func (v *topView) dropped() (n uint64) {
	for _, d := range v.drops {
		n += d.count
	}
	return n
}

// A section is a part of the screen: a title over lines, with a tab after each column.
type section struct {
	title string
	lines []string
}

func (s *section) add(format string, args ...any) {
	var b strings.Builder
	printable.Fprintf(&b, format, args...)
	s.lines = append(s.lines, b.String())
}

// sections returns the parts, but for those that have nothing to show.
func (v *topView) sections() []section {
	links := section{title: "LINK\tSTATE\tFOR\tOUT/s\tIN/s\tOPEN\tASKED\tLOST\tLOST/s"}
	for _, l := range v.links {
		links.add("%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d\t%s", l.GetName(), stateOf(l.LinkStatus), short(v.at.Sub(l.GetSince().AsTime())),
			rate(l.out), rate(l.in), l.GetCounts().GetOpen(), l.GetCounts().GetAsked(), lost(l.LinkStatus), rate(l.lost))
	}
	open := section{title: "OPEN REQUEST\tAGE\tSTATE\tASKER\tREPLIER"}
	for _, r := range v.requests.GetRequests() {
		open.add("%s\t%s\t%s\t%s\t%s", r.GetName(), short(r.GetAge().AsDuration()), requestState(r), ksockOf(r.GetAsker(), r.GetAskerLink()), ksockOf(r.GetReplier(), r.GetReplierLink()))
	}
	slow := section{title: "SLOW REPLIER\tWHERE\tREPLIES\tP50\tP99\tMAX\tSUM"}
	for _, r := range v.slow.GetRepliers() {
		slow.add("%s\t%s\t%d\t%s\t%s\t%s\t%s", r.GetName(), ksockOf(r.GetKsock(), r.GetLink()), r.GetCount(),
			short(r.GetP50().AsDuration()), short(r.GetP99().AsDuration()), short(r.GetMax().AsDuration()), short(r.GetSum().AsDuration()))
	}
	drops := section{title: "DROPPED BY\tREASON\tCOUNT\t/s"}
	for _, d := range v.drops {
		drops.add("%s\t%s\t%d\t%s", sourceOf(d.source), d.reason, d.count, rate(d.second))
	}
	return slices.DeleteFunc([]section{links, open, slow, drops}, func(s section) bool { return len(s.lines) == 0 })
}

// lines returns the view for a screen of a width and height in characters; 0 is as much as
// there is.
func (v *topView) lines(width, height int) []string {
	all := v.sections()
	room := fit(all, height-1-2*len(all), height > 0)
	st := v.status
	var summary strings.Builder
	printable.Fprintf(&summary, "%s  network %d: %d of %d links up, %d requests open, %d dropped (limpetd %s, bus %s)",
		v.at.Format("15:04:05"), st.GetNetworkId(), v.up(), len(v.links), v.requests.GetOpen(), v.dropped(), st.GetVersion(), st.GetBus())
	out := []string{summary.String()}
	for i, s := range all {
		out = append(out, "")
		out = append(out, table(append([]string{s.title}, s.lines[:room[i]]...))...)
	}
	if height > 0 && len(out) > height {
		out = out[:height]
	}
	for i := range out {
		out[i] = cut(out[i], width)
	}
	return out
}

// fit returns how many lines each section gets of so many: in turns, one each.
func fit(all []section, room int, bounded bool) []int {
	given := make([]int, len(all))
	for more := true; more; {
		more = false
		for i := range all {
			if given[i] < len(all[i].lines) && (!bounded || room > 0) {
				given[i]++
				room--
				more = true
			}
		}
	}
	return given
}

// table aligns the columns.
func table(lines []string) []string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	_, _ = io.WriteString(w, strings.Join(lines, "\n"))
	_ = w.Flush()
	return strings.Split(b.String(), "\n")
}

// cut returns a line, or as much of it as fits.
func cut(line string, width int) string {
	if width > 0 && utf8.RuneCountInString(line) > width {
		line = string([]rune(line)[:width])
	}
	return strings.TrimRight(line, " ")
}

// ksockOf says where a Ksock is.
func ksockOf(ksock uint32, link string) string {
	switch {
	case link != "":
		return link
	case ksock == 0:
		return "?"
	default:
		return fmt.Sprintf("ksock %d", ksock)
	}
}

func requestState(r *pb.OpenRequest) string {
	if r.GetState() == pb.OpenRequestState_OPEN_REQUEST_STATE_UNSPECIFIED {
		return "unknown"
	}
	return strings.ToLower(strings.TrimPrefix(r.GetState().String(), "OPEN_REQUEST_STATE_"))
}

// rate returns a rate in few characters.
func rate(x float64) string {
	switch {
	case x == 0:
		return "0"
	case x < 9.95:
		return fmt.Sprintf("%.1f", x)
	default:
		return fmt.Sprintf("%.0f", x)
	}
}

// short returns a duration in few characters.
func short(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return fmt.Sprintf("%dµs", max(d, 0).Microseconds())
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Truncate(100*time.Millisecond).Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%dd", int(d.Hours())/24)
	}
}

// object returns the view for scripts.
func (v *topView) object() object {
	links, open, slow, drops := []object{}, []object{}, []object{}, []object{}
	for _, l := range v.links {
		links = append(links, object{
			{"name", l.GetName()}, {"state", stateOf(l.LinkStatus)}, {"peer_network_id", l.GetPeerNetworkId()}, {"since", l.GetSince().AsTime()},
			{"out_per_second", l.out}, {"in_per_second", l.in}, {"open", l.GetCounts().GetOpen()}, {"asked", l.GetCounts().GetAsked()},
			{"lost", lost(l.LinkStatus)}, {"lost_per_second", l.lost},
		})
	}
	for _, r := range v.requests.GetRequests() {
		open = append(open, object{
			{"name", r.GetName()}, {"id", kbusdev.MsgID{Network: r.GetIdNetwork(), Serial: r.GetIdSerial()}.String()}, {"age_seconds", r.GetAge().AsDuration().Seconds()}, {"state", requestState(r)},
			{"asker", r.GetAsker()}, {"asker_link", r.GetAskerLink()}, {"replier", r.GetReplier()}, {"replier_link", r.GetReplierLink()},
		})
	}
	for _, r := range v.slow.GetRepliers() {
		slow = append(slow, object{
			{"name", r.GetName()}, {"link", r.GetLink()}, {"ksock", r.GetKsock()}, {"count", r.GetCount()}, {"sum_seconds", r.GetSum().AsDuration().Seconds()},
			{"p50_seconds", r.GetP50().AsDuration().Seconds()}, {"p99_seconds", r.GetP99().AsDuration().Seconds()}, {"max_seconds", r.GetMax().AsDuration().Seconds()}, {"missing_seconds", r.GetMissing().AsDuration().Seconds()},
		})
	}
	for _, d := range v.drops {
		drops = append(drops, object{{"source", sourceOf(d.source)}, {"reason", d.reason}, {"count", d.count}, {"per_second", d.second}})
	}
	st := v.status
	return object{
		{"time", v.at.UTC()}, {"apart_seconds", v.apart.Seconds()}, {"version", st.GetVersion()}, {"bus", st.GetBus()}, {"network_id", st.GetNetworkId()},
		{"links_up", v.up()}, {"open_requests", v.requests.GetOpen()}, {"dropped", v.dropped()},
		{"links", links}, {"oldest_requests", open}, {"slow_since", v.slow.GetSince().AsTime()}, {"slow_repliers", slow}, {"drops", drops},
	}
}
