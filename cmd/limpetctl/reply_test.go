package main

import (
	"strings"
	"testing"

	"github.com/kbus-limpet/limpet/kbusdev"
)

// What a command prints is taken up to the bound, and a command that prints on is ended.
func TestOutput(t *testing.T) {
	for _, c := range []struct {
		command, out, fault string
	}{
		{"printf hello", "hello", ""},
		{"cat; printf \" $KBUS_NAME $KBUS_ID $KBUS_FROM $KBUS_ORIG_FROM\"", "data $.A [0:5] 6 {7:8}", ""},
		{"true", "", ""},
		{"exit 3", "", "exit status 3"},
		{"yes", "", "its output is longer than"},
		{"head -c 2000000 /dev/zero", "", "its output is longer than"},
		{"yes & exit 0", "", "its output is longer than"},
	} {
		q := &kbusdev.Message{Name: "$.A", ID: kbusdev.MsgID{Serial: 5}, From: 6, OrigFrom: kbusdev.Address{Network: 7, Local: 8}, Data: []byte("data")}
		out, err := runFor(t.Context(), c.command, q)
		if string(out) != c.out || (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%s: %q, %v", c.command, out, err)
		}
	}
}
