package rules_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/rules"
)

func compile(t testing.TB, all ...rules.Rule) *rules.Set {
	t.Helper()
	s, err := rules.Compile(all)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// somebody returns the policy of whom ParseIdentity makes of text.
func somebody(t testing.TB, s *rules.Set, text string) *rules.Policy {
	t.Helper()
	id, network, err := rules.ParseIdentity(text)
	if err != nil {
		t.Fatal(err)
	}
	return s.For(id, network)
}

func TestWithoutRulesEverythingIsAllowed(t *testing.T) {
	s := compile(t)
	p := s.For(rules.Identity{}, 3)
	if p != nil || !p.May(rules.Announce, "$.A") || !p.All(rules.Reply, "$.*").Allow || !p.Any(rules.Listen, "$.*").Allow ||
		!p.Admin().Allow || !p.Join(7).Allow || !p.Sees("$.A") || !p.Unlimited() || !slices.Equal(p.Cut(nil, rules.Listen, "$.*"), []string{"$.*"}) {
		t.Errorf("without rules something is denied: %v", p)
	}
}

func TestWithRulesWhatNoneMatchesIsDenied(t *testing.T) {
	p := somebody(t, compile(t, rules.Rule{Allow: []string{"announce"}, Names: []string{"$.A.*"}}), "unknown")
	for _, v := range []rules.Verdict{p.All(rules.Announce, "$.B"), p.All(rules.Listen, "$.A.B"), p.Admin(), p.Join(1)} {
		if v != (rules.Verdict{}) {
			t.Errorf("the verdict is %+v", v)
		}
	}
	if !p.May(rules.Announce, "$.A.B") || p.May(rules.Announce, "$.A") || p.Unlimited() {
		t.Error("the only rule says something else than it should")
	}
}

func TestWho(t *testing.T) {
	for _, c := range []struct {
		who, identity string
		want          bool
	}{
		{"any", "unknown", true},
		{"local", "unknown", false},
		{"local", "local", true},
		{"local", "uid:0", true},
		{"uid:1000", "uid:1000", true},
		{"uid:1000", "uid:100", false},
		{"uid:1000", "gid:1000", false},
		{"uid:0", "local", false},
		{"gid:27", "uid:1000 gid:27", true},
		{"network:3", "network:3", true},
		{"network:3", "network:33", false},
		{"network:3", "unknown", false},
		{"name:spiffe://plant/sensor-*", "name:spiffe://plant/sensor-7", true},
		{"name:spiffe://plant/sensor-*", "name:spiffe://plant/sensor-7.b", true},
		{"name:spiffe://plant/sensor-*", "name:spiffe://plant/sensor-7/admin", false},
		{"name:spiffe://plant/sensor-*", "name:spiffe://plant/pump-7", false},
		{"name:spiffe://plant/**", "name:spiffe://plant/sensor-7/admin", true},
		{"name:*.plant.example", "name:a.plant.example", true},
		{"name:*.plant.example", "name:a.b.plant.example", false},
		{"name:*.plant.example", "name:evil-plant.example", false},
		{"name:**.plant.example", "name:a.b.plant.example", true},
		{"name:a.plant.example", "name:b.example name:a.plant.example", true},
		{"name:a", "name:ab", false},
		{"name:*", "name:", false},
	} {
		if c.identity == "name:" {
			continue
		}
		p := somebody(t, compile(t, rules.Rule{Allow: []string{"admin"}, Who: []string{"uid:77", c.who}}), c.identity)
		if got := p.Admin().Allow; got != c.want {
			t.Errorf("who %q is %q: %v", c.who, c.identity, got)
		}
	}
}

func TestGroupsCountAndTheProcessIDDoesNot(t *testing.T) {
	s := compile(t, rules.Rule{Allow: []string{"admin"}, Who: []string{"gid:27"}})
	in := s.For(rules.Identity{Process: &rules.Process{UID: 1, GID: 2, Groups: []uint32{26, 27}, PID: 3}}, 0)
	primary := s.For(rules.Identity{Process: &rules.Process{UID: 1, GID: 27, PID: 4}}, 0)
	if !in.Admin().Allow || !primary.Admin().Allow {
		t.Error("a group is not seen")
	}
	if in != primary || !in.Equal(primary) {
		t.Error("the same rules match two processes, which have different policies")
	}
	if out := s.For(rules.Identity{Process: &rules.Process{UID: 27, GID: 2}}, 0); out.Admin().Allow || out.Equal(in) {
		t.Error("a user is taken for a group")
	}
}

func TestJoin(t *testing.T) {
	p := somebody(t, compile(t,
		rules.Rule{Deny: []string{"join"}, Networks: []string{"13"}},
		rules.Rule{Allow: []string{"join"}, Networks: []string{"2", "10-19"}},
	), "unknown")
	for id, want := range map[uint32]rules.Verdict{
		1: {}, 2: {Allow: true, Rule: 2}, 9: {}, 10: {Allow: true, Rule: 2}, 13: {Rule: 1}, 19: {Allow: true, Rule: 2}, 20: {},
	} {
		if got := p.Join(id); got != want {
			t.Errorf("network %d: %+v, want %+v", id, got, want)
		}
	}
}

func TestBinds(t *testing.T) {
	p := somebody(t, compile(t,
		rules.Rule{Deny: []string{"reply", "listen"}, Names: []string{"$.A.Secret.*", "$.B.One"}},
		rules.Rule{Allow: []string{"reply", "listen"}, Names: []string{"$.A.*", "$.B.%", "$.C.D"}},
	), "unknown")
	for _, c := range []struct {
		name       string
		reply, any bool
		cut        string
	}{
		{"$.A.X", true, true, "$.A.X"},
		{"$.A.X.*", true, true, "$.A.X.*"},
		{"$.A.*", false, true, "$.A.*"},
		{"$.A.%", true, true, "$.A.%"}, // the exception lies below
		{"$.A.Secret", true, true, "$.A.Secret"},
		{"$.A.Secret.X", false, false, ""},
		{"$.A.Secret.*", false, false, ""},
		{"$.B.%", false, true, "$.B.%"},
		{"$.B.Two", true, true, "$.B.Two"},
		{"$.B.*", false, true, "$.B.%"},
		{"$.C.*", false, true, "$.C.D"},
		{"$.C.%", false, true, "$.C.D"},
		{"$.*", false, true, "$.A.* $.B.% $.C.D"},
		{"$.%", false, false, ""},
		{"$.D.*", false, false, ""},
	} {
		if got := p.All(rules.Reply, c.name).Allow; got != c.reply {
			t.Errorf("binding %s as replier: %v", c.name, got)
		}
		if got := p.Any(rules.Listen, c.name).Allow; got != c.any {
			t.Errorf("listening to %s: %v", c.name, got)
		}
		if got := strings.Join(p.Cut(nil, rules.Listen, c.name), " "); got != c.cut {
			t.Errorf("of %s may be heard %q, want %q", c.name, got, c.cut)
		}
	}
}

// What a rule before another covers does not make the other one deny.
func TestARuleThatIsCoveredByOneBeforeItSaysNothing(t *testing.T) {
	p := somebody(t, compile(t,
		rules.Rule{Allow: []string{"reply"}, Names: []string{"$.A.*"}},
		rules.Rule{Deny: []string{"reply"}, Names: []string{"$.A.B"}},
		rules.Rule{Allow: []string{"reply"}},
	), "unknown")
	if v := p.All(rules.Reply, "$.*"); v != (rules.Verdict{Allow: true, Rule: 3}) {
		t.Errorf("%+v", v)
	}
}

// A link's own rules come first, and are counted by themselves.
func TestRulesOfALink(t *testing.T) {
	general := []rules.Rule{{Allow: []string{"join"}}, {Deny: []string{"announce"}, Names: []string{"$.A.*"}}, {Allow: []string{"announce"}}}
	own := []rules.Rule{{Deny: []string{"announce"}, Names: []string{"$.B"}}, {Allow: []string{"announce"}, Names: []string{"$.A.X"}}}
	for _, c := range []struct {
		own, general []rules.Rule
		name         string
		want         rules.Verdict
	}{
		{own, general, "$.B", rules.Verdict{Rule: 1, OfLink: true}},
		{own, general, "$.A.X", rules.Verdict{Allow: true, Rule: 2, OfLink: true}},
		{own, general, "$.A.Y", rules.Verdict{Rule: 2}},
		{own, general, "$.C", rules.Verdict{Allow: true, Rule: 3}},
		{own, nil, "$.C", rules.Verdict{}},
		{own, nil, "$.B", rules.Verdict{Rule: 1, OfLink: true}},
		{nil, general, "$.A.X", rules.Verdict{Rule: 2}},
	} {
		s, err := rules.CompileLink(c.own, c.general)
		if err != nil {
			t.Fatal(err)
		}
		e := s.Explain(rules.Identity{}, 0, c.name)[0]
		if e.Verdict != c.want || e.Text == "" {
			t.Errorf("%s: %+v", c.name, e)
		}
		if got := strings.Contains(rules.Denial(e.Verdict), "of the link"); got != c.want.OfLink {
			t.Error(rules.Denial(e.Verdict))
		}
	}
	if s, err := rules.CompileLink(nil, nil); s != nil || err != nil {
		t.Error("no rules are something")
	}
	if _, err := rules.CompileLink([]rules.Rule{{}}, general); err == nil || !strings.Contains(err.Error(), "rule 1: it has neither") {
		t.Error(err)
	}
}

// Who may do everything with some names is no administrator for that.
func TestAllWithNamesIsWhatIsDoneWithNames(t *testing.T) {
	names, networks := []string{"$.A.*"}, []string{"3"}
	for _, c := range []struct {
		rule        rules.Rule
		admin, join bool
	}{
		{rules.Rule{}, true, true},
		{rules.Rule{Names: names}, false, false},
		{rules.Rule{Networks: networks}, true, true},
		{rules.Rule{Names: names, Networks: networks}, false, true},
	} {
		c.rule.Allow = []string{"all"}
		p := somebody(t, compile(t, c.rule), "unknown")
		if !p.May(rules.Announce, "$.A.B") || !p.All(rules.Reply, "$.A.*").Allow || p.Admin().Allow != c.admin || p.Join(3).Allow != c.join {
			t.Errorf("%+v: admin %v, join %v", c.rule, p.Admin(), p.Join(3))
		}
	}
}

// To see data is a right of its own, by names, which has nothing to do with what somebody may
// send or hear.
func TestTap(t *testing.T) {
	s := compile(t, rules.Rule{Deny: []string{"all"}, Names: []string{"$.Secret.*"}},
		rules.Rule{Allow: []string{"tap"}, Who: []string{"uid:1"}, Names: []string{"$.A.*", "$.Secret.*"}},
		rules.Rule{Allow: []string{"announce", "listen", "request", "reply", "admin"}, Who: []string{"uid:2"}})
	one, two := somebody(t, s, "uid:1"), somebody(t, s, "uid:2")
	if !one.May(rules.Tap, "$.A.B") || one.May(rules.Tap, "$.B") || one.May(rules.Tap, "$.Secret.Key") || one.Admin().Allow {
		t.Error("uid:1 does not have the rights of its rule")
	}
	if one.May(rules.Listen, "$.A.B") || one.Sees("$.A.B") {
		t.Error("who may tap may listen")
	}
	if two.May(rules.Tap, "$.A.B") || two.All(rules.Tap, "$.*").Allow {
		t.Error("who may do the rest may tap")
	}
	everything := somebody(t, compile(t, rules.Rule{Allow: []string{"announce", "listen", "request", "reply"}}), "uid:3")
	if !everything.Unlimited() {
		t.Error("without the right to tap messages are judged one by one")
	}
	if err := s.Check([]rules.Test{{Who: "uid:1", Allow: "tap $.A.*"}, {Who: "uid:1", Deny: "tap $.*"}}); err != nil {
		t.Error(err)
	}
}

func TestBadRulesAreRefusedWithTheWayOut(t *testing.T) {
	good := rules.Rule{Allow: []string{"all"}}
	many := make([]string, rules.MaxNames+1)
	for _, c := range []struct {
		rule rules.Rule
		want []string
	}{
		{rules.Rule{}, []string{"neither allow nor deny", "announce, listen, request, reply, tap, admin, join, or all"}},
		{rules.Rule{Allow: []string{"announce"}, Deny: []string{"listen"}}, []string{"both", "two rules"}},
		{rules.Rule{Allow: []string{"send"}}, []string{"allow:", `"send"`, "request, reply"}},
		{rules.Rule{Deny: []string{"all", "x"}}, []string{"deny:", `"x"`}},
		{rules.Rule{Allow: []string{"all"}, Who: []string{"root"}}, []string{"who:", `"root"`, "uid:NUMBER"}},
		{rules.Rule{Allow: []string{"all"}, Who: []string{"uid:root"}}, []string{"who:", `"uid:root"`}},
		{rules.Rule{Allow: []string{"all"}, Who: []string{"uid:4294967296"}}, []string{"who:"}},
		{rules.Rule{Allow: []string{"all"}, Who: []string{"network:0"}}, []string{"who:"}},
		{rules.Rule{Allow: []string{"all"}, Who: []string{"name:"}}, []string{"who:"}},
		{rules.Rule{Allow: []string{"all"}, Names: []string{"$.A*"}}, []string{"names:", `"$.A*"`, "everything below"}},
		{rules.Rule{Allow: []string{"admin"}, Names: []string{"$.A"}}, []string{"names:", "leave names out"}},
		{rules.Rule{Allow: []string{"announce"}, Networks: []string{"2"}}, []string{"networks:", "joins"}},
		{rules.Rule{Allow: []string{"join"}, Networks: []string{"0"}}, []string{"networks:", `"0"`}},
		{rules.Rule{Allow: []string{"join"}, Networks: []string{"9-3"}}, []string{"networks:", `"9-3"`}},
		{rules.Rule{Allow: []string{"all"}, Names: many}, []string{"names:", "at most"}},
	} {
		_, err := rules.Compile([]rules.Rule{good, c.rule})
		if err == nil {
			t.Errorf("%+v is taken", c.rule)
			continue
		}
		for _, want := range append(c.want, "rule 2") {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not say %q", err, want)
			}
		}
	}
	if _, err := rules.Compile(make([]rules.Rule, rules.MaxRules+1)); err == nil {
		t.Error("there is no bound")
	}
}

func TestExpectations(t *testing.T) {
	s := compile(t,
		rules.Rule{Allow: []string{"announce", "request"}, Who: []string{"name:spiffe://plant/sensor-*"}, Names: []string{"$.Sensor.*"}},
		rules.Rule{Allow: []string{"join"}, Who: []string{"name:spiffe://plant/sensor-*"}, Networks: []string{"10-19"}},
		rules.Rule{Allow: []string{"all"}, Who: []string{"uid:0"}},
	)
	if err := s.Check([]rules.Test{
		{Who: "name:spiffe://plant/sensor-7", Allow: "announce $.Sensor.Rain"},
		{Who: "name:spiffe://plant/sensor-7", Allow: "join 10"},
		{Who: "name:spiffe://plant/sensor-7", Deny: "join 9"},
		{Who: "uid:1000", Deny: "reply $.*"},
		{Who: "uid:0 gid:0", Allow: "reply $.*"},
		{Who: "uid:0", Allow: "admin"},
	}); err != nil {
		t.Errorf("what holds does not: %v", err)
	}
	for _, c := range []struct {
		test rules.Test
		want string
	}{
		{rules.Test{Who: "uid:1000", Allow: "reply $.*"}, "uid:1000: reply $.* is denied, not allowed: no rule matches"},
		{rules.Test{Who: "uid:0", Deny: "listen $.A"}, "is allowed, not denied: allow: [all], who: [uid:0]"},
		{rules.Test{Who: "uid:0"}, "give it one of them"},
		{rules.Test{Who: "uid:0", Allow: "admin", Deny: "admin"}, "give it one of them"},
		{rules.Test{Who: "any", Allow: "admin"}, `"any" is not one thing`},
		{rules.Test{Who: "", Allow: "admin"}, "empty"},
		{rules.Test{Who: "name:a*", Allow: "admin"}, "not one thing"},
		{rules.Test{Who: "uid:0", Allow: "announce $.A.*"}, "cannot be sent"},
		{rules.Test{Who: "uid:0", Allow: "listen A"}, "cannot be bound"},
		{rules.Test{Who: "uid:0", Allow: "join"}, "not a network id"},
		{rules.Test{Who: "uid:0", Allow: "admin $.A"}, "leave it out"},
		{rules.Test{Who: "uid:0", Allow: "fly $.A"}, `"fly" is not an action`},
	} {
		err := s.Check([]rules.Test{{Who: "uid:0", Allow: "admin"}, c.test})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "test 2: ") {
			t.Errorf("%+v: %v, want %q", c.test, err, c.want)
		}
	}
	var none *rules.Set
	if err := none.Check([]rules.Test{{Who: "unknown", Allow: "reply $.*"}}); err != nil {
		t.Error(err)
	}
}

func TestExplain(t *testing.T) {
	s := compile(t, rules.Rule{Allow: []string{"announce"}, Who: []string{"network:3"}, Names: []string{"$.A.*"}}, rules.Rule{Deny: []string{"all"}})
	var got []string
	for _, e := range s.Explain(rules.Identity{}, 3, "$.A.B") {
		got = append(got, fmt.Sprint(e.Action, " ", e.Object, " ", e.Verdict.Allow, " ", e.Text))
	}
	want := []string{
		"announce $.A.B true allow: [announce], who: [network:3], names: [$.A.*]",
		"listen $.A.B false deny: [all], who: [any], names: [$.*], networks: [1-4294967295]",
		"request $.A.B false deny: [all], who: [any], names: [$.*], networks: [1-4294967295]",
		"reply $.A.B false deny: [all], who: [any], names: [$.*], networks: [1-4294967295]",
		"tap $.A.B false deny: [all], who: [any], names: [$.*], networks: [1-4294967295]",
		"admin  false deny: [all], who: [any], names: [$.*], networks: [1-4294967295]",
		"join 3 false deny: [all], who: [any], names: [$.*], networks: [1-4294967295]",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
}

// Whatever a peer calls a message, it is judged, and the bus need not be asked.
func TestWhatCannotBeANameIsNoPanic(t *testing.T) {
	p := somebody(t, compile(t, rules.Rule{Allow: []string{"announce"}, Names: []string{"$.A.B", "$.C.%"}}), "unknown")
	for _, name := range []string{"", "$", "$.", ".", "A", "$..", "$...", "$.A.", "$.C.", "$.\xff", "x.A.B", "$.A.B.", strings.Repeat("$.", 5000)} {
		_ = p.May(rules.Announce, name)
	}
	if p.May(rules.Announce, "x.A.B") {
		t.Error("a name that cannot be is allowed")
	}
}

// A random set of rules, and the same as a slow and obviously right twin.
type twin struct {
	set   *rules.Set
	rules []rules.Rule
}

func randomName(r *rand.Rand, wild bool) string {
	words := []string{"$"}
	for range 1 + r.IntN(3) {
		words = append(words, string(rune('A'+r.IntN(3))))
	}
	if wild && r.IntN(2) == 0 {
		words[len(words)-1] = []string{"*", "%"}[r.IntN(2)]
	}
	return strings.Join(words, ".")
}

func randomTwin(t testing.TB, r *rand.Rand) twin {
	var all []rules.Rule
	for range 1 + r.IntN(8) {
		var one rules.Rule
		for range 1 + r.IntN(4) {
			one.Names = append(one.Names, randomName(r, true))
		}
		if r.IntN(2) == 0 {
			one.Allow = []string{"listen"}
		} else {
			one.Deny = []string{"listen"}
		}
		if r.IntN(4) == 0 {
			one.Who = []string{"uid:5"}
		}
		all = append(all, one)
	}
	return twin{compile(t, all...), all}
}

// verdict is that on a message's name, read off the rules one by one.
func (tw *twin) verdict(name string, uid5 bool) rules.Verdict {
	for i, one := range tw.rules {
		if len(one.Who) > 0 && !uid5 {
			continue
		}
		for _, n := range one.Names {
			if kbusdev.Matches(n, name) {
				return rules.Verdict{Allow: len(one.Allow) > 0, Rule: i + 1}
			}
		}
	}
	return rules.Verdict{}
}

// universe are all names of up to four words, of those that rules have and one that none
// has, which stands for all the others.
func universe() []string {
	level, all := []string{"$"}, []string(nil)
	for range 4 {
		var next []string
		for _, stem := range level {
			for _, word := range []string{"A", "B", "C", "Z"} {
				next = append(next, stem+"."+word)
			}
		}
		all, level = append(all, next...), next
	}
	return all
}

func TestPoliciesAreWhatTheRulesSay(t *testing.T) {
	names := universe()
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 3))
		tw := randomTwin(t, r)
		for _, who := range []string{"unknown", "uid:5"} {
			p := somebody(t, tw.set, who)
			for _, name := range names {
				want := tw.verdict(name, who == "uid:5")
				if got := p.All(rules.Listen, name); got != want || p.May(rules.Listen, name) != want.Allow || p.Any(rules.Listen, name) != want {
					t.Fatalf("seed %d: %s and %s: %+v, want %+v of %+v", seed, who, name, got, want, tw.rules)
				}
			}
			for range 20 {
				bound := randomName(r, true)
				whole, part := true, false
				cut := p.Cut(nil, rules.Listen, bound)
				for _, name := range names {
					if !kbusdev.Matches(bound, name) {
						continue
					}
					v := tw.verdict(name, who == "uid:5").Allow
					whole, part = whole && v, part || v
					if v && !slices.ContainsFunc(cut, func(c string) bool { return kbusdev.Matches(c, name) }) {
						t.Fatalf("seed %d: %s may hear %s, which %q does not match, cut from %s, of %+v", seed, who, name, cut, bound, tw.rules)
					}
				}
				if got := p.All(rules.Listen, bound); got.Allow != whole {
					t.Fatalf("seed %d: %s and all of %s: %+v, want %v of %+v", seed, who, bound, got, whole, tw.rules)
				}
				if got := p.Any(rules.Listen, bound); got.Allow != part {
					t.Fatalf("seed %d: %s and any of %s: %+v, want %v of %+v", seed, who, bound, got, part, tw.rules)
				}
				if (len(cut) > 0) != part {
					t.Fatalf("seed %d: %s: %s is cut to %q", seed, who, bound, cut)
				}
				for i, c := range cut {
					if !kbusdev.Covers(bound, c) || slices.ContainsFunc(cut[:i], func(d string) bool { return kbusdev.Overlap(c, d) }) {
						t.Fatalf("seed %d: %s is cut to %q of %+v", seed, bound, cut, tw.rules)
					}
				}
			}
		}
	}
}

// What cannot be a configuration is refused; what can be is judged without a panic.
func FuzzCompile(f *testing.F) {
	f.Add("announce,all", "", "any,uid:5", "$.*,$.A.%", "", "listen $.A", "uid:5 network:3")
	f.Add("", "join", "name:spiffe://a/**", "", "2,10-19", "join 3", "name:a.b")
	f.Add("", "admin", "network:4", "", "", "admin", "unknown")
	f.Fuzz(func(t *testing.T, allow, deny, who, names, networks, expect, identity string) {
		list := func(s string) []string {
			if s == "" {
				return nil
			}
			return strings.Split(s, ",")
		}
		s, err := rules.Compile([]rules.Rule{{Allow: list(allow), Deny: list(deny), Who: list(who), Names: list(names), Networks: list(networks)}})
		if err != nil {
			return
		}
		_ = s.Check([]rules.Test{{Who: identity, Allow: expect}})
		id, network, err := rules.ParseIdentity(identity)
		if err != nil {
			return
		}
		p := s.For(id, network)
		for _, n := range append(list(names), "$.A", "$.*") {
			if p.All(rules.Reply, n).Allow && !p.Any(rules.Reply, n).Allow {
				t.Errorf("all of %q is allowed, but nothing of it", n)
			}
		}
		for _, e := range s.Explain(id, network, "$.A") {
			if e.Text == "" {
				t.Error("a verdict has no text")
			}
		}
	})
}

// Whatever names a certificate has, they are judged without a panic, match no more than they
// are, and reach logs and terminals escaped.
func FuzzNamesOfCertificates(f *testing.F) {
	f.Add("spiffe://plant/sensor-7", "name:spiffe://plant/sensor-*")
	f.Add("hostA.example.org", "name:*.example.org")
	f.Add("\x1b[2J\u202e", "name:**")
	f.Add("", "any")
	f.Fuzz(func(t *testing.T, name, who string) {
		id := rules.Identity{Names: []string{name}}
		if said := id.String(); strings.ContainsFunc(said, func(r rune) bool { return !strconv.IsPrint(r) }) {
			t.Errorf("a name is shown as %q", said)
		}
		s, err := rules.Compile([]rules.Rule{{Allow: []string{"admin"}, Who: []string{who}}})
		if err != nil {
			return
		}
		allowed := s.For(id, 0).Admin().Allow
		if pattern, named := strings.CutPrefix(who, "name:"); named && !strings.Contains(pattern, "*") && allowed != (pattern == name) {
			t.Errorf("a certificate for %q is %q: %v", name, who, allowed)
		}
		if allowed && s.For(rules.Identity{}, 0).Admin().Allow != (who == "any") {
			t.Errorf("%q lets in somebody of whom nothing is known", who)
		}
	})
}

func BenchmarkMay(b *testing.B) {
	for _, n := range []int{1, 10, 1000} {
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			all := make([]rules.Rule, 0, n)
			for i := range n - 1 {
				all = append(all, rules.Rule{Deny: []string{"announce"}, Names: []string{fmt.Sprintf("$.Plant.Hall%d.*", i)}})
			}
			p := somebody(b, compile(b, append(all, rules.Rule{Allow: []string{"announce"}})...), "unknown")
			for b.Loop() {
				if !p.May(rules.Announce, "$.Plant.Sensor.Rain") {
					b.Fatal("denied")
				}
			}
		})
	}
}
