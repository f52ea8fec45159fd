package faults

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// Programs with Ksocks of their own are killed and stopped, their streams cut, held up and
// slowed down, their daemons killed: nothing that they were promised is lost or doubled. The
// seed of a failure plays it again: -run Programs -seed N.
func TestPrograms(t *testing.T) {
	seeds, beside := 6, 6
	if asked("long") {
		seeds, beside = 100, 10
	}
	var all []*ksockSchedule
	for seed := range uint64(seeds) {
		all = append(all, newKsockSchedule(*firstSeed+seed, (*firstSeed+seed)%25 == 0))
	}
	if *oneSeed != 0 {
		all = []*ksockSchedule{newKsockSchedule(*oneSeed, *oneSeed%25 == 0)}
	}
	together(t, len(all), beside, func(i int) string { return fmt.Sprint("seed=", all[i].seed) }, func(t *testing.T, i int) { playPrograms(t, all[i]) })
}

func playPrograms(t *testing.T, s *ksockSchedule) {
	r := newKsockRun(t, s)
	r.populate()
	r.suffer()
	r.settle()
	r.depopulate()
	t.Logf("%v\n%s", s, r.tr.summary())
	if bad := r.tr.check(); len(bad) > 0 {
		t.Errorf("%d promises are broken:\n%s", len(bad), strings.Join(bad[:min(len(bad), 30)], "\n"))
	}
}

// A ksockRun is daemons, programs, and the cables between them.
type ksockRun struct {
	t         testing.TB
	s         *ksockSchedule
	tr        *ksockTrace
	nodes     []*node
	link      *proxy // nil if there is but one daemon
	processes map[string]*process
}

func newKsockRun(t testing.TB, s *ksockSchedule) *ksockRun {
	t.Helper()
	r := &ksockRun{t: t, s: s, tr: newKsockTrace(), processes: make(map[string]*process)}
	r.tr.homes, r.tr.grace, r.tr.lenient = s.homes, s.grace, s.deep
	link := [2]string{at(t, s.network)}
	if s.homes > 1 {
		_, front := localAddress(t, s.network)
		r.link = newProxy(t, s.network, front, link[0])
		link[1] = r.link.Address
	}
	for i := range s.homes {
		args := []string{"--program-grace", s.grace.String(), "--interest", s.interest}
		if s.homes > 1 {
			args = append(args, []string{"--listen", "--connect"}[i], link[i])
		}
		r.nodes = append(r.nodes, newNodeAt(t, i, at(t, s.network), args...))
	}
	var all sync.WaitGroup
	for _, n := range r.nodes {
		all.Go(func() {
			if err := n.start(); err != nil {
				t.Error(err)
			}
		})
	}
	if all.Wait(); t.Failed() {
		t.FailNow()
	}
	for i, b := range s.programs {
		_, front := localAddress(t, s.network)
		cable := newProxy(t, s.network, front, r.nodes[s.home[i]].api)
		r.processes[b.Name] = newProcess(t, r.tr, s.home[i], cable, b)
		r.tr.knows(b, s.home[i])
	}
	return r
}

// at gives an address to listen at, again after each kill.
func at(t testing.TB, network string) string {
	t.Helper()
	if network == "tcp" {
		return freePort(t)
	}
	_, path := localAddress(t, network)
	return path
}

// with returns the programs of a role.
func (r *ksockRun) with(role string) (names []string) {
	for _, b := range r.s.programs {
		if strings.HasPrefix(b.Name, role) {
			names = append(names, b.Name)
		}
	}
	return names
}

// wait waits until ready returns nothing, which is what is missing, and reports whether it
// has within settleLimit.
func (r *ksockRun) wait(what string, ready func() []string) bool {
	limit := time.NewTimer(settleLimit)
	defer limit.Stop()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for {
		missing := ready()
		if len(missing) == 0 {
			return true
		}
		select {
		case <-look.C:
		case <-limit.C:
			r.tr.strange(fmt.Sprintf("%s: in %v not so: %s", what, settleLimit, strings.Join(missing, ", ")))
			return false
		}
	}
}

// without returns the programs of some that have not written a note.
func (r *ksockRun) without(what string, names ...string) func() []string {
	return func() (missing []string) {
		for _, name := range names {
			if !r.tr.has(name, what) {
				missing = append(missing, name)
			}
		}
		return missing
	}
}

// populate starts the programs: first who hears and answers; and who speaks when every
// daemon knows of them.
func (r *ksockRun) populate() {
	hear := append(r.with(listens), r.with(replies)...)
	r.startAll(hear)
	if !r.wait("programs are ready", r.without(isReady, hear...)) {
		r.t.FailNow()
	}
	r.wait("the daemons know of the programs", r.strangers)
	r.startAll(r.with(talks))
	r.wait("all hear and answer each other", r.silence(now()))
}

func (r *ksockRun) startAll(names []string) {
	for _, name := range names {
		if err := r.processes[name].start(); err != nil {
			r.t.Fatal(err)
		}
	}
}

// strangers returns the programs of which daemons do not know. It announces something to
// find out.
func (r *ksockRun) strangers() (missing []string) {
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	for i, n := range r.nodes {
		bus := n.life().bus
		warm := fmt.Sprintf("%s%d", warmName, i)
		r.tr.warms()
		if _, err := bus.Send(ctx, &kbusdev.Message{Name: newsPrefix + warm + ".1"}); err != nil {
			missing = append(missing, err.Error())
		}
		for _, name := range r.with(listens) {
			if !r.tr.signed(name, warm, 0) {
				missing = append(missing, fmt.Sprintf("%s hears nothing of daemon %d", name, i))
			}
		}
		for _, name := range r.with(replies) {
			if _, _, found, err := bus.FindReplier(ctx, askPrefix+name+".x"); err != nil || !found {
				missing = append(missing, fmt.Sprintf("daemon %d does not know %s", i, name))
			}
		}
	}
	return missing
}

// silence returns what gives the programs that have not heard, or been answered by, another
// since mark.
func (r *ksockRun) silence(mark time.Duration) func() []string {
	return func() (missing []string) {
		for _, talker := range r.with(talks) {
			for _, l := range r.with(listens) {
				if !r.tr.signed(l, talker, mark) {
					missing = append(missing, l+" does not hear "+talker)
				}
			}
			for _, replier := range r.with(replies) {
				if !r.tr.signed(talker, replier, mark) {
					missing = append(missing, replier+" does not answer "+talker)
				}
			}
		}
		return missing
	}
}

// settle waits until every program works again.
func (r *ksockRun) settle() {
	if !r.wait("programs are ready again", r.without(isReady, r.all()...)) {
		return
	}
	r.wait("all hear and answer each other again", r.silence(now()))
}

func (r *ksockRun) all() (names []string) {
	for _, b := range r.s.programs {
		names = append(names, b.Name)
	}
	return names
}

// depopulate has the programs end: what was said is heard, what was asked answered.
func (r *ksockRun) depopulate() {
	for _, name := range r.all() {
		r.processes[name].hush()
	}
	r.wait("every request has a reply", r.without(isQuiet, r.with(talks)...))
	r.wait("the last words are heard", r.tr.lastWords)
	for _, role := range []string{talks, listens, replies} {
		var all sync.WaitGroup
		for _, name := range r.with(role) {
			all.Go(func() {
				if !r.processes[name].end(settleLimit) {
					r.tr.strange(fmt.Sprintf("%s does not end in %v", name, settleLimit))
				}
			})
		}
		all.Wait()
	}
	for i := range r.nodes {
		r.wait(fmt.Sprintf("nothing is bound on daemon %d", i), func() []string { return r.bound(i, "") })
	}
}
