package explain_test

import (
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/explain"
)

var now = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// tree returns a hop with branches, and what is to be asked about them.
func tree(links ...explain.Link) (*explain.Hop, []explain.Ask) {
	h := &explain.Hop{Network: 1, Branches: make([]explain.Branch, len(links))}
	var asks []explain.Ask
	for i, l := range links {
		asks = append(asks, explain.Ask{Link: l, Branch: &h.Branches[i]})
	}
	return h, asks
}

func question(id uint64) *explain.Question {
	return &explain.Question{ID: id, Bytes: 10_000, Within: 8 * time.Second}
}

// An answer goes to who has asked when all have answered, each in its place.
func TestAnswersGetTheirPlaces(t *testing.T) {
	d := explain.NewDesk()
	root, asks := tree(5, 6)
	out := d.Open(nil, now, 3, question(77), root, asks)
	if len(out) != 2 || out[0].Link != 5 || out[1].Link != 6 || out[0].Question.Within != 7*time.Second || out[0].Question.ID == out[1].Question.ID {
		t.Fatalf("asked are %+v", out)
	}
	second := &explain.Hop{Network: 6}
	if got := d.Take(nil, now, 5, out[1].Question.ID, second); len(got) != 0 || root.Branches[1].Next != nil {
		t.Error("the answer of another is taken")
	}
	if got := d.Take(nil, now.Add(time.Second), 6, out[1].Question.ID, second); len(got) != 0 || root.Branches[1].Next != second || root.Branches[1].Took != time.Second {
		t.Errorf("one answer: %+v, %+v", got, root.Branches[1])
	}
	got := d.Take(nil, now, 5, out[0].Question.ID, nil)
	if len(got) != 1 || got[0].Link != 3 || got[0].ID != 77 || got[0].Answer != root || root.Branches[0].End != explain.Busy {
		t.Errorf("both answers: %+v", got)
	}
	if got := d.Take(nil, now, 5, out[0].Question.ID, second); len(got) != 0 || !d.Next().IsZero() {
		t.Errorf("after the answer: %+v", got)
	}
	root, _ = tree()
	if got := d.Open(nil, now, 0, question(5), root, nil); len(got) != 1 || got[0].Link != 0 || got[0].ID != 5 {
		t.Errorf("nobody need be asked: %+v", got)
	}
}

// Whoever has not answered in time, or with too much, or whose link is gone, is named so.
func TestWhatDoesNotCome(t *testing.T) {
	d := explain.NewDesk()
	root, asks := tree(5, 6, 7, 8)
	q := question(1)
	q.Bytes = uint32(root.Size()) + 500
	out := d.Open(nil, now, 0, q, root, asks)
	if d.Next() != now.Add(8*time.Second) || len(d.Tick(nil, now.Add(7*time.Second))) != 0 {
		t.Error("the time is over too soon")
	}
	for i, n := range []int{1, 500} {
		d.Take(nil, now, asks[i].Link, out[i].Question.ID, &explain.Hop{Network: 5, Claims: make([]explain.Claim, n/16)})
	}
	if got := d.Gone(nil, 7); len(got) != 0 {
		t.Errorf("a link is gone: %+v", got)
	}
	got := d.Tick(nil, now.Add(8*time.Second))
	if len(got) != 1 || got[0].Answer != root {
		t.Fatalf("at the end: %+v", got)
	}
	for i, want := range []explain.End{explain.None, explain.TooLarge, explain.NotLinked, explain.NoAnswer} {
		if root.Branches[i].End != want {
			t.Errorf("branch %d ends with %v, want %v", i, root.Branches[i].End, want)
		}
	}
	if len(d.Take(nil, now, 8, out[3].Question.ID, &explain.Hop{})) != 0 || root.Branches[3].Next != nil {
		t.Error("a late answer is taken")
	}
}

// What is open is bounded, for each and for all, and what is asked in a time.
func TestQuestionsAreBounded(t *testing.T) {
	d := explain.NewDesk()
	admitted := 0
	for l := range explain.Link(100) {
		for range 2 * explain.MaxOpen {
			if !d.Admit(now, l) {
				break
			}
			root, asks := tree(explain.Link(1000 + admitted)) // who has not been asked yet
			d.Open(nil, now, l, question(1), root, asks)
			if admitted++; l == 50 {
				t.Fatal("there is no bound over all")
			}
		}
		if admitted > explain.MaxOpen*int(l+1) || l == 0 && admitted != explain.MaxOpen {
			t.Fatalf("%d are open of %d", admitted, l)
		}
	}
	if admitted != explain.MaxOpenInAll {
		t.Errorf("%d are open", admitted)
	}
	for l := range explain.Link(100) {
		d.Gone(nil, l)
	}
	asked, busy := 0, 0
	for range 200 {
		root, asks := tree(7)
		d.Open(nil, now, 9, question(1), root, asks)
		d.Gone(nil, 9)
		if asked++; root.Branches[0].End == explain.Busy {
			busy++
		}
	}
	root, asks := tree(7)
	if d.Open(nil, now, 0, question(1), root, asks); busy < 150 || root.Branches[0].End == explain.Busy {
		t.Errorf("of %d questions of peers %d are not asked on, of operators %v", asked, busy, root.Branches[0].End)
	}
	root, asks = tree(7)
	if d.Open(nil, now.Add(time.Minute), 9, question(1), root, asks); root.Branches[0].End == explain.Busy {
		t.Error("nothing is asked later either")
	}
	d.Cancel(1)
}

// Questions that are admitted at once, before any is opened, are bounded too; and links that
// are gone leave nothing behind.
func TestQuestionsAtOnceAreBounded(t *testing.T) {
	d := explain.NewDesk()
	for range 2 * explain.MaxOpen {
		if !d.Admit(now, 0) {
			t.Fatal("nothing is open yet")
		}
	}
	for i := range uint64(2 * explain.MaxOpen) {
		root, asks := tree(explain.Link(100 + i))
		got := d.Open(nil, now, 0, question(i+1), root, asks)
		if many := len(got) == 1 && got[0].Link == 0 && got[0].ID == i+1 && got[0].Question == nil && got[0].Answer == nil; many != (i >= explain.MaxOpen) || len(got) != 1 {
			t.Fatalf("question %d: %+v", i, got)
		}
	}
	for l := range explain.Link(20_000) { // each comes, asks, and is gone before its question is looked into
		at := now.Add(time.Duration(l) * time.Millisecond)
		d.Gone(nil, 1000+l)
		d.Admit(at, 1000+l)
	}
	if n := d.Links(); n > 5000 {
		t.Errorf("%d links are remembered", n)
	}
}

// Outcomes of trees.
func TestOutcome(t *testing.T) {
	local := explain.Hop{Network: 2, Replier: &explain.Recipient{Ksock: 4}, Listeners: []explain.Recipient{{Ksock: 9}, {Ksock: 8, Denied: &explain.Judgement{}}}}
	for _, c := range []struct {
		what string
		h    explain.Hop
		want explain.Outcome
	}{
		{"here", local, explain.Outcome{By: address(2, 4), Heard: true}},
		{"refused", explain.Hop{Stop: &explain.Stop{Errno: "EADDRNOTAVAIL"}}, explain.Outcome{Errno: "EADDRNOTAVAIL"}},
		{"there", explain.Hop{Network: 1, Replier: &explain.Recipient{Ksock: 1, Link: "x"}, Branches: []explain.Branch{{Request: true, Next: &local}}}, explain.Outcome{By: address(2, 4), Heard: true}},
		{"stopped on the way", explain.Hop{Replier: &explain.Recipient{Link: "x"}, Branches: []explain.Branch{{Request: true, Stop: &explain.Stop{Answer: "$.No"}}}}, explain.Outcome{Answer: "$.No"}},
		{"out of sight", explain.Hop{Replier: &explain.Recipient{Link: "x"}, Branches: []explain.Branch{{Request: true, End: explain.Classic}}}, explain.Outcome{Unseen: explain.Classic}},
		{"copies out of sight", explain.Hop{Network: 2, Replier: &explain.Recipient{Ksock: 4}, Branches: []explain.Branch{{End: explain.Classic}}}, explain.Outcome{By: address(2, 4)}},
		{"an announcement, in part", explain.Hop{Network: 2, Branches: []explain.Branch{{Next: &local}, {End: explain.OldPeer}, {End: explain.NotLinked}}}, explain.Outcome{Heard: true, Unseen: explain.OldPeer}},
		{"told", explain.Hop{Told: &explain.Outcome{Heard: true}}, explain.Outcome{Heard: true}},
	} {
		if got := c.h.Outcome(); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.what, got, c.want)
		}
	}
	if got := local.Hearers(); len(got) != 1 || got[0] != address(2, 9) {
		t.Errorf("heard by %v", got)
	}
	if explain.Hidden.String() != "hidden" || explain.End(200).String() != "unknown" {
		t.Error("ends have wrong names")
	}
}

func address(network uint32, k kbusdev.KsockID) kbusdev.Address {
	return kbusdev.Address{Network: network, Local: k}
}
