//go:build linux

package kbusfs

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/internal/abi"
	"github.com/kbus-limpet/limpet/kbusdev/membus"
	"github.com/kbus-limpet/limpet/limpet/rules"
)

// A judgedDevice is a device of a server with rules, which can be replaced.
type judgedDevice struct {
	t   *testing.T
	r   *reader
	set atomic.Pointer[rules.Set]
	log bytes.Buffer
}

func newJudgedDevice(t *testing.T, all ...rules.Rule) *judgedDevice {
	t.Helper()
	if kbusdev.HostLayout.PointerSize != 8 {
		t.Skip("the requests are those of a 64-bit machine")
	}
	d := &judgedDevice{t: t, r: unmounted(t)}
	s := d.r.d.server
	s.by = CUSE // what an ioctl points to comes with it
	s.devices[0] = d.r.d
	s.cfg.Log = slog.New(slog.NewTextHandler(&d.log, nil))
	s.cfg.JudgeOf = func(p Program) membus.Judge {
		process := rules.Process(p)
		if policy := d.set.Load().For(rules.Identity{Process: &process}, 0); !policy.Unlimited() {
			return policy
		}
		return nil
	}
	d.replace(all...)
	return d
}

func (d *judgedDevice) replace(all ...rules.Rule) {
	d.t.Helper()
	set, err := rules.Compile(all)
	if err != nil {
		d.t.Fatal(err)
	}
	d.set.Store(set)
	d.r.d.server.RulesChanged()
}

// A caller is a program that has opened the device.
type caller struct {
	d  *judgedDevice
	fh uint32
}

func (d *judgedDevice) open(uid, gid uint32) *caller {
	d.t.Helper()
	raw := inRequest(opOpen, words(2, 0))
	order.PutUint32(raw[24:], uid)
	order.PutUint32(raw[28:], gid)
	out, errno := do(d.t, d.r, raw)
	if errno != 0 {
		d.t.Fatalf("OPEN: %d", errno)
	}
	return &caller{d, uint32(order.Uint64(out))}
}

func (c *caller) ioctl(number uint32, in []byte) ([]byte, syscall.Errno) {
	c.d.t.Helper()
	out, errno := do(c.d.t, c.d.r, inRequest(opIoctl, append(words(c.fh, 0, 0, number, 0x1000, 0, uint32(len(in)), 8), in...)))
	if errno != 0 || order.Uint32(out[4:])&ioctlRetry != 0 {
		c.d.t.Fatalf("IOCTL %#x: %d, % x", number, errno, out)
	}
	if result := int32(order.Uint32(out)); result < 0 {
		return nil, syscall.Errno(-result)
	}
	return out[16:], 0
}

func (c *caller) named(number, role uint32, name string) ([]byte, syscall.Errno) {
	c.d.t.Helper()
	return c.ioctl(number, append(order.AppendUint64(words(role, uint32(len(name))), 0x2000), name...))
}

func (c *caller) bind(name string, as kbusdev.Role) syscall.Errno {
	c.d.t.Helper()
	var role uint32
	if as == kbusdev.Replier {
		role = 1
	}
	_, errno := c.named(abi.HostIoctls.Bind, role, name)
	return errno
}

func (c *caller) replier(name string) uint32 {
	c.d.t.Helper()
	out, errno := c.named(abi.HostIoctls.Replier, 0, name)
	if errno != 0 {
		c.d.t.Fatalf("REPLIER %s: %v", name, errno)
	}
	return order.Uint32(out)
}

func (c *caller) setting(number, value uint32) syscall.Errno {
	c.d.t.Helper()
	_, errno := c.ioctl(number, words(value))
	return errno
}

func (c *caller) send(m kbusdev.Message) syscall.Errno {
	c.d.t.Helper()
	b := kbusdev.AppendEntire(nil, kbusdev.HostLayout, &m)
	if _, errno := do(c.d.t, c.d.r, inRequest(opWrite, append(words(c.fh, 0, 0, 0, uint32(len(b)), 0, 0, 0, 0, 0), b...))); errno != 0 {
		return syscall.Errno(errno)
	}
	_, errno := c.ioctl(abi.HostIoctls.Send, nil)
	return errno
}

// number asks for one.
func (c *caller) number(ioctl uint32) uint32 {
	c.d.t.Helper()
	out, errno := c.ioctl(ioctl, nil)
	if errno != 0 {
		c.d.t.Fatalf("ioctl %#x: %v", ioctl, errno)
	}
	return order.Uint32(out[len(out)-4:]) // of an id, the serial
}

func (c *caller) ready() bool {
	c.d.t.Helper()
	out, errno := do(c.d.t, c.d.r, inRequest(opPoll, words(c.fh, 0, 0, 0, 0, 0)))
	if errno != 0 {
		c.d.t.Fatalf("POLL: %d", errno)
	}
	return order.Uint32(out)&pollIn != 0
}

// next takes the next message; nil if there is none.
func (c *caller) next() *kbusdev.Message {
	c.d.t.Helper()
	n := c.number(abi.HostIoctls.NextMsg)
	if n == 0 {
		return nil
	}
	out, errno := do(c.d.t, c.d.r, inRequest(opRead, words(c.fh, 0, 0, 0, n, 0)))
	if errno != 0 {
		c.d.t.Fatalf("READ: %d", errno)
	}
	m, err := kbusdev.ParseEntire(bytes.Clone(out), kbusdev.HostLayout)
	if err != nil {
		c.d.t.Fatal(err)
	}
	return m
}

// names takes all that is queued.
func (c *caller) names() (all []string) {
	c.d.t.Helper()
	for m := c.next(); m != nil; m = c.next() {
		all = append(all, m.Name)
	}
	return all
}

var names = rules.Rule{Allow: []string{"announce", "listen", "request", "reply"}}

// somebodys are rules for those below: root may do everything, 1000 what is below $.Open,
// and what is below $.Group those of the group 27 besides.
func somebodys() []rules.Rule {
	root, open, group := names, names, names
	root.Who = []string{"uid:0"}
	open.Names = []string{"$.Open.*"}
	group.Who, group.Names = []string{"gid:27"}, []string{"$.Group.*"}
	return []rules.Rule{root, open, group}
}

// What a denial looks like to a program of the device: as if nobody were there.
func TestWhatADenialLooksLike(t *testing.T) {
	const (
		absent  = syscall.EADDRNOTAVAIL
		request = kbusdev.WantReply
	)
	n := &abi.HostIoctls
	for _, c := range []struct {
		what string
		do   func(c *caller) syscall.Errno
		want syscall.Errno
	}{
		{"listen", func(c *caller) syscall.Errno { return c.bind("$.Secret.A", kbusdev.Listener) }, absent},
		{"listen to what is allowed", func(c *caller) syscall.Errno { return c.bind("$.Open.A", kbusdev.Listener) }, 0},
		{"listen to more than is allowed", func(c *caller) syscall.Errno { return c.bind("$.*", kbusdev.Listener) }, 0},
		{"reply", func(c *caller) syscall.Errno { return c.bind("$.Secret.A", kbusdev.Replier) }, absent},
		{"reply, where another one does", func(c *caller) syscall.Errno { return c.bind("$.Secret.Replier", kbusdev.Replier) }, absent},
		{"reply to what is allowed", func(c *caller) syscall.Errno { return c.bind("$.Open.A", kbusdev.Replier) }, 0},
		{"reply to more than is allowed", func(c *caller) syscall.Errno { return c.bind("$.*", kbusdev.Replier) }, absent},
		{"reply as one of a group", func(c *caller) syscall.Errno { return c.bind("$.Group.A", kbusdev.Replier) }, absent},
		{"bind no name", func(c *caller) syscall.Errno { return c.bind("Secret", kbusdev.Listener) }, syscall.EBADMSG},
		{"announce", func(c *caller) syscall.Errno { return c.send(kbusdev.Message{Name: "$.Secret.A"}) }, absent},
		{"announce what is allowed", func(c *caller) syscall.Errno { return c.send(kbusdev.Message{Name: "$.Open.A"}) }, 0},
		{"request", func(c *caller) syscall.Errno {
			return c.send(kbusdev.Message{Name: "$.Secret.Replier", Flags: request})
		}, absent},
		{"request of one replier", func(c *caller) syscall.Errno {
			return c.send(kbusdev.Message{Name: "$.Secret.Replier", Flags: request, To: 77})
		}, absent},
		{"request what is allowed", func(c *caller) syscall.Errno {
			return c.send(kbusdev.Message{Name: "$.Open.Replier", Flags: request})
		}, 0},
		{"request where nobody is", func(c *caller) syscall.Errno {
			return c.send(kbusdev.Message{Name: "$.Open.Nobody", Flags: request})
		}, absent},
		{"a reply that is not owed", func(c *caller) syscall.Errno {
			return c.send(kbusdev.Message{Name: "$.Open.A", InReplyTo: kbusdev.MsgID{Serial: 1}, To: 1})
		}, absent},
		{"bind events", func(c *caller) syscall.Errno { return c.setting(n.ReportReplierBinds, 1) }, syscall.EACCES},
		{"ask for bind events", func(c *caller) syscall.Errno { return c.setting(n.ReportReplierBinds, uint32(kbusdev.Ask)) }, 0},
		{"the bus's size", func(c *caller) syscall.Errno { return c.setting(n.MaxMsgSize, 100) }, syscall.EACCES},
		{"ask for the bus's size", func(c *caller) syscall.Errno { return c.setting(n.MaxMsgSize, 1) }, 0},
		{"the bus's log", func(c *caller) syscall.Errno { return c.setting(n.Verbose, 1) }, syscall.EACCES},
		{"another device", func(c *caller) syscall.Errno { _, errno := c.ioctl(n.NewDevice, nil); return errno }, syscall.EACCES},
		{"the own queue", func(c *caller) syscall.Errno { return c.setting(n.MaxMsgs, 7) }, 0},
	} {
		t.Run(c.what, func(t *testing.T) {
			d := newJudgedDevice(t, somebodys()...)
			root, other := d.open(0, 0), d.open(1000, 1000)
			for _, name := range []string{"$.Secret.Replier", "$.Open.Replier"} {
				if errno := root.bind(name, kbusdev.Replier); errno != 0 {
					t.Fatal(errno)
				}
			}
			if errno := c.do(other); errno != c.want {
				t.Errorf("%d (%v), want %d", errno, errno, c.want)
			}
			denied := c.what != "bind no name" && c.what != "request where nobody is" && c.want != 0
			if got := d.r.d.server.Denied() == 1; got != denied {
				t.Errorf("counted: %t, want %t", got, denied)
			}
			if denied && root.next() != nil {
				t.Error("a replier got it")
			}
		})
	}
}

// A request that is denied leaves the same traces as one for which there is no replier.
func TestADeniedRequestIsNoOther(t *testing.T) {
	d := newJudgedDevice(t, somebodys()...)
	root, other := d.open(0, 0), d.open(1000, 1000)
	if errno := root.bind("$.Secret.Replier", kbusdev.Replier); errno != 0 {
		t.Fatal(errno)
	}
	for i, name := range []string{"$.Open.Nobody", "$.Secret.Replier"} {
		if errno := other.send(kbusdev.Message{Name: name, Flags: kbusdev.WantReply}); errno != syscall.EADDRNOTAVAIL {
			t.Errorf("%s: %v", name, errno)
		}
		if last := other.number(abi.HostIoctls.LastSent); last != uint32(i+1) {
			t.Errorf("%s: LASTSENT is %d", name, last)
		}
	}
	if other.replier("$.Secret.Replier") != 0 || root.replier("$.Secret.Replier") == 0 {
		t.Error("the replier is seen, or not by root")
	}
}

// What may not be heard is not there: not in the queue, not in its number, not for poll.
func TestWhatIsNotHeard(t *testing.T) {
	d := newJudgedDevice(t, somebodys()...)
	root, other, member := d.open(0, 0), d.open(1000, 1000), d.open(1000, 27)
	for _, c := range []*caller{other, member} {
		if errno := c.bind("$.*", kbusdev.Listener); errno != 0 {
			t.Fatal(errno)
		}
	}
	if errno := other.setting(abi.HostIoctls.MaxMsgs, 1); errno != 0 {
		t.Fatal(errno)
	}
	for range 3 { // more than there is room for
		if errno := root.send(kbusdev.Message{Name: "$.Secret.A", Flags: kbusdev.AllOrFail}); errno != 0 {
			t.Fatal(errno)
		}
	}
	if n := other.number(abi.HostIoctls.NumMsgs); n != 0 || other.ready() {
		t.Errorf("%d are queued, or it is ready", n)
	}
	for _, name := range []string{"$.Group.A", "$.Open.A"} {
		if errno := root.send(kbusdev.Message{Name: name}); errno != 0 {
			t.Fatal(errno)
		}
	}
	if got := strings.Join(other.names(), " "); got != "$.Open.A" {
		t.Errorf("heard %q", got)
	}
	if got := strings.Join(member.names(), " "); got != "$.Group.A $.Open.A" {
		t.Errorf("one of the group heard %q", got)
	}
}

// Who may reply does so once, and hears the answers to what it asks, whatever their names.
func TestRepliesOfTheLimited(t *testing.T) {
	d := newJudgedDevice(t, somebodys()...)
	root, other := d.open(0, 0), d.open(1000, 1000)
	if errno := other.bind("$.Open.A", kbusdev.Replier); errno != 0 {
		t.Fatal(errno)
	}
	if errno := root.send(kbusdev.Message{Name: "$.Open.A", Flags: kbusdev.WantReply}); errno != 0 {
		t.Fatal(errno)
	}
	q := other.next()
	if q == nil || !q.WantsUsToReply() {
		t.Fatalf("got %v", q)
	}
	answer := kbusdev.Message{Name: "$.Secret.Answer", InReplyTo: q.ID, To: q.From}
	for _, want := range []syscall.Errno{0, syscall.EADDRNOTAVAIL} {
		if errno := other.send(answer); errno != want {
			t.Errorf("replying: %v, want %v", errno, want)
		}
	}
	if got := root.names(); len(got) != 1 {
		t.Errorf("the asker got %q", got)
	}

	if errno := root.bind("$.Open.B", kbusdev.Replier); errno != 0 {
		t.Fatal(errno)
	}
	if errno := other.send(kbusdev.Message{Name: "$.Open.B", Flags: kbusdev.WantReply}); errno != 0 {
		t.Fatal(errno)
	}
	q = root.next()
	if errno := root.send(kbusdev.Message{Name: "$.Secret.Answer", InReplyTo: q.ID, To: q.From}); errno != 0 {
		t.Fatal(errno)
	}
	if got := other.names(); len(got) != 1 || got[0] != "$.Secret.Answer" {
		t.Errorf("the answer is %q", got)
	}
}

// Other rules hold at once, for what is open, bound and queued.
func TestOtherRulesForDevices(t *testing.T) {
	d := newJudgedDevice(t)
	root, other := d.open(0, 0), d.open(1000, 1000)
	if errno := other.bind("$.Secret.*", kbusdev.Replier); errno != 0 {
		t.Fatal(errno)
	}
	for _, c := range []struct {
		name string
		as   kbusdev.Role
	}{{"$.Open.A", kbusdev.Replier}, {"$.*", kbusdev.Listener}} {
		if errno := other.bind(c.name, c.as); errno != 0 {
			t.Fatal(errno)
		}
	}
	for _, m := range []kbusdev.Message{
		{Name: "$.Secret.Asked", Flags: kbusdev.WantReply}, {Name: "$.Open.A", Flags: kbusdev.WantReply}, {Name: "$.Secret.B"}, {Name: "$.Open.B"},
	} {
		if errno := root.send(m); errno != 0 {
			t.Fatal(errno)
		}
	}
	if errno := root.bind("$.Asked", kbusdev.Replier); errno != 0 {
		t.Fatal(errno)
	}
	if errno := other.send(kbusdev.Message{Name: "$.Asked", Flags: kbusdev.WantReply}); errno != 0 {
		t.Fatal(errno)
	}
	q := root.next()
	if errno := root.send(kbusdev.Message{Name: "$.Answer", InReplyTo: q.ID, To: q.From}); errno != 0 {
		t.Fatal(errno)
	}
	d.replace(somebodys()...)
	if got := strings.Join(root.names(), " "); got != kbusdev.NameReplierUnbound {
		t.Errorf("root got %q", got)
	}
	if root.replier("$.Secret.*") != 0 || root.replier("$.Open.A") == 0 {
		t.Error("the wrong replier was unbound")
	}
	if got := strings.Join(other.names(), " "); got != "$.Open.A $.Open.A $.Open.B $.Answer $.Answer" { // it is replier or asker, and listener
		t.Errorf("left in the queue is %q", got)
	}
	if errno := other.send(kbusdev.Message{Name: "$.Secret.B"}); errno != syscall.EADDRNOTAVAIL {
		t.Errorf("announcing: %v", errno)
	}
	d.replace()
	if errno := other.send(kbusdev.Message{Name: "$.Secret.B"}); errno != 0 {
		t.Errorf("announcing without rules: %v", errno)
	}
	if got := strings.Join(other.names(), " "); got != "$.Secret.B" {
		t.Errorf("without rules it hears %q", got)
	}
}

// A replier is unbound even while a listener for bind events has no room for the news.
func TestDeposedWithoutRoom(t *testing.T) {
	d := newJudgedDevice(t)
	root, other := d.open(0, 0), d.open(1000, 1000)
	if errno := other.bind("$.Secret.A", kbusdev.Replier); errno != 0 {
		t.Fatal(errno)
	}
	for _, errno := range []syscall.Errno{
		root.bind(kbusdev.NameReplierBindEvent, kbusdev.Listener), root.setting(abi.HostIoctls.ReportReplierBinds, 1), root.setting(abi.HostIoctls.MaxMsgs, 1),
	} {
		if errno != 0 {
			t.Fatal(errno)
		}
	}
	d.replace(somebodys()...)
	if root.replier("$.Secret.A") != 0 {
		t.Error("it is still bound")
	}
	if got := root.names(); len(got) != 2 { // what it was told when it began to listen, and the news set aside
		t.Errorf("root got %q", got)
	}
}

func TestDeniedIsCountedAndLogged(t *testing.T) {
	d := newJudgedDevice(t, somebodys()...)
	s := d.r.d.server
	d.r.d.path = "/dev/kbus0"
	root, other := d.open(0, 0), d.open(1000, 1000)
	for _, name := range []string{"$.Secret.Door", "$.Open.Door"} {
		if errno := root.bind(name, kbusdev.Replier); errno != 0 {
			t.Fatal(errno)
		}
	}
	for range 3 {
		_ = other.send(kbusdev.Message{Name: "$.Secret.A"})
		s.sayDenials()
	}
	if log := d.log.String(); strings.Count(log, "\n") != 1 || !strings.Contains(log, `denied=1 last=announce name=$.Secret.A uid=1000`) {
		t.Errorf("the log is %q", log)
	}
	if n, last := s.denials.unsaid(time.Now().Add(sayEvery)); n != 2 || last.op != "announce" {
		t.Errorf("a minute later: %d, %+v", n, last)
	}
	var out bytes.Buffer
	if err := s.WriteStats(&out); err != nil || !strings.Contains(out.String(), "send pending false, denied 3\n") || !strings.HasSuffix(out.String(), "\n# denied by the rules so far: 3\n") ||
		strings.Count(out.String(), ", denied") != 1 {
		t.Errorf("stats: %v\n%s", err, &out)
	}
}

// The control socket tells an asker of what it may know.
func TestBindingsForTheLimited(t *testing.T) {
	d := newJudgedDevice(t, somebodys()...)
	s := d.r.d.server
	root := d.open(0, 0)
	for _, name := range []string{"$.Secret.Door", "$.Open.Door"} {
		if errno := root.bind(name, kbusdev.Replier); errno != 0 {
			t.Fatal(errno)
		}
	}
	var asked atomic.Pointer[Program]
	judgeOf := s.cfg.JudgeOf
	s.cfg.JudgeOf = func(p Program) membus.Judge {
		asked.Store(&p)
		return judgeOf(Program{UID: 1000})
	}
	path := filepath.Join(t.TempDir(), "control")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.ServeControl(ctx, l) }()
	answer, err := kbusdev.AskControl(t.Context(), path, kbusdev.ControlBindings)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := out.ReadFrom(answer); err != nil {
		t.Error(err)
	}
	_ = answer.Close()
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got := out.String(); strings.Contains(got, "Secret") || !strings.Contains(got, "R $.Open.Door\n") || !strings.HasSuffix(got, kbusdev.ControlEnd+"\n") {
		t.Errorf("the answer is\n%s", got)
	}
	if p := asked.Load(); p == nil || int(p.UID) != syscall.Getuid() || int(p.PID) != syscall.Getpid() {
		t.Errorf("asked is %+v", p)
	}
}

// What a judge costs an announcement from one program of a device to another, without the
// calls into the server.
func BenchmarkJudged(b *testing.B) {
	limited := []rules.Rule{{Deny: []string{"all"}, Names: []string{"$.Secret.*"}}, names}
	for what, all := range map[string][]rules.Rule{"no rules": nil, "rules": limited} {
		b.Run(what, func(b *testing.B) {
			set, err := rules.Compile(all)
			if err != nil {
				b.Fatal(err)
			}
			bus := membus.New()
			var ks [2]*membus.Ksock
			for i := range ks {
				k, err := bus.Open(kbusdev.ReadWrite)
				if err != nil {
					b.Fatal(err)
				}
				ks[i] = k.(*membus.Ksock)
				if policy := set.For(rules.Identity{}, 0); policy != nil {
					ks[i].JudgedBy(policy, func(op, name string, _ *kbusdev.Message) { b.Errorf("%s %s is denied", op, name) })
				}
			}
			if err := ks[1].Bind("$.Open.*", kbusdev.Listener); err != nil {
				b.Fatal(err)
			}
			m := &kbusdev.Message{Name: "$.Open.Sensor.Rain", Data: make([]byte, 64)}
			for b.Loop() {
				if _, err := ks[0].Send(b.Context(), m); err != nil {
					b.Fatal(err)
				}
				if n, err := ks[1].Next(); n == 0 || err != nil {
					b.Fatal(n, err)
				}
			}
		})
	}
}
