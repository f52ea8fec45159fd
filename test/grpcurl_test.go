package test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// grpcurl finds the real one: on the path, or where .ci/run builds the tools. What it
// returns runs it until it has said all of some words, or ends, and gives what it said.
func grpcurl(t *testing.T) func(stdin string, words []string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("grpcurl")
	if err != nil {
		path, err = filepath.Abs("../.cache/tools/grpcurl")
		if _, serr := os.Stat(path); serr != nil || err != nil {
			t.Skip("grpcurl is not installed: go build -C tools -o ../.cache/tools/ tool")
		}
	}
	return func(stdin string, words []string, args ...string) string {
		ctx, cancel := context.WithCancel(within(t))
		defer cancel()
		heard := &hearing{words: words, end: cancel}
		cmd := exec.CommandContext(ctx, path, append([]string{"-plaintext"}, args...)...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), heard, heard
		var exit *exec.ExitError
		if err := cmd.Run(); err != nil && ctx.Err() == nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return heard.said.String()
	}
}

// A hearing is over when all the words have been said; without words it has no end.
type hearing struct {
	said  bytes.Buffer
	words []string
	end   func()
}

func (h *hearing) Write(p []byte) (int, error) {
	h.said.Write(p)
	missing := func(word string) bool { return !strings.Contains(h.said.String(), word) }
	if len(h.words) > 0 && !slices.ContainsFunc(h.words, missing) {
		h.end()
	}
	return len(p), nil
}

// A person with grpcurl sees and does everything.
func TestGrpcurl(t *testing.T) {
	run := grpcurl(t)
	a := limpetd(t, 1, "--listen", "127.0.0.1:0", "--reflection", "peers")
	addr := a.listensAt(t)
	b := limpetd(t, 2, "--connect", addr)
	a.waitLinked(t, 1)
	r, err := b.bus.Serve(within(t), 0, "$.Ask")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	waitReplier(t, a, "$.Ask", true)
	answer(t, r, "hello")
	for _, c := range []struct {
		name  string
		args  []string
		words []string
	}{
		{"list", []string{"-unix", a.api, "list"}, []string{"kbus.limpet.v1.BusService", "kbus.limpet.v1.AdminService", "grpc.health.v1.Health", "grpc.channelz.v1.Channelz"}},
		{"describe", []string{"-unix", a.api, "describe", "kbus.limpet.v1.BusService.Call"}, []string{"CallRequest", "CallResponse"}},
		{"send", []string{"-unix", "-d", `{"name":"$.News.N","data":"aGk="}`, a.api, "kbus.limpet.v1.BusService/Send"}, []string{"idSerial"}},
		{"send text", []string{"-unix", "-d", `{"name":"$.News.N","data_text":"hi","flags":["FLAG_URGENT","FLAG_ALL_OR_FAIL"]}`, a.api, "kbus.limpet.v1.BusService/Send"}, []string{"idSerial"}},
		{"data twice", []string{"-unix", "-d", `{"name":"$.News.N","data_text":"hi","data":"aGk="}`, a.api, "kbus.limpet.v1.BusService/Send"}, []string{"InvalidArgument", "data and data_text are both set"}},
		{"call", []string{"-unix", "-d", `{"name":"$.Ask"}`, a.api, "kbus.limpet.v1.BusService/Call"}, []string{`"data": "aGVsbG8="`, `"outcome": "OUTCOME_ANSWERED"`}},
		{"listen", []string{"-unix", "-d", `{"names":["$.*"]}`, a.api, "kbus.limpet.v1.BusService/Listen"}, []string{"ksock"}},
		{"bindings", []string{"-unix", "-d", `{"page_size":1}`, a.api, "kbus.limpet.v1.BusService/ListBindings"}, []string{`"bindings"`, `"nextPageToken"`}},
		{"watch bindings", []string{"-unix", "-d", `{}`, a.api, "kbus.limpet.v1.BusService/WatchBindings"}, []string{`"bound"`, `"name": "$.Ask"`, `"whole": true`}},
		{"watch repliers", []string{"-unix", "-d", `{"name":"$.Ask"}`, a.api, "kbus.limpet.v1.BusService/WatchRepliers"}, []string{`"here"`, `"link": "network 2"`, `"networkId": 2`, `"whole": true`}},
		{"watch links", []string{"-unix", a.api, "kbus.limpet.v1.AdminService/WatchLinks"}, []string{"LINK_STATE_UP", `"whole": true`}},
		{"status", []string{"-unix", a.api, "kbus.limpet.v1.AdminService/GetStatus"}, []string{"LINK_STATE_UP", `"replies": "1"`}},
		{"health", []string{"-unix", "-d", `{"service":"kbus.limpet.v1.BusService"}`, a.api, "grpc.health.v1.Health/Check"}, []string{"SERVING"}},
		{"link health", []string{"-unix", "-d", `{"service":"link/connect ` + addr + `"}`, b.api, "grpc.health.v1.Health/Check"}, []string{`"SERVING"`}},
		{"peer listener", []string{addr, "list"}, []string{"kbus.limpet.v1.LinkService"}},
		{"bad name", []string{"-unix", "-d", `{"name":"$.*"}`, a.api, "kbus.limpet.v1.BusService/Send"}, []string{"InvalidArgument", "EBADMSG"}},
		{"nobody", []string{"-unix", "-d", `{"name":"$.Nobody"}`, a.api, "kbus.limpet.v1.BusService/Call"}, []string{"NotFound", "no replier is bound to $.Nobody", "EADDRNOTAVAIL", `"outcome": "NEVER_RAN"`}},
	} {
		out := run("", c.words, c.args...)
		for _, words := range c.words {
			if !strings.Contains(out, words) {
				t.Errorf("%s: grpcurl does not say %q:\n%s", c.name, words, out)
			}
		}
	}
	if out := run("", nil, addr, "list"); strings.Contains(out, "BusService") {
		t.Errorf("the bus is offered to peers:\n%s", out)
	}

	// Link itself: a greeting, and frames come back: the bind event of $.Ask among them.
	greeting := `{"frame":{"greeting":{"protocolVersion":1,"networkId":9,"instanceId":"AQEBAQEBAQEBAQEBAQEBAQ==","pattern":"$.*","windowMessages":10,"windowBytes":10000,"expectedSequence":1}}}`
	hello := []string{`"networkId": 1`, `"greeting"`}
	out := run(greeting, hello, "-d", "@", addr, "kbus.limpet.v1.LinkService/Link")
	for _, words := range hello {
		if !strings.Contains(out, words) {
			t.Errorf("Link by hand does not show %s:\n%s", words, out)
		}
	}
	wrong := []string{"ERROR_CODE_PROTOCOL", "first frame must be a greeting"}
	out = run(`{"frame":{"batch":{"firstSequence":"1"}}}`, wrong, "-d", "@", addr, "kbus.limpet.v1.LinkService/Link")
	for _, words := range wrong {
		if !strings.Contains(out, words) {
			t.Errorf("a wrong first frame does not give %s:\n%s", words, out)
		}
	}
}
