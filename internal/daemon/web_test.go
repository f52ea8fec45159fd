package daemon_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/internal/daemon"
	"github.com/kbus-limpet/limpet/internal/guard"
	"github.com/kbus-limpet/limpet/internal/sockaddr"
	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/limpet/rules"
)

// A browser is a client of HTTP at one address.
type browser struct {
	t    testing.TB
	base string // "http://localhost"
	http *http.Client
}

// browse returns a client of a daemon's door, over TLS with cfg unless that is nil.
func browse(t testing.TB, at net.Addr, cfg *tls.Config) *browser {
	t.Helper()
	b := &browser{t: t, base: "http://localhost"}
	if at.Network() == "tcp" {
		b.base = "http://" + at.String()
	}
	if cfg != nil {
		b.base = "https://" + at.String()
	}
	transport := &http.Transport{TLSClientConfig: cfg, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, at.Network(), at.String())
	}}
	t.Cleanup(transport.CloseIdleConnections)
	b.http = &http.Client{Transport: transport}
	return b
}

// do sends a request with more headers: "Host" is one of them. The caller closes the body.
func (b *browser) do(ctx context.Context, method, path string, body io.Reader, headers map[string]string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, b.base+path, body)
	if err != nil {
		b.t.Fatal(err)
	}
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/json")
	}
	for k, v := range headers {
		if k == "Host" {
			r.Host = v
		}
		r.Header.Set(k, v)
	}
	return b.http.Do(r)
}

// say sends a request, and returns the status and the body; 0 if there is no answer.
func (b *browser) say(method, path, body string, headers map[string]string) (int, string) {
	b.t.Helper()
	r, err := b.do(b.t.Context(), method, path, strings.NewReader(body), headers)
	if err != nil {
		return 0, err.Error()
	}
	defer r.Body.Close()
	all, err := io.ReadAll(r.Body)
	if err != nil {
		b.t.Error(err)
	}
	return r.StatusCode, string(all)
}

// call calls a method, and returns the status and the answer as an object.
func (b *browser) call(method, body string) (int, map[string]any) {
	b.t.Helper()
	code, text := b.say(http.MethodPost, "/kbus.limpet.v1."+method, body, nil)
	answer := make(map[string]any)
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		b.t.Errorf("%s is answered %d, %q: %v", method, code, text, err)
	}
	return code, answer
}

func onUnix(t testing.TB) *sockaddr.Address {
	a := unix(filepath.Join(t.TempDir(), "web"))
	return &a
}

func onLoopback() *sockaddr.Address {
	a := anyPort
	return &a
}

// The services are there as JSON, with the bus's refusals and the outcome of requests.
func TestWebCalls(t *testing.T) {
	r := start(t, daemon.Config{Web: onUnix(t)})
	b := browse(t, r.WebAddr(), nil)
	replier, err := r.bus.Serve(t.Context(), 0, "$.Clock.*")
	must(t, err)
	defer replier.Close()
	go func() {
		for {
			q, err := replier.Recv()
			if err != nil {
				return
			}
			if q.Name != "$.Clock.Never" {
				_ = replier.Reply(q, "", []byte("noon"))
			}
		}
	}()
	if code, answer := b.call("BusService/Call", `{"name":"$.Clock.Now"}`); code != 200 || answer["outcome"] != "OUTCOME_ANSWERED" || answer["reply"].(map[string]any)["data"] != "bm9vbg==" {
		t.Errorf("%d, %v", code, answer)
	}
	if code, answer := b.call("BusService/Call", `{"name":"$.Nobody"}`); code != 404 || !strings.Contains(fmt.Sprint(answer["details"]), "EADDRNOTAVAIL") || !strings.Contains(fmt.Sprint(answer["details"]), "NEVER_RAN") {
		t.Errorf("%d, %v", code, answer)
	}
	code, text := b.say(http.MethodPost, "/kbus.limpet.v1.BusService/Call", `{"name":"$.Clock.Never"}`, map[string]string{"Grpc-Timeout": "20m"})
	if code != 504 || !strings.Contains(text, "MAY_HAVE_RUN") && !strings.Contains(text, "deadline") {
		t.Errorf("a deadline that passes: %d, %s", code, text)
	}
	for body, want := range map[string]int{
		`{"name":"$.Clock.Now","nam":1}`: 400, `{`: 400, ``: 400, `[]`: 400, `{"name":` + strings.Repeat("[", 20000): 400,
		`{"data_text":"` + strings.Repeat("a", 1<<20) + `"}`: 429,
	} {
		if code, answer := b.call("BusService/Send", body); code != want || answer["message"] == "" {
			t.Errorf("%.40s: %d, %v, want %d", body, code, answer, want)
		}
	}
	if code, _ := b.call("LinkService/Link", `{}`); code != 501 {
		t.Errorf("a service for peers: %d", code)
	}
	if code, answer := b.call("AdminService/GetStatus", `{}`); code != 200 || answer["bus"] != "embedded" {
		t.Errorf("%d, %v", code, answer)
	}
}

// A stream's answers come when they are there, and a client that goes ends the call.
func TestWebStreams(t *testing.T) {
	r := start(t, daemon.Config{Web: onUnix(t)})
	b := browse(t, r.WebAddr(), nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	answer, err := b.do(ctx, http.MethodPost, "/kbus.limpet.v1.BusService/Listen", strings.NewReader(`{"names":["$.News.*"]}`), nil)
	must(t, err)
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	if !lines.Scan() || !strings.Contains(lines.Text(), `"result"`) {
		t.Fatalf("%q, %v", lines.Text(), lines.Err())
	}
	for i := range 3 {
		_, err := r.bus.Send(t.Context(), &kbusdev.Message{Name: fmt.Sprintf("$.News.N%d", i)})
		must(t, err)
		if !lines.Scan() || !strings.Contains(lines.Text(), fmt.Sprintf("$.News.N%d", i)) {
			t.Fatalf("%q, %v", lines.Text(), lines.Err())
		}
	}
	cancel()
	await(t, "nothing is bound any more", func() bool {
		all, err := r.bus.Bindings(t.Context())
		return err == nil && len(all) == 0
	})
	if code, text := b.say(http.MethodPost, "/kbus.limpet.v1.BusService/Listen", `{"names":["no name"]}`, nil); code != 400 || !strings.Contains(text, `"error"`) {
		t.Errorf("a stream that cannot begin: %d, %s", code, text)
	}
}

// Requests can be a stream too, with HTTP/1.1: a replier over HTTP.
func TestWebServes(t *testing.T) {
	r := start(t, daemon.Config{Web: onUnix(t)})
	b := browse(t, r.WebAddr(), nil)
	requests, say := io.Pipe()
	go func() { _, _ = io.WriteString(say, `{"bind":{"names":["$.Upper"]}}`+"\n") }()
	answer, err := b.do(t.Context(), http.MethodPost, "/kbus.limpet.v1.BusService/Serve", requests, nil)
	must(t, err)
	defer answer.Body.Close()
	lines := bufio.NewScanner(answer.Body)
	if !lines.Scan() || !strings.Contains(lines.Text(), `"bound"`) {
		t.Fatalf("%q, %v", lines.Text(), lines.Err())
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		var q struct {
			Result struct {
				Request struct{ IDSerial uint32 }
			}
		}
		if lines.Scan() && json.Unmarshal(lines.Bytes(), &q) == nil {
			_, _ = fmt.Fprintf(say, `{"reply":{"request_serial":%d,"data_text":"HELLO"}}`+"\n", q.Result.Request.IDSerial)
		}
	}()
	reply, err := r.bus.Call(t.Context(), &kbusdev.Message{Name: "$.Upper", Data: []byte("hello")})
	if err != nil || string(reply.Data) != "HELLO" {
		t.Errorf("%v, %v", reply, err)
	}
	<-done
	_, _ = io.WriteString(say, "no JSON\n")
	for lines.Scan() {
		if strings.Contains(lines.Text(), `"error"`) {
			break
		}
	}
	if !strings.Contains(lines.Text(), "ServeRequest") {
		t.Errorf("what is wrong with the requests: %q", lines.Text())
	}
	_ = say.Close()
}

// The page comes with what keeps a browser from anything else, and nobody may have it in a frame.
func TestWebPage(t *testing.T) {
	r := start(t, daemon.Config{Web: onLoopback()})
	b := browse(t, r.WebAddr(), nil)
	answer, err := b.do(t.Context(), http.MethodGet, "/", nil, nil)
	must(t, err)
	defer answer.Body.Close()
	page, err := io.ReadAll(answer.Body)
	must(t, err)
	if answer.StatusCode != 200 || !bytes.Contains(page, []byte("<title>limpetd")) {
		t.Errorf("%d, %.200s", answer.StatusCode, page)
	}
	for name, want := range map[string]string{
		"Content-Security-Policy": "default-src 'none'", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Cross-Origin-Resource-Policy": "same-origin",
	} {
		if got := answer.Header.Get(name); !strings.Contains(got, want) {
			t.Errorf("%s is %q", name, got)
		}
	}
	for name := range answer.Header {
		if strings.HasPrefix(name, "Access-Control-") {
			t.Errorf("there is a header %s", name)
		}
	}
	if code, _ := b.say(http.MethodGet, "/kbus.limpet.v1.AdminService/GetStatus", "", nil); code != 404 {
		t.Errorf("a method is called by GET: %d", code)
	}
	if code, _ := b.say(http.MethodGet, "/../../etc/passwd", "", nil); code == 200 {
		t.Error("a file that is none of the page's")
	}
}

// webTries are what strangers of the door try, each with the request that it would be.
var webTries = []struct{ what, path, body string }{
	{"sees the status", "AdminService/GetStatus", `{}`},
	{"sees bindings", "BusService/ListBindings", `{}`},
	{"sends", "BusService/Send", `{"name":"$.Stranger"}`},
	{"listens", "BusService/Listen", `{"names":["$.*"]}`},
	{"taps data", "AdminService/Tap", `{"max_data":16,"names":["no name"]}`},
	{"has links drained", "AdminService/DrainLink", `{"name":"none"}`},
}

// A webStranger is a row of the table.
type webStranger struct {
	who     string
	at      *browser
	method  string // "" is POST
	headers map[string]string
	want    string // what all is answered with, or each
}

// Pages of others get nothing, whoever has opened them; who is unknown may look. The table
// stands in docs/security.md.
func TestTableOfWebStrangers(t *testing.T) {
	open := start(t, daemon.Config{Web: onLoopback()})
	socket := start(t, daemon.Config{Web: onUnix(t)})
	ruled := start(t, daemon.Config{Web: onLoopback(), Rules: []rules.Rule{allow("any", "$.Stranger", "announce"), allow("uid:0", "", "all")}})
	files := newFolder(t, "hub,127.0.0.1", "friend", "guest")
	others := newFolder(t, "hub,127.0.0.1", "friend")
	secret := start(t, daemon.Config{Web: onLoopback(), TLS: files.tls("hub"), Rules: []rules.Rule{allow("name:friend", "", "all"), allow("uid:0", "", "all")}})

	here, unixHere := browse(t, open.WebAddr(), nil), browse(t, socket.WebAddr(), nil)
	host := open.WebAddr().String()
	all := []webStranger{
		{who: "a page of another site", at: here, headers: map[string]string{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, want: "403"},
		{who: "such a page, in a browser that says nothing but its origin", at: here, headers: map[string]string{"Origin": "https://evil.example"}, want: "403"},
		{who: "such a page, without anything that says where it is from, as a form sends", at: here, headers: map[string]string{"Content-Type": "text/plain"}, want: "415"},
		{who: "such a page, which asks first (OPTIONS)", at: here, method: http.MethodOptions, headers: map[string]string{"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}, want: "405"},
		{who: "a page of another port of this machine", at: here, headers: map[string]string{"Origin": "http://127.0.0.1:1", "Sec-Fetch-Site": "same-site"}, want: "403"},
		{who: "a page in a sandbox", at: here, headers: map[string]string{"Origin": "null"}, want: "403"},
		{who: "a page whose name leads here (DNS rebinding)", at: here, headers: map[string]string{"Host": "evil.example", "Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"}, want: "421"},
		{who: "such a page, through a tunnel to the Unix socket", at: unixHere, headers: map[string]string{"Host": "evil.example:8080", "Origin": "http://evil.example:8080"}, want: "421"},
		{who: "a page of another site, through a tunnel to the Unix socket", at: unixHere, headers: map[string]string{"Host": "localhost:8080", "Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, want: "403"},
		{who: "a browser on TLS without a certificate", at: browse(t, secret.WebAddr(), clientTLS(t, files, nil)), want: "none (handshakes)"},
		{who: "one with a certificate of another CA, for the same name", at: browse(t, secret.WebAddr(), clientTLS(t, files, others.tls("friend"))), want: "none (handshakes)"},
		{who: "one that speaks no TLS there", at: browse(t, secret.WebAddr(), nil), want: "none (handshakes)"},
		{who: "one with a good certificate, which the rules do not know", at: browse(t, secret.WebAddr(), clientTLS(t, files, files.tls("guest"))), want: "403, 200, 404, 404, 403, 403"},
		{who: "a page of another site, in the browser of one that may do all", at: browse(t, secret.WebAddr(), clientTLS(t, files, files.tls("friend"))), headers: map[string]string{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}, want: "403"},
		{who: "anybody on a loopback address, with rules", at: browse(t, ruled.WebAddr(), nil), want: "403, 200, 200, 404, 403, 403"},
		{who: "anybody on a loopback address, without rules", at: here, want: "200, 200, 403, 403, 403, 403"},
		{who: "the page itself there", at: here, headers: map[string]string{"Origin": "http://" + host, "Sec-Fetch-Site": "same-origin"}, want: "200, 200, 403, 403, 403, 403"},
	}
	page, err := os.ReadFile("../../docs/security.md")
	must(t, err)
	for _, x := range all {
		counted := func() uint64 {
			if x.at.base[:5] != "https" && x.at.base != "http://"+secret.WebAddr().String() {
				return 0
			}
			st, err := secret.bus.Status(t.Context())
			must(t, err)
			for _, b := range st.GetBoundsReached() {
				if b.GetWho() == "web" && b.GetBound() == "handshakes" {
					return b.GetCount()
				}
			}
			return 0
		}
		before := counted()
		var got []string
		for _, try := range webTries {
			method := x.method
			if method == "" {
				method = http.MethodPost
			}
			code := x.at.begins(method, try.path, try.body, x.headers)
			got = append(got, strings.Replace(fmt.Sprint(code), "0", "none (handshakes)", map[bool]int{true: 1}[code == 0]))
		}
		if strings.Contains(x.want, "handshakes") {
			await(t, "it is counted that the handshake of "+x.who+" failed", func() bool { return counted() > before })
		}
		want := strings.Split(x.want, ", ")
		if len(want) == 1 {
			want = []string{want[0], want[0], want[0], want[0], want[0], want[0]}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", x.who, got, want)
		}
		if line := "| " + x.who + " | " + strings.Join(want, " | ") + " |\n"; !bytes.Contains(page, []byte(line)) {
			t.Errorf("docs/security.md has no line\n%s", line)
		}
	}
	friend := browse(t, secret.WebAddr(), clientTLS(t, files, files.tls("friend")))
	if code, answer := friend.call("AdminService/GetStatus", `{}`); code != 200 {
		t.Errorf("the friend: %d, %v", code, answer)
	}
	if code, text := friend.say(http.MethodGet, "/visitor", "", nil); code != 200 || !strings.Contains(text, `"identity":"friend","transport":"tls","admin":true,"looks":false`) {
		t.Errorf("the friend is %d, %s", code, text)
	}
	if code, text := unixHere.say(http.MethodGet, "/visitor", "", nil); code != 200 || !strings.Contains(text, fmt.Sprintf(`"identity":"uid %d (pid %d)","transport":"unix","admin":true,"looks":false`, os.Getuid(), os.Getpid())) {
		t.Errorf("on the Unix socket it is %d, %s", code, text)
	}
	if code, text := here.say(http.MethodGet, "/visitor", "", nil); code != 200 || !strings.Contains(text, `"identity":"unknown","transport":"plain","admin":true,"looks":true`) {
		t.Errorf("on the loopback address it is %d, %s", code, text)
	}
}

// begins returns the status that a request is answered with; a stream is ended then.
func (b *browser) begins(method, path, body string, headers map[string]string) int {
	ctx, cancel := context.WithTimeout(b.t.Context(), time.Minute)
	defer cancel()
	r, err := b.do(ctx, method, "/kbus.limpet.v1."+path, strings.NewReader(body), headers)
	if err != nil {
		return 0
	}
	defer r.Body.Close()
	return r.StatusCode
}

// clientTLS is what a browser trusts and shows; nil shows nothing.
func clientTLS(t testing.TB, trust folder, shows *daemon.TLS) *tls.Config {
	t.Helper()
	cfg := &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "hub"}
	pem, err := os.ReadFile(trust.tls("").CA)
	if err != nil || !cfg.RootCAs.AppendCertsFromPEM(pem) {
		t.Fatal(err)
	}
	if shows != nil {
		cert, err := tls.LoadX509KeyPair(shows.Cert, shows.Key)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Certificates = []tls.Certificate{cert}
	}
	return cfg
}

// The door has bounds of its own, which leave those of programs alone.
func TestWebBounds(t *testing.T) {
	bounds := daemon.DefaultBounds()
	bounds.Web.Connections = 3
	bounds.Web.Calls = []guard.Calls{{Bound: "calls", InAll: 1}}
	r := start(t, daemon.Config{Web: onUnix(t), Bounds: &bounds})
	b := browse(t, r.WebAddr(), nil)
	stream, err := b.do(t.Context(), http.MethodPost, "/kbus.limpet.v1.AdminService/WatchLinks", strings.NewReader(`{}`), nil)
	must(t, err)
	defer stream.Body.Close()
	if code, answer := b.call("AdminService/GetStatus", `{}`); code != 429 {
		t.Errorf("a second call: %d, %v", code, answer)
	}
	if _, err := r.bus.Status(t.Context()); err != nil {
		t.Errorf("by gRPC: %v", err)
	}
	more := 0
	await(t, "a connection is one too many", func() bool {
		conn, err := net.Dial("unix", r.WebAddr().String())
		must(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		more++
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		_, err = conn.Read(make([]byte, 1))
		return err != nil && !os.IsTimeout(err)
	})
	st, err := r.bus.Status(t.Context())
	must(t, err)
	reached := make(map[string]uint64)
	for _, x := range st.GetBoundsReached() {
		reached[x.GetWho()+": "+x.GetBound()] = x.GetCount()
	}
	if reached["web: calls"] == 0 || reached["web: connections"] == 0 || len(reached) != 2 {
		t.Errorf("%v", reached)
	}
}

// A stop ends what is open over HTTP, and what has said nothing yet.
func TestWebStops(t *testing.T) {
	r := start(t, daemon.Config{Web: onLoopback()})
	b := browse(t, r.WebAddr(), nil)
	stream, err := b.do(t.Context(), http.MethodPost, "/kbus.limpet.v1.AdminService/WatchLinks", strings.NewReader(`{}`), nil)
	must(t, err)
	defer stream.Body.Close()
	quiet, err := net.Dial("tcp", r.WebAddr().String())
	must(t, err)
	defer quiet.Close()
	half, err := net.Dial("tcp", r.WebAddr().String())
	must(t, err)
	defer half.Close()
	_, err = io.WriteString(half, "POST /kbus.limpet.v1.BusService/Send HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{")
	must(t, err)
	r.stop()
	select {
	case <-r.done:
	case <-time.After(30 * time.Second):
		t.Fatal("the daemon does not stop within 30 s")
	}
	if _, err := io.Copy(io.Discard, stream.Body); err != nil {
		t.Logf("the stream ended with %v", err)
	}
}

// Beyond this machine it takes TLS.
func TestWebSecrecy(t *testing.T) {
	for address, refused := range map[string]bool{"localhost:8080": false, "[::1]:8080": false, ":8080": true, "192.0.2.1:8080": true} {
		cfg := daemon.Config{Web: &sockaddr.Address{Network: "tcp", Address: address}}
		if err := cfg.Validate(); (err != nil) != refused || refused && !strings.Contains(err.Error(), "--web") {
			t.Errorf("%s: %v", address, err)
		}
	}
}
