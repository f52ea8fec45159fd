package daemon_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/kbus-limpet/limpet/client"
	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/daemon"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/rules"
)

// A site is a daemon that strangers try, and a pair of programs that go on meanwhile: one on
// its bus, one on that of a friend.
type site struct {
	t           *testing.T
	hub, friend *running
	admin       *client.Bus // of the hub
	peers, api  net.Addr
	beats       atomic.Uint64
	open        kbusdev.MsgID // a request on the hub's bus that the friend has still to answer

	answer func() (asked string) // has it answered, and returns what the asker gets
	finish func() (beats int)    // ends the pair, which must have lost nothing
}

// strangersRules let the friend do everything, and somebody join as network 66, and do nothing.
func strangersRules(friend, guest string) []rules.Rule {
	return []rules.Rule{
		allow(friend, "", "all"),
		{Allow: []string{"join"}, Who: []string{friend}, Networks: []string{"2"}},
		{Allow: []string{"join"}, Who: []string{guest}, Networks: []string{"66"}},
	}
}

// newSite has the hub's API on a listener that is open.
func newSite(t *testing.T, api net.Listener, hub, friend daemon.Config, admin ...client.Option) *site {
	t.Helper()
	hub.NetworkID, friend.NetworkID = 1, 2
	s := &site{t: t, api: api.Addr()}
	s.hub = startAt(t, api, hub, admin...)
	s.admin, s.peers = s.hub.bus, s.hub.PeerAddrs()[0]
	friend.Links = dial(addrOf(s.hub))
	s.friend = start(t, friend)
	s.hub.wait(limpet.Up)
	s.friend.wait(limpet.Up)
	s.begin()
	return s
}

// startAt is start for an API on a listener that is open.
func startAt(t *testing.T, api net.Listener, cfg daemon.Config, options ...client.Option) *running {
	t.Helper()
	cfg.Bus = daemon.Embedded
	must(t, cfg.Adopt(daemon.Sockets{daemon.SocketAPI: {api}}))
	d, err := daemon.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Daemon: d, t: t, api: api.Addr().String(), stop: cancel, done: make(chan struct{})}
	go func() { defer close(r.done); r.err = d.Run(ctx, nil) }()
	if r.bus, err = client.Open(r.api, options...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = r.bus.Close()
		cancel()
		<-r.done
		if r.err != nil {
			t.Errorf("Run: %v", r.err)
		}
		checkDrops(t, r.Node())
	})
	return r
}

// begin starts the pair. A program on the hub's bus asks the friend's again and again, which
// announces the number that it is asked with before it answers; a listener on the hub's bus
// hears each of these once, in order. Another request is left open.
func (s *site) begin() {
	t, ctx := s.t, s.t.Context()
	here, there := ksock(t, s.hub), ksock(t, s.friend)
	heard, err := s.hub.bus.Listen(ctx, client.ListenConfig{Names: []string{"$.Beat"}, MaxMessages: 10_000})
	must(t, err)
	for _, name := range []string{"$.Friend", "$.Slow"} {
		must(t, there.Bind(name, kbusdev.Replier))
		s.hub.waitReplier(name)
	}
	s.open, err = here.Send(ctx, &kbusdev.Message{Name: "$.Slow", Flags: kbusdev.WantReply})
	must(t, err)
	slow, err := there.Recv(ctx)
	must(t, err)
	await(t, "it is known at the friend that somebody listens", func() bool {
		ps := s.friend.Node().Peerings()
		return len(ps) == 1 && ps[0].Wants("$.Beat")
	})
	pace := time.NewTicker(2 * time.Millisecond)
	t.Cleanup(pace.Stop)
	stop, stopped := make(chan struct{}), make(chan int)
	var pair sync.WaitGroup
	pair.Go(func() { // the friend's program
		for {
			q, err := there.Recv(ctx)
			if err != nil {
				return
			}
			if _, err := there.Send(ctx, &kbusdev.Message{Name: "$.Beat", Data: q.Data}); err != nil {
				t.Errorf("announcing: %v", err)
			}
			if _, err := there.Send(ctx, &kbusdev.Message{Name: q.Name, To: q.From, InReplyTo: q.ID, Data: q.Data}); err != nil {
				t.Errorf("answering: %v", err)
			}
		}
	})
	pair.Go(func() { // who asks
		n := 0
		for ; ; n++ {
			select {
			case <-stop:
				stopped <- n
				return
			case <-pace.C:
			}
			s.beats.Store(uint64(n))
			data := strconv.Itoa(n)
			r, err := s.hub.bus.Call(ctx, &kbusdev.Message{Name: "$.Friend", Data: []byte(data)})
			if err != nil || string(r.Data) != data {
				t.Errorf("call %d is answered %v, %v", n, r, err)
				stopped <- n
				return
			}
		}
	})
	s.answer = func() string {
		_, err := there.Send(ctx, &kbusdev.Message{Name: "$.Slow", To: slow.From, InReplyTo: slow.ID, Data: []byte("the friend")})
		must(t, err)
		r, err := here.Recv(ctx)
		must(t, err)
		return string(r.Data)
	}
	s.finish = func() int {
		close(stop)
		n := <-stopped
		for i := range n {
			if m, err := heard.Recv(); err != nil || string(m.Data) != strconv.Itoa(i) {
				t.Fatalf("of %d announcements, number %d is %v, %v", n, i, m, err)
			}
		}
		_ = there.Close()
		pair.Wait()
		heard.Close()
		return n
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A stranger is one row of the table.
type stranger struct {
	who  string
	dial func(at net.Addr) *grpc.ClientConn
	says *pb.Greeting
	want [numTries]outcome
}

// An outcome is a cell of the table: how an attempt ends, and what it is counted as.
type outcome struct {
	is      string
	counted []string // "who: what", as in status
}

// refusedAs returns a row of one outcome.
func refusedAs(is string, counted ...string) (row [numTries]outcome) {
	for i := range row {
		row[i] = outcome{is, counted}
	}
	return row
}

// turnedAway is the row of those whom the handshake of TLS does not let in.
func turnedAway() [numTries]outcome {
	row := refusedAs("Unavailable", "peers: handshakes")
	row[lists] = outcome{"Unavailable", []string{"peers: handshakes", "programs: handshakes"}}
	row[reloads] = row[lists]
	return row
}

// letIn is the row of those who are known, and may do nothing.
func letIn() [numTries]outcome {
	row := refusedAs("FailedPrecondition", "peers: links refused: not authorised")
	row[lists] = outcome{"Unimplemented, PermissionDenied; bindings: Unimplemented, none", []string{"programs: calls for administrators", "peers: calls of what is not offered"}}
	row[reloads] = outcome{"Unimplemented, PermissionDenied", row[lists].counted}
	row[exhausts] = outcome{"ResourceExhausted", []string{"peers: links"}}
	return row
}

// guest is the row of those who may join, and no more.
func guest() [numTries]outcome {
	row := letIn()
	row[joins] = outcome{"joins, as itself", nil}
	row[binds] = outcome{"not bound", []string{"link: denied"}}
	row[answers] = outcome{"dropped", []string{"link: unknown_reply"}}
	row[reads] = outcome{"nothing comes", nil}
	return row
}

// The columns: what a stranger tries.
const (
	joins = iota
	binds
	answers
	reads
	lists
	reloads
	exhausts
	numTries
)

var tries = [numTries]string{"joins", "binds `$.*`", "answers another's request", "reads", "lists", "reloads", "exhausts"}

func greeting(network uint32, instance, linkID, session []byte) *pb.Greeting {
	g := &pb.Greeting{
		ProtocolVersion: 1, NetworkId: network, InstanceId: instance, LinkId: linkID, Pattern: "$.*", MaxMessageSize: 1 << 20,
		WindowMessages: 4096, WindowBytes: 16 << 20, ExpectedSequence: 1, Features: []string{"interest", "drain"},
	}
	if session != nil {
		g.SessionId = session
	}
	return g
}

func anyID(b byte) []byte { return []byte(strings.Repeat(string(rune('a'+b)), 16)) }

// try makes one attempt on connections of its own, and returns how it ended.
func (s *site) try(x *stranger, what int) string {
	network := x.says.GetNetworkId()
	switch what {
	case joins:
		return s.link(x, "")
	case binds:
		return s.link(x, "not bound", &pb.Message{
			IdNetwork: network, Name: kbusdev.NameReplierBindEvent, BindEvent: &pb.BindEvent{IsBind: true, Binder: 7, Name: "$.*"},
		})
	case answers:
		return s.link(x, "dropped", &pb.Message{
			IdNetwork: network, IdSerial: 1, OrigFromNetwork: network, OrigFromLocal: 9,
			InReplyToNetwork: 1, InReplyToSerial: s.open.Serial, Name: "$.Slow", Data: []byte("a stranger"),
		})
	case reads:
		return s.read(x)
	case lists:
		ended := s.calls(x, func(ctx context.Context, c *grpc.ClientConn) (any, error) {
			return pb.NewAdminServiceClient(c).GetStatus(ctx, &pb.GetStatusRequest{})
		})
		bindings := s.calls(x, func(ctx context.Context, c *grpc.ClientConn) (any, error) {
			r, err := pb.NewBusServiceClient(c).ListBindings(ctx, &pb.ListBindingsRequest{})
			if len(r.GetBindings()) == 0 {
				return "none", err
			}
			return r, err
		})
		if bindings == ended {
			return ended
		}
		return ended + "; bindings: " + bindings
	case reloads:
		return s.calls(x, func(ctx context.Context, c *grpc.ClientConn) (any, error) {
			return pb.NewAdminServiceClient(c).Reload(ctx, &pb.ReloadRequest{})
		})
	default:
		return s.exhaust(x)
	}
}

// counted returns all that status counts of what was refused.
func (s *site) counted() map[string]uint64 {
	st, err := s.admin.Status(s.t.Context())
	must(s.t, err)
	all := map[string]uint64{"api denied": st.GetApiDenied()}
	for _, b := range st.GetBoundsReached() {
		all[b.GetWho()+": "+b.GetBound()] = b.GetCount()
	}
	for _, l := range st.GetLinks() {
		if l.GetPeerNetworkId() != 2 {
			for why, n := range l.GetCounts().GetFromPeerEnded() {
				all["link: "+why] += n
			}
		}
	}
	return all
}

// within bounds what a stranger waits for.
func (s *site) within() (context.Context, context.CancelFunc) {
	return context.WithTimeout(s.t.Context(), 30*time.Second)
}

// calls makes a call at both addresses, and returns how they end.
func (s *site) calls(x *stranger, f func(context.Context, *grpc.ClientConn) (any, error)) string {
	ctx, cancel := s.within()
	defer cancel()
	var all []string
	for _, at := range []net.Addr{s.peers, s.api} {
		conn := x.dial(at)
		got, err := f(ctx, conn)
		_ = conn.Close()
		said := status.Code(err).String()
		if err == nil {
			said = fmt.Sprint(got)
		}
		if !slices.Contains(all, said) {
			all = append(all, said)
		}
	}
	return strings.Join(all, ", ")
}

// link greets, and returns how that is refused. If it is not, it sends the messages, whose
// fate is fate if they are dropped.
func (s *site) link(x *stranger, fate string, messages ...*pb.Message) string {
	ctx, cancel := s.within()
	defer cancel()
	conn := x.dial(s.peers)
	defer conn.Close()
	st, refused := s.greet(ctx, conn, x)
	if st == nil {
		return refused
	}
	if len(messages) == 0 {
		return "joins, as itself"
	}
	_ = st.Send(&pb.LinkRequest{Frame: &pb.Frame{Kind: &pb.Frame_Batch{Batch: &pb.Batch{FirstSequence: 1, Messages: messages}}}})
	for {
		r, err := st.Recv()
		if err != nil {
			return err.Error()
		}
		if max(r.GetFrame().GetAck().GetSequence(), r.GetFrame().GetBatch().GetAck()) == uint64(len(messages)) {
			return fate // play looks at the counts, and undisturbed at the bus
		}
	}
}

// greet says hello; st is nil if that is refused, and refused says how.
func (s *site) greet(ctx context.Context, conn *grpc.ClientConn, x *stranger) (st grpc.BidiStreamingClient[pb.LinkRequest, pb.LinkResponse], refused string) {
	st, err := pb.NewLinkServiceClient(conn).Link(ctx)
	var r *pb.LinkResponse
	if err == nil {
		_ = st.Send(&pb.LinkRequest{Frame: &pb.Frame{Kind: &pb.Frame_Greeting{Greeting: x.says}}})
		r, err = st.Recv()
	}
	switch {
	case err != nil:
		return nil, status.Code(err).String()
	case r.GetFrame().GetError() != nil:
		_, err = st.Recv()
		return nil, status.Code(err).String()
	}
	return st, ""
}

// read wants everything, and returns what it gets within some beats of the pair.
func (s *site) read(x *stranger) string {
	ctx, cancel := s.within()
	defer cancel()
	conn := x.dial(s.peers)
	defer conn.Close()
	st, refused := s.greet(ctx, conn, x)
	if st == nil {
		return refused
	}
	_ = st.Send(&pb.LinkRequest{Frame: &pb.Frame{Kind: &pb.Frame_Interest{Interest: &pb.Interest{Restart: true, Wanted: []string{"$.*"}, Whole: true}}}})
	beats := s.beats.Load()
	await(s.t, "the pair goes on", func() bool { return s.beats.Load() > beats+3 })
	_ = st.CloseSend()
	for {
		r, err := st.Recv()
		if err != nil {
			return "nothing comes"
		}
		if got := r.GetFrame().GetBatch().GetMessages(); len(got) > 0 {
			return "it reads " + got[0].GetName()
		}
	}
}

// exhaust opens many links at once on one connection and greets on none of them.
func (s *site) exhaust(x *stranger) string {
	ctx, cancel := s.within()
	defer cancel()
	conn := x.dial(s.peers)
	defer conn.Close()
	ended := make(chan string)
	const streams = 40
	for range streams {
		go func() {
			st, err := pb.NewLinkServiceClient(conn).Link(ctx)
			if err == nil {
				_, err = st.Recv()
			}
			ended <- status.Code(err).String()
		}()
	}
	said := make(map[string]bool)
	for i := range streams {
		if i == streams-8 && !said["Unavailable"] { // those that have a place wait for us
			cancel()
		}
		said[<-ended] = true
	}
	delete(said, "Canceled")
	return strings.Join(slices.Sorted(maps.Keys(said)), "/")
}

// play has each stranger try everything, and returns the table's lines.
func (s *site) play(all ...*stranger) (lines []string) {
	s.t.Helper()
	for _, x := range all {
		line := "| " + x.who + " |"
		for what := range numTries {
			want := &x.want[what]
			before := s.counted()
			if got := s.try(x, what); got != want.is {
				s.t.Errorf("a stranger %s %s: %s, want %s", x.who, tries[what], got, want.is)
			}
			cell := want.is
			if len(want.counted) > 0 {
				await(s.t, fmt.Sprintf("what a stranger %s, who %s, is refused is counted as %q", x.who, tries[what], want.counted), func() bool {
					now := s.counted()
					return !slices.ContainsFunc(want.counted, func(what string) bool { return now[what] == before[what] })
				})
				_, bound, _ := strings.Cut(want.counted[0], ": ")
				cell += " (" + bound + ")"
			}
			line += " " + cell + " |"
		}
		lines = append(lines, line)
	}
	s.undisturbed()
	return lines
}

// undisturbed ends the pair, and looks at what the strangers have left.
func (s *site) undisturbed() {
	t, ctx := s.t, s.t.Context()
	t.Helper()
	if got := s.answer(); got != "the friend" {
		t.Errorf("the request that was open is answered by %q", got)
	}
	t.Logf("%d calls were answered, and as many announcements heard, meanwhile", s.finish())
	bound, err := s.admin.Bindings(ctx)
	must(t, err)
	for _, b := range bound {
		if b.Name == "$.*" && b.Role == kbusdev.Replier {
			t.Errorf("somebody has bound %v", b)
		}
	}
	links, err := s.admin.LinkStatus(ctx, "network 2", 0)
	must(t, err)
	if l := links[0]; l.GetEpochs() != 1 || l.GetResumed() != 0 || l.GetState() != pb.LinkState_LINK_STATE_UP || len(l.GetCounts().GetLost()) != 0 {
		t.Errorf("the friend's link: %v", l)
	}
}

// dialTLS returns how somebody with a certificate dials; "" is none.
func dialTLS(t *testing.T, trust folder, shows *daemon.TLS) func(net.Addr) *grpc.ClientConn {
	t.Helper()
	roots := x509.NewCertPool()
	pem, err := os.ReadFile(trust.tls("").CA)
	if err != nil || !roots.AppendCertsFromPEM(pem) {
		t.Fatal(err)
	}
	cfg := &tls.Config{RootCAs: roots, ServerName: "hub"}
	if shows != nil {
		cert, err := tls.LoadX509KeyPair(shows.Cert, shows.Key)
		must(t, err)
		cfg.Certificates = []tls.Certificate{cert}
	}
	return func(at net.Addr) *grpc.ClientConn { return dialBy(t, credentials.NewTLS(cfg), at.String()) }
}

func dialBy(t *testing.T, creds credentials.TransportCredentials, target string, more ...grpc.DialOption) *grpc.ClientConn {
	conn, err := grpc.NewClient("passthrough:///"+target, append(more, grpc.WithTransportCredentials(creds), grpc.WithDisableRetry(),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: backoff.Config{BaseDelay: time.Hour, Multiplier: 1, MaxDelay: time.Hour}}))...)
	must(t, err)
	return conn
}

// asUser returns how a process of another user dials a Unix socket. The user is that of one
// thread, for as long as connect takes.
func asUser(t *testing.T, uid, gid int) func(net.Addr) *grpc.ClientConn {
	return func(at net.Addr) *grpc.ClientConn {
		return dialBy(t, insecure.NewCredentials(), at.String(), grpc.WithContextDialer(func(context.Context, string) (net.Conn, error) {
			runtime.LockOSThread() // never unlocked: the thread ends with the goroutine if its user cannot be restored
			const keep = ^uintptr(0)
			set := func(uid, gid int, first uintptr) error {
				calls := [][2]uintptr{{syscall.SYS_SETRESGID, uintptr(gid)}, {syscall.SYS_SETRESUID, uintptr(uid)}}
				if first == syscall.SYS_SETRESUID {
					slices.Reverse(calls)
				}
				for _, c := range calls {
					if _, _, errno := syscall.RawSyscall(c[0], keep, c[1], keep); errno != 0 {
						return errno
					}
				}
				return nil
			}
			if err := set(uid, gid, syscall.SYS_SETRESGID); err != nil {
				return nil, err
			}
			conn, err := net.Dial("unix", at.String())
			if back := set(0, 0, syscall.SYS_SETRESUID); back != nil {
				return nil, errors.Join(back, err)
			}
			runtime.UnlockOSThread()
			return conn, err
		}))
	}
}

// Strangers try everything, and get nothing; each refusal is counted in status, and whoever
// belongs there notices nothing.
func TestTableOfStrangers(t *testing.T) {
	t.Parallel()
	lines := append(strangersOverTLS(t), strangersOnUnix(t)...)
	page, err := os.ReadFile("../../docs/security.md")
	must(t, err)
	for _, line := range lines {
		if !strings.Contains(string(page), line+"\n") {
			t.Errorf("docs/security.md has no line\n%s", line)
		}
	}
}

func strangersOverTLS(t *testing.T) []string {
	ours, theirs := newFolder(t, "hub,127.0.0.1", "friend", "guest"), newFolder(t, "hub,127.0.0.1", "friend", "revoked")
	both := filepath.Join(t.TempDir(), "ca.pem")
	replace(t, both, ours.tls("").CA, theirs.tls("").CA)
	shows := ours.tls("hub")
	shows.CA = both
	api, err := net.Listen("tcp", anyPort.Address)
	must(t, err)
	s := newSite(t, api,
		daemon.Config{Links: accept(anyPort), TLS: shows, Rules: strangersRules("name:friend", "name:guest")},
		daemon.Config{TLS: ours.tls("friend")},
		client.WithTLS(client.TLS{Cert: ours.tls("friend").Cert, Key: ours.tls("friend").Key, CA: ours.tls("friend").CA, Name: "hub"}))
	friendly := s.friend.Node().Peerings()[0].Status()
	instance, linkID, session := friendsIDs(t, s, friendly)

	revoked := &stranger{who: "whose CA has been taken out of the file", dial: dialTLS(t, ours, theirs.tls("revoked")), says: greeting(66, anyID(1), anyID(1), nil), want: turnedAway()}
	if got := s.link(revoked, ""); got != "FailedPrecondition" { // it is let in as far as the rules
		t.Errorf("before the CA is taken out: %s", got)
	}
	replace(t, both, ours.tls("").CA)

	another := dialTLS(t, ours, ours.tls("guest"))
	all := []*stranger{
		{who: "without a certificate", dial: dialTLS(t, ours, nil), says: greeting(2, anyID(2), anyID(2), nil), want: turnedAway()},
		{who: "with a certificate of another CA, for the same name", dial: dialTLS(t, ours, theirs.tls("friend")), says: greeting(2, anyID(3), anyID(3), nil), want: turnedAway()},
		{who: "with a good certificate, as another's network", dial: another, says: greeting(2, anyID(4), anyID(4), nil), want: letIn()},
		{who: "that replays another's hello: its network, instance, session", dial: another, says: greeting(2, instance, linkID, session), want: letIn()},
		{who: "that joins as itself, with another's link id, instance and session", dial: another, says: greeting(66, instance, linkID, session), want: guest()},
		revoked,
	}
	await(t, "the daemon has seen that the CA is gone", func() bool { return s.link(revoked, "") == "Unavailable" })
	return s.play(all...)
}

// friendsIDs returns the secrets of the friend's link.
func friendsIDs(t *testing.T, s *site, st limpet.Status) (instance, linkID, session []byte) {
	t.Helper()
	links, err := s.admin.LinkStatus(t.Context(), "network 2", 0)
	must(t, err)
	instance, err = hex.DecodeString(strings.ReplaceAll(links[0].GetPeerInstanceId(), "-", ""))
	must(t, err)
	session, err = hex.DecodeString(links[0].GetSessionId())
	must(t, err)
	if st.Session.String() != links[0].GetSessionId() {
		t.Errorf("the two ends speak of sessions %s and %s", st.Session, links[0].GetSessionId())
	}
	return instance, []byte(s.hub.Node().Peerings()[0].Status().Peer.LinkID), session
}

func strangersOnUnix(t *testing.T) []string {
	if os.Geteuid() != 0 {
		t.Log("other users of this machine are not tried: only root can be them")
		return nil
	}
	dir, err := os.MkdirTemp("/tmp", "strangers") //nolint:usetesting // others must get into it
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	at := filepath.Join(dir, "api")
	api, err := net.Listen("unix", at)
	must(t, err)
	must(t, os.Chown(at, 0, 12345))
	must(t, os.Chmod(at, 0o660))
	s := newSite(t, api,
		daemon.Config{
			Links: accept(unix(filepath.Join(dir, "link"))), PeerGroup: "12345",
			Rules: strangersRules("uid:0", "uid:4"),
		}, daemon.Config{})
	return s.play(
		&stranger{who: "another user of this machine", dial: asUser(t, 4321, 4321), says: greeting(2, anyID(6), anyID(6), nil), want: refusedAs("Unavailable")},
		&stranger{who: "another user, in the group of the sockets", dial: asUser(t, 4321, 12345), says: greeting(2, anyID(7), anyID(7), nil), want: letIn()},
	)
}
