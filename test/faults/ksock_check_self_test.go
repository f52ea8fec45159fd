package faults

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// soundKsocks gives a trace in which every promise is kept. On daemon 0 talker t0 posts 1 to
// 6, of which 4 has ALL_OR_WAIT and 5, with ALL_OR_FAIL, is refused; it sends request 7 and
// posts request 8, and replier r0 answers both. Listener l0 hears it beside, l1 on daemon 1.
func soundKsocks() *ksockTrace {
	tr := newKsockTrace()
	tr.homes, tr.grace = 2, longGrace
	tr.briefs = map[string]brief{"l0": {Queue: queueLimit}, "l1": {Queue: queueLimit}, "r0": {Queue: roomyQueue}, "t0": {Queue: roomyQueue}}
	tr.homeOf = map[string]int{"l0": 0, "l1": 1, "r0": 0, "t0": 0}
	for i, name := range []string{"l0", "l1", "r0", "t0"} {
		d := &ksockDiary{name: name + "g1l1", program: name, process: 1, home: tr.homeOf[name]}
		tr.ksocks = append(tr.ksocks, d)
		d.writes(note{At: 1, Since: 1, What: hasOpened, Key: d.name, To: kbusdev.KsockID(i + 1)}, note{At: 2, What: isReady})
	}
	l0, l1, r, t := tr.ksocks[0], tr.ksocks[1], tr.ksocks[2], tr.ksocks[3]
	for n := 1; n <= 6; n++ {
		at := time.Duration(10 * n)
		word := map[int]string{4: "ALL_OR_WAIT", 5: "ALL_OR_FAIL"}[n]
		if word == "" {
			word = "0"
		}
		t.writes(note{At: at, What: willPost, Key: nth(n), Word: word})
		if n != 5 {
			l0.writes(note{At: at + 1, What: hasHeard, Key: nth(n)})
			l1.writes(note{At: at + 2, What: hasHeard, Key: nth(n)})
		}
	}
	t.writes(
		note{At: 69, What: wasRefused, Key: nth(5), Word: "EBUSY"}, note{At: 70, What: hasFlushed},
		note{At: 80, What: willAsk, Key: nth(7), Word: "r0"}, note{At: 81, What: wasTaken, Key: nth(7), ID: kbusdev.MsgID{Serial: 7}},
		note{At: 84, What: hasReply, Key: nth(7), ID: kbusdev.MsgID{Serial: 7}, Word: "r0g1l1"},
		note{At: 90, What: willAsk, Key: nth(8), Word: "r0", N: 1}, note{At: 91, What: hasFlushed},
		note{At: 94, What: hasReply, Key: nth(8), ID: kbusdev.MsgID{Serial: 8}, Word: "r0g1l1"},
	)
	r.writes(
		note{At: 82, What: hasRun, Key: nth(7)}, note{At: 83, What: willAnswer, Key: nth(7)},
		note{At: 92, What: hasRun, Key: nth(8)}, note{At: 93, What: willAnswer, Key: nth(8)},
	)
	for _, d := range tr.ksocks {
		d.writes(note{At: 200, What: hasLeft, Word: unreadMessages}, note{At: 201, What: hasLeft, Word: unansweredRequests}, note{At: 202, What: hasMissed}, note{At: 203, What: isClosed})
	}
	return tr
}

// nth gives the key of what t0 has said as the n-th.
func nth(n int) string { return fmt.Sprintf("t0g1l1.%d", n) }

func (d *ksockDiary) writes(notes ...note) { d.notes = append(d.notes, notes...) }

// write puts a note where its time belongs.
func (d *ksockDiary) write(n note) {
	d.notes = append(d.notes, n)
	slices.SortStableFunc(d.notes, func(a, b note) int { return int(a.At - b.At) })
}

// at gives a Ksock of a trace by its program.
func (tr *ksockTrace) at(program string) *ksockDiary {
	for _, d := range tr.ksocks {
		if d.program == program {
			return d
		}
	}
	return nil
}

// drop takes notes out of a program's.
func (tr *ksockTrace) drop(program, what string, keys ...string) {
	d := tr.at(program)
	d.notes = slices.DeleteFunc(d.notes, func(n note) bool { return n.What == what && (len(keys) == 0 || slices.Contains(keys, n.Key)) })
}

// set changes notes of a program's.
func (tr *ksockTrace) set(program, what, key string, change func(*note)) {
	for i, d := 0, tr.at(program); i < len(d.notes); i++ {
		if n := &d.notes[i]; n.What == what && n.Key == key {
			change(n)
		}
	}
}

// cut ends a Ksock at a time in which it is over, killed, or neither.
func (tr *ksockTrace) cut(program string, at time.Duration, how string) {
	d := tr.at(program)
	d.notes = slices.DeleteFunc(d.notes, func(n note) bool { return n.At > at })
	switch how {
	case isOver:
		d.writes(note{At: at, What: isOver, N: 1})
	case willRetire:
		d.writes(note{At: at, What: willRetire})
	case string(kill):
		d.killed = at
	}
}

// The checks find each broken promise, and only those.
func TestKsockChecks(t *testing.T) {
	never := func(tr *ksockTrace) { // request 7 is said never to have run
		tr.drop("t0", hasReply, nth(7))
		tr.at("t0").write(note{At: 84, What: hasReply, ID: kbusdev.MsgID{Serial: 7}, Word: "NEVER_RAN Replier.GoneAway"})
	}
	ignored := func(tr *ksockTrace) {
		tr.drop("t0", hasReply, nth(7))
		tr.at("t0").write(note{At: 84, What: hasReply, ID: kbusdev.MsgID{Serial: 7}, Word: "MAY_HAVE_RUN Replier.Ignored"})
		tr.drop("r0", willAnswer, nth(7))
	}
	refused := func(errno string) func(*ksockTrace) {
		return func(tr *ksockTrace) {
			tr.set("t0", wasTaken, nth(7), func(n *note) { n.What, n.Word = wasRefused, errno })
			tr.drop("t0", hasReply, nth(7))
			tr.drop("r0", hasRun, nth(7))
			tr.drop("r0", willAnswer, nth(7))
		}
	}
	both := func(all ...func(*ksockTrace)) func(*ksockTrace) {
		return func(tr *ksockTrace) {
			for _, f := range all {
				f(tr)
			}
		}
	}
	replierDied := func(tr *ksockTrace) { tr.cut("r0", 83, string(kill)) }
	later := func(tr *ksockTrace) { // request 8 is not there
		tr.drop("t0", willAsk, nth(8))
		tr.drop("t0", hasReply, nth(8))
		tr.drop("r0", hasRun, nth(8))
		tr.drop("r0", willAnswer, nth(8))
	}
	small := func(program string) func(*ksockTrace) {
		return func(tr *ksockTrace) { b := tr.briefs[program]; b.Queue = 4; tr.briefs[program] = b }
	}
	missed := func(program string, n int) func(*ksockTrace) {
		return func(tr *ksockTrace) { tr.set(program, hasMissed, "", func(x *note) { x.N = n }) }
	}
	for _, c := range []struct {
		name  string
		spoil func(tr *ksockTrace)
		want  string // part of what is found; "" is nothing
	}{
		{"all is well", func(*ksockTrace) {}, ""},
		{"something odd", func(tr *ksockTrace) { tr.strange("Recv went on") }, "Recv went on"},

		{"one lost", func(tr *ksockTrace) { tr.drop("l0", hasHeard, nth(2)) }, "1 are lost, it missed 0: " + nth(2)},
		{"the last lost", func(tr *ksockTrace) { tr.drop("l0", hasHeard, nth(6)) }, "1 are lost"},
		{"all lost", func(tr *ksockTrace) { tr.drop("l0", hasHeard) }, "4 are lost"},
		{"one lost afar", func(tr *ksockTrace) { tr.drop("l1", hasHeard, nth(6)) }, "listener l1g1l1: 1 are lost"},
		{"one lost for want of room", both(func(tr *ksockTrace) { tr.drop("l0", hasHeard, nth(2)) }, missed("l0", 1)), ""},
		{"two lost, one for want of room", both(func(tr *ksockTrace) { tr.drop("l0", hasHeard, nth(2), nth(3)) }, missed("l0", 1)), "2 are lost, it missed 1"},
		{"one lost that had to wait for room", both(func(tr *ksockTrace) { tr.drop("l0", hasHeard, nth(4)) }, missed("l0", 1)), "with ALL_OR_WAIT is lost"},
		{"the same afar, where others have no room", both(func(tr *ksockTrace) { tr.drop("l1", hasHeard, nth(4)) }, small("l1")), ""},
		{"one missed and heard", missed("l0", 1), "it missed 1 of 0"},
		{"twice", func(tr *ksockTrace) { tr.at("l0").write(note{At: 100, What: hasHeard, Key: nth(6)}) }, "heard twice"},
		{"another in its place", func(tr *ksockTrace) { tr.set("l0", hasHeard, nth(2), func(n *note) { n.Key = nth(3) }) }, "1 are lost"},
		{"out of order", func(tr *ksockTrace) {
			tr.drop("l0", hasHeard, nth(2))
			tr.at("l0").write(note{At: 100, What: hasHeard, Key: nth(2)})
		}, "2 was heard after number 6"},
		{"refused, but heard", func(tr *ksockTrace) { tr.at("l0").write(note{At: 52, What: hasHeard, Key: nth(5)}) }, "the bus refused it"},
		{"not posted, but heard", func(tr *ksockTrace) { tr.at("t0").write(note{At: 31, What: wasNotPosted, Key: nth(3)}) }, "was heard, but"},
		{"given up, and heard", func(tr *ksockTrace) { tr.at("t0").write(note{At: 31, What: wasGivenUp, Key: nth(3)}) }, ""},
		{"given up, and not heard", func(tr *ksockTrace) {
			tr.at("t0").write(note{At: 31, What: wasGivenUp, Key: nth(3)})
			tr.drop("l0", hasHeard, nth(3))
		}, ""},
		{"a plain one refused", func(tr *ksockTrace) { tr.at("t0").write(note{At: 31, What: wasRefused, Key: nth(3), Word: "EBUSY"}) }, "3 with 0 was refused with EBUSY"},
		{"refused for no reason that it may have", func(tr *ksockTrace) { tr.set("t0", wasRefused, nth(5), func(n *note) { n.Word = "EIO" }) }, "refused with EIO"},
		{"it would not wait", func(tr *ksockTrace) {
			tr.at("t0").write(note{At: 41, What: wasRefused, Key: nth(4), Word: "EAGAIN"})
		}, "4 with ALL_OR_WAIT was refused with EAGAIN"},
		{"its time was over", func(tr *ksockTrace) {
			tr.set("t0", willPost, nth(4), func(n *note) { n.N = 1 })
			tr.at("t0").write(note{At: 41, What: wasRefused, Key: nth(4), Word: "EAGAIN"})
			tr.drop("l0", hasHeard, nth(4))
			tr.drop("l1", hasHeard, nth(4))
		}, ""},
		{"from nowhere", func(tr *ksockTrace) { tr.at("l0").write(note{At: 52, What: hasHeard, Key: nth(99)}) }, "never said"},
		{"from nobody", func(tr *ksockTrace) { tr.at("l0").write(note{At: 52, What: hasHeard, Key: "t7g1l1.1"}) }, "there was not"},
		{"it was not bound yet", func(tr *ksockTrace) {
			tr.set("l0", isReady, "", func(n *note) { n.At = 25 })
			tr.drop("l0", hasHeard, nth(1), nth(2))
		}, ""},
		{"the far one was not known yet", func(tr *ksockTrace) { tr.drop("l1", hasHeard, nth(1), nth(2)) }, ""},
		{"the listener was killed", func(tr *ksockTrace) { tr.cut("l0", 42, string(kill)) }, ""},
		{"the listener was killed, and had lost one", func(tr *ksockTrace) {
			tr.drop("l0", hasHeard, nth(2))
			tr.cut("l0", 42, string(kill))
		}, "1 are lost"},
		{"it may not have been sent", func(tr *ksockTrace) {
			later(tr)
			tr.drop("l0", hasHeard, nth(6))
			tr.drop("l1", hasHeard, nth(6))
			tr.cut("t0", 68, string(kill))
			tr.drop("r0", hasRun)
			tr.drop("r0", willAnswer)
		}, ""},
		{"it may not have been sent, but what came later was", func(tr *ksockTrace) {
			later(tr)
			tr.drop("l0", hasHeard, nth(3))
			tr.cut("t0", 68, string(kill))
			tr.drop("r0", hasRun)
			tr.drop("r0", willAnswer)
		}, "1 are lost"},
		{"lost with the daemon behind a link", func(tr *ksockTrace) {
			tr.drop("l1", hasHeard, nth(6))
			tr.deaths = []ksockDeath{{0, 150, 160}}
			for _, p := range []string{"l0", "r0", "t0"} {
				tr.cut(p, 155, isOver)
			}
		}, ""},

		{"the listener was closed, and had lost one", func(tr *ksockTrace) {
			tr.drop("l0", hasHeard, nth(2))
			tr.cut("l0", 42, willRetire)
		}, "1 are lost"},
		{"without end", func(tr *ksockTrace) { tr.cut("l0", 150, "") }, "it has no end"},
		{"over for no reason", func(tr *ksockTrace) { tr.cut("l0", 150, isOver) }, "nothing lasted that long"},
		{"over for no reason, with a long grace", func(tr *ksockTrace) { tr.touched["l0"] = true; tr.cut("l0", 150, isOver) }, "nothing lasted that long"},
		{"over, with a short grace", func(tr *ksockTrace) { tr.touched["l0"], tr.grace = true, shortGrace; tr.cut("l0", 150, isOver) }, ""},
		{"over, as its daemon died", func(tr *ksockTrace) {
			tr.deaths = []ksockDeath{{1, 140, 160}}
			tr.cut("l1", 150, isOver)
		}, ""},
		{"over when another daemon died", func(tr *ksockTrace) {
			tr.deaths = []ksockDeath{{0, 300, 310}}
			tr.cut("l1", 150, isOver)
		}, "nothing lasted that long"},
		{"on after its daemon died", func(tr *ksockTrace) { tr.deaths = []ksockDeath{{1, 140, 160}} }, "went on although its daemon died"},
		{"on after it was given up", func(tr *ksockTrace) { tr.at("l0").outlast = true }, "had given it up"},
		{"over with another error", func(tr *ksockTrace) {
			tr.touched["l0"], tr.grace = true, shortGrace
			tr.cut("l0", 150, isOver)
			tr.set("l0", isOver, "", func(n *note) { n.N = 0 })
		}, "not net.ErrClosed"},
		{"messages left", func(tr *ksockTrace) { tr.at("t0").write(note{At: 200, What: hasLeft, N: 1, Word: unreadMessages}) }, "1 unread messages are left"},
		{"debts left", func(tr *ksockTrace) { tr.at("r0").write(note{At: 200, What: hasLeft, N: 1, Word: unansweredRequests}) }, "1 unanswered requests are left"},

		{"no reply", func(tr *ksockTrace) { tr.drop("t0", hasReply, nth(7)) }, "it has no reply"},
		{"no reply to what was posted", func(tr *ksockTrace) { tr.drop("t0", hasReply, nth(8)) }, "0 replies of a bus to 1"},
		{"two replies", func(tr *ksockTrace) {
			tr.at("t0").write(note{At: 85, What: hasReply, ID: kbusdev.MsgID{Serial: 7}, Word: "MAY_HAVE_RUN Replier.Ignored"})
		}, "it has 2 replies"},
		{"two answers", func(tr *ksockTrace) { tr.at("t0").write(note{At: 95, What: hasReply, Key: nth(8), Word: "r0g1l1"}) }, "it has 2 replies"},
		{"a reply too much", func(tr *ksockTrace) {
			tr.at("t0").write(note{At: 95, What: hasReply, ID: kbusdev.MsgID{Serial: 8}, Word: "NEVER_RAN Replier.GoneAway"})
		}, "1 replies of a bus to 0"},
		{"an answer to nothing", func(tr *ksockTrace) { tr.at("t0").write(note{At: 95, What: hasReply, Key: nth(2), Word: "r0g1l1"}) }, "did not ask"},
		{"an answer of nobody", func(tr *ksockTrace) { tr.drop("r0", willAnswer, nth(7)) }, "r0g1l1 has not answered it"},
		{"run twice", func(tr *ksockTrace) { tr.at("r0").write(note{At: 95, What: hasRun, Key: nth(7)}) }, "it ran 2 times"},
		{"run elsewhere", func(tr *ksockTrace) { tr.set("t0", willAsk, nth(7), func(n *note) { n.Word = "l0" }) }, "r0g1l1 had it"},
		{"run outside its dialogue", func(tr *ksockTrace) { tr.set("t0", willAsk, nth(7), func(n *note) { n.To = 9 }) }, "Ksock 3 had it, and not 9"},
		{"run in its dialogue", func(tr *ksockTrace) { tr.set("t0", willAsk, nth(7), func(n *note) { n.To = 3 }) }, ""},
		{"run, and nobody asked", func(tr *ksockTrace) { tr.at("r0").write(note{At: 95, What: hasRun, Key: nth(99)}) }, "never asked"},
		{"never run, it is said", never, "it ran, and the reply is NEVER_RAN"},
		{"never run, though its replier was there", both(never, func(tr *ksockTrace) { tr.drop("r0", hasRun, nth(7)) }), "nothing happened to its replier"},
		{"never run, for its replier was killed", both(later, never, func(tr *ksockTrace) { tr.drop("r0", hasRun, nth(7)); tr.cut("r0", 83, string(kill)) }), ""},
		{"ignored, though its replier was there", ignored, "nothing happened to its replier"},
		{"ignored, for its replier was killed", both(later, ignored, replierDied), ""},
		{"ignored, for its replier was over", both(later, ignored, func(tr *ksockTrace) {
			tr.touched["r0"], tr.grace = true, shortGrace
			tr.cut("r0", 83, isOver)
		}), ""},
		{"ignored, for its replier was closed", both(later, ignored, func(tr *ksockTrace) { tr.cut("r0", 83, willRetire) }), ""},
		{"refused, but it ran", func(tr *ksockTrace) {
			tr.set("t0", wasTaken, nth(7), func(n *note) { n.What, n.Word = wasRefused, "EBUSY" })
			tr.drop("t0", hasReply, nth(7))
		}, "refused, but it ran"},
		{"refused, with nobody there", refused("EADDRNOTAVAIL"), "refused with EADDRNOTAVAIL"},
		{"refused, for its replier was killed", both(later, refused("EADDRNOTAVAIL"), func(tr *ksockTrace) { tr.cut("r0", 79, string(kill)) }), ""},
		{"refused, for its replier lived with the daemon before", both(later, refused("EADDRNOTAVAIL"), func(tr *ksockTrace) {
			tr.deaths = []ksockDeath{{0, 70, 75}}
			tr.cut("l0", 72, isOver)
			tr.drop("l0", hasHeard)
			tr.drop("l1", hasHeard)
			tr.cut("r0", 95, string(kill))
			t := tr.at("t0")
			t.notes = slices.DeleteFunc(t.notes, func(n note) bool { return n.At < 78 })
			t.write(note{At: 76, Since: 76, What: hasOpened, Key: t.name, To: 1})
		}), ""},
		{"refused, for its replier was over and killed before it knew", both(later, refused("EADDRNOTAVAIL"), replierDied, func(tr *ksockTrace) {
			tr.touched["r0"], tr.grace = true, shortGrace
		}), ""},
		{"refused, but its replier was killed later", both(later, refused("EADDRNOTAVAIL"), replierDied), "refused with EADDRNOTAVAIL"},
		{"refused by a full replier", both(refused("EBUSY"), small("r0")), ""},
		{"refused by a replier with room", refused("EBUSY"), "refused with EBUSY"},
		{"refused for want of room for the reply", both(refused("ENOLCK"), small("t0")), ""},
		{"refused for want of room that there was", refused("ENOLCK"), "refused with ENOLCK"},
		{"refused, of a dialogue", refused("EPIPE"), "refused with EPIPE"},
		{"a reply refused", func(tr *ksockTrace) {
			tr.at("r0").write(note{At: 95, What: wasRefused, Key: nth(7), Word: "EADDRNOTAVAIL"})
			tr.set("r0", hasLeft, "", func(n *note) { n.N = one(n.Word == unansweredRequests) })
		}, "its reply to " + nth(7) + " was refused"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tr := soundKsocks()
			c.spoil(tr)
			for _, d := range tr.ksocks {
				for _, n := range d.notes {
					d.notice(n)
				}
			}
			got := strings.Join(tr.check(), "\n")
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("found %q, want %q", got, c.want)
			}
		})
	}
}

// What a process wrote just before it was killed may be read afterwards.
func TestNotesOfTheKilled(t *testing.T) {
	tr := newKsockTrace()
	p := &process{tr: tr, brief: brief{Name: "t0"}}
	tr.kills(p, 1)
	tr.add(p, 1, note{What: hasOpened, Key: "t0g1l1"})
	tr.add(p, 2, note{What: hasOpened, Key: "t0g2l1"})
	if a, b := tr.ksocks[0], tr.ksocks[1]; a.ended() == 0 || b.ended() != 0 {
		t.Errorf("the first ended at %v, the second at %v", a.ended(), b.ended())
	}
}
