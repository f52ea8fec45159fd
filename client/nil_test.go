package client_test

import (
	"errors"
	"syscall"
	"testing"

	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/kbusdev"
)

// Nil is an error, not a panic.
func TestNilMessages(t *testing.T) {
	bus, _, _ := start(t)
	if _, err := bus.Send(t.Context(), nil); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("Send: %v", err)
	}
	_, err := bus.Call(t.Context(), nil)
	wantOutcome(t, err, kbusdev.NeverRan, "EINVAL", syscall.EINVAL)
	r, err := bus.Serve(t.Context(), 0, "$.Ask")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Reply(nil, "", nil); !errors.Is(err, syscall.EINVAL) {
		t.Errorf("Reply: %v", err)
	}
	if (&client.NoAnswerError{}).Error() == "" {
		t.Error("an empty error says nothing")
	}
}
