package limpet_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"

	"github.com/kbus-limpet/limpet/limpet"
	"github.com/kbus-limpet/limpet/limpet/record"
	"github.com/kbus-limpet/limpet/limpet/sim"
)

// The state with which a record's file begins is all that the machines remember: those that
// were made from it are, field by field, those that it was taken of.
func TestStateIsWhole(t *testing.T) {
	seeds, stride := uint64(2), 80
	if os.Getenv("LIMPET_TEST") == "long" {
		seeds, stride = 10, 20
	}
	compared := 0
	for seed := uint64(1); seed <= seeds; seed++ {
		var epochs []*record.Memory
		sim.NewRecorded(seed, nil, func(string) record.Sink {
			m := new(record.Memory)
			epochs = append(epochs, m)
			return m
		}).Run()
		for _, epoch := range epochs {
			for _, file := range epoch.Files {
				compared += compareStates(t, file, stride)
				if t.Failed() {
					t.Fatalf("seed %d", seed)
				}
			}
		}
	}
	t.Logf("%d states compared", compared)
	if compared < 10*int(seeds) {
		t.Errorf("%d states are too few", compared)
	}
}

// compareStates plays a file, and compares the machines now and then with their twins.
func compareStates(t *testing.T, file []byte, stride int) (compared int) {
	t.Helper()
	r, err := record.NewReader(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	p, err := limpet.NewPlayer(r.Header(), r.State(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for n, next := 1, 1; ; n++ {
		event, err := r.Next()
		if errors.Is(err, io.EOF) {
			return compared
		}
		if err != nil {
			t.Fatal(err)
		}
		if d, err := p.Play(event); d != nil || err != nil {
			t.Fatal(d, err)
		}
		if n < next || !p.Resting() {
			continue
		}
		next = n + min(n/2, stride) + 1 // the young change most
		compared++
		diff, err := limpet.TwinDiffers(p, *r.Header())
		if err != nil {
			t.Fatal(err)
		}
		if diff != "" {
			t.Errorf("after %d events: what is missing in a state.go?\n%s", n, diff)
			return compared
		}
	}
}
