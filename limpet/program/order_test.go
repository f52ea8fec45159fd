package program

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// A driver carries operations out as a daemon does. Its words are an operation's letter
// and tag: "s" and "r" wait when they are capital, "x" never waits.
type driver struct {
	order Order
	seq   uint64
	done  []string
}

func (d *driver) come(words ...string) {
	for _, w := range words {
		var tag uint64
		fmt.Sscan(w[1:], &tag)
		op := &Operation{Tag: tag, Action: map[string]Action{"s": Send, "r": Receive, "x": Bind}[strings.ToLower(w[:1])], Wait: strings.ToLower(w) != w}
		d.seq++
		if d.order.Admit(op, d.seq) {
			d.carryOut(op)
		}
	}
}

func (d *driver) carryOut(op *Operation) {
	w := fmt.Sprintf("%s%d", map[Action]string{Send: "s", Receive: "r", Bind: "x"}[op.Action], op.Tag)
	if op.Wait {
		w = strings.ToUpper(w)
		d.order.Waits(op.Line())
	}
	d.done = append(d.done, w)
}

func (d *driver) finish(l Line) {
	d.order.Finished(l)
	for op, ok := d.order.Ready(); ok; op, ok = d.order.Ready() {
		d.carryOut(&op.Operation)
	}
}

func (d *driver) want(t *testing.T, want string) {
	t.Helper()
	if got := strings.Join(d.done, " "); got != want {
		t.Errorf("carried out %q, want %q", got, want)
	}
	d.done = nil
}

func TestOperationsThatWaitHoldUpTheirLine(t *testing.T) {
	var d driver
	d.come("s1", "S2", "s3", "x4", "R5", "s6", "r7", "x8", "R9")
	d.want(t, "s1 S2 x4 R5 x8")
	d.finish(Receives)
	d.want(t, "r7 R9")
	d.finish(Sends)
	d.want(t, "s3 s6")
	d.come("s10", "r11")
	d.want(t, "s10")
	d.finish(Receives)
	d.want(t, "r11")
}

func TestRemoved(t *testing.T) {
	var d driver
	d.come("S1", "s2", "s3", "s4", "R5", "r6")
	d.want(t, "S1 R5")
	for _, tag := range []uint64{2, 4, 6} {
		if op, ok := d.order.Remove(tag); !ok || op.Tag != tag {
			t.Errorf("removed %d: %v, %v", tag, op, ok)
		}
	}
	for _, tag := range []uint64{1, 2, 99} { // it waits, it is removed, it never was
		if _, ok := d.order.Remove(tag); ok {
			t.Errorf("%d is removed", tag)
		}
	}
	d.finish(Sends)
	d.finish(Receives)
	d.want(t, "s3")
}

// Whatever a program has removed takes no memory.
func TestRemovedTakesNoMemory(t *testing.T) {
	var d driver
	d.come("S1", "s2")
	for i := range 10000 {
		d.come(fmt.Sprintf("s%d", 3+i))
		d.order.Remove(uint64(3 + i))
		if n := len(d.order.lines[Sends].behind); n > 4 {
			t.Fatalf("%d places for one operation", n)
		}
	}
	d.finish(Sends)
	d.want(t, "S1 s2")
}

// The order against one that is slow and obviously right.
func TestOrderAgainstTwin(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		var d driver
		var behind [numLines][]string
		var waits [numLines]bool
		var want []string
		do := func(l Line, w string) {
			want = append(want, w)
			waits[l] = waits[l] || w != strings.ToLower(w)
		}
		for i := range 300 {
			l := Line(r.IntN(int(numLines)))
			switch r.IntN(5) {
			case 0:
				waits[l] = false
				for len(behind[l]) > 0 && !waits[l] {
					w := behind[l][0]
					behind[l] = behind[l][1:]
					do(l, w)
				}
				d.finish(l)
			case 1:
				if n := len(behind[l]); n > 0 {
					at := r.IntN(n)
					var tag uint64
					fmt.Sscan(behind[l][at][1:], &tag)
					behind[l] = slices.Delete(behind[l], at, at+1)
					if _, ok := d.order.Remove(tag); !ok {
						t.Fatalf("seed %d: %d is not there", seed, tag)
					}
				}
			default:
				w := fmt.Sprintf("%c%d", "xsr"[l], i+1)
				if l != NoLine && r.IntN(3) == 0 {
					w = strings.ToUpper(w)
				}
				if len(behind[l]) > 0 || waits[l] {
					behind[l] = append(behind[l], w)
				} else {
					do(l, w)
				}
				d.come(w)
			}
		}
		d.want(t, strings.Join(want, " "))
	}
}
