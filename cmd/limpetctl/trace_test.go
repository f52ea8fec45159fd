package main

import (
	"bytes"
	"strings"
	"testing"
)

// What would become of a message is printed as a tree, in which nothing that others have said
// is obeyed by a terminal.
func TestTraceIsATree(t *testing.T) {
	api := serve(t, steadyDaemon{}, steadyDaemon{})
	var out, errOut bytes.Buffer
	if code := run(t.Context(), []string{"--api", api, "trace", "$.Ask", "--format", "text"}, &out, &errOut); code != exitOK {
		t.Fatalf("it exits with %d: %s", code, &errOut)
	}
	const want = `request $.Ask would be answered by ksock 4 of network 7
network 1: request $.Ask id [0:?]
├─ rule 2 of the link allows it to request: allow: [request]
├─ replier: ksock 2, bound to $.*, for link network 7
├─ listener: ksock 6, bound to $.Ask
├─ listener: ksock 8, bound to $.%, but does not hear it: to listen: no rule matches, so it is denied
├─ link network 7: request $.Far.Ask id [1:?] orig_from {1:?}; asked in 250ms
│  └─ network 7: request $.Far.Ask id [1:?] orig_from {1:?}
│     └─ replier: ksock 4, bound to $.Far.Ask
├─ link connect hosta:7000: not sent: nobody there wants to hear it (unwanted)
├─ link network 9 (classic): request $.Ask id [0:?]: the peer is an upstream limpet, which cannot be asked
└─ link connect hostb:7000: the link is not up (connecting: no such host\x1b[2J)
`
	if out.String() != want {
		t.Errorf("it prints\n%s", &out)
	}
}

// With --deliver it stands beside what was foretold what has become of the message.
func TestTraceDelivers(t *testing.T) {
	api := serve(t, steadyDaemon{}, steadyDaemon{})
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"trace $.Ask --deliver now", exitOK, "by ksock 4 of network 7 after "},
		{"trace $.Ask --deliver --format json", exitOK, `"by":{"network":7,"ksock":4},"link":"network 7","networks":[1,7],"answer":"","errno":"","error":"","verdict":"as foretold"}}`},
		{"trace $.Gone --deliver", exitFailed, "not what was foretold"},
		{"trace $.Ask now", exitUsage, "say --deliver"},
		{"trace $.Ask --kind reply", exitUsage, "is not request, announcement or stateful-request"},
		{"trace $.Ask --deliver --from connect", exitUsage, "none of the others can be"},
		{"trace", exitUsage, "arg"},
	} {
		var out bytes.Buffer
		code := run(t.Context(), append([]string{"--api", api}, strings.Fields(c.args)...), &out, &out)
		if code != c.code || !strings.Contains(out.String(), c.want) {
			t.Errorf("%s exits with %d, and says\n%s", c.args, code, &out)
		}
	}
}
