package faults

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// Daemons are upgraded while all programs go on: one after the other is told to stop,
// drains its links, and is started again at the same addresses. Whoever asked is
// answered, and what a replier had when a drain began is answered by it. Every other
// time the links are held up for a moment, so that the peers hear of the drain late.
func TestUpgrade(t *testing.T) {
	rounds := 2
	if asked("long") {
		rounds = 40
	}
	together(t, 2, 2, func(i int) string { return shapes[i].name }, func(t *testing.T, i int) {
		n := newNetwork(t, shapes[i], []string{"unix", "tcp"}[i], 0, false)
		n.populate(func(p *programs) {
			p.send, p.ask, p.dawdle = 20*time.Millisecond, time.Duration(len(n.nodes))*time.Second/200, true
		})
		for round := range rounds {
			for _, node := range n.nodes {
				n.settle()
				n.load(60)
				n.upgrade(node, round%2 == 1)
			}
		}
		n.settle()
		n.depopulate()
		t.Logf("%d drains, %d announcements, requests %v", len(n.tr.outages), len(n.tr.sent), n.tr.counts())
		if bad := n.tr.check(n.shape); len(bad) > 0 {
			t.Errorf("%d promises are broken:\n%s", len(bad), strings.Join(bad[:min(len(bad), 30)], "\n"))
		}
	})
}

// load returns when so many more requests have been answered.
func (n *network) load(requests int) {
	enough := n.tr.counts()["answered"] + requests
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for limit := time.Now().Add(settleLimit); n.tr.counts()["answered"] < enough; <-look.C {
		if time.Now().After(limit) {
			n.tr.strange(fmt.Sprintf("%d requests were not answered in %v", requests, settleLimit))
			return
		}
	}
}

// upgrade stops a daemon in good order, and starts it again. late holds its links up
// when it is told to stop.
func (n *network) upgrade(node *node, late bool) {
	over := n.tr.drain(node.id)
	for l, ends := range n.shape.links {
		if late && (ends[0] == node.id || ends[1] == node.id) {
			p := n.cables[l]
			for _, way := range [][]int{{toBack}, {toFront}, {toBack, toFront}}[rand.IntN(3)] {
				p.set(way, holdBack, 0)
			}
			time.AfterFunc(time.Duration(rand.IntN(200))*time.Millisecond, p.clean)
		}
	}
	if err := node.terminate(); err != nil {
		n.tr.strange(err.Error())
	}
	over()
	if err := node.start(); err != nil {
		n.tr.strange(fmt.Sprintf("starting again: %v", err))
	}
}
