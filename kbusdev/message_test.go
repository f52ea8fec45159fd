package kbusdev_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// A message prints what it is, and never its data.
func TestMessagePrintsItself(t *testing.T) {
	for _, c := range []struct {
		m    *kbusdev.Message
		want string
	}{
		{&kbusdev.Message{Name: "$.A", ID: kbusdev.MsgID{Serial: 7}, From: 3, Data: []byte("secret")}, "announcement $.A id [0:7] from 3 6 bytes"},
		{&kbusdev.Message{
			Name: "$.Ask", ID: kbusdev.MsgID{Network: 2, Serial: 7}, From: 3, To: 4, Flags: kbusdev.WantReply | kbusdev.Urgent,
			OrigFrom: kbusdev.Address{Network: 2, Local: 9}, FinalTo: kbusdev.Address{Network: 1, Local: 8},
		}, "stateful request $.Ask id [2:7] from 3 to 4 orig_from {2:9} final_to {1:8} flags WANT_A_REPLY|URGENT 0 bytes"},
		{&kbusdev.Message{Name: "$.Ask", InReplyTo: kbusdev.MsgID{Serial: 7}, To: 3}, "reply $.Ask id [0:0] in_reply_to [0:7] from 0 to 3 0 bytes"},
		{nil, "no message"},
	} {
		if got := fmt.Sprint(c.m); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
		if got := fmt.Sprintf("%+v %v %s", c.m, c.m, c.m); strings.Contains(got, "secret") || strings.Contains(got, "115 101") {
			t.Errorf("it shows its data: %s", got)
		}
	}
}
