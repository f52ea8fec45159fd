package load

import (
	"os"
	"testing"
	"time"
)

func newPipe(t *testing.T) (*creditReader, *creditWriter) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close(); _ = w.Close() })
	return &creditReader{file: r}, &creditWriter{w}
}

func message(phase int) []byte {
	b := make([]byte, headerSize)
	putHeader(b, phase, time.Now())
	return b
}

func TestCreditIsOfOnePhase(t *testing.T) {
	r, w := newPipe(t)
	r.phase = measuring
	w.tell(warming, 100)
	w.tell(measuring, 3)
	w.tell(measuring, 7)
	if more, err := r.wait(time.Minute); !more || err != nil || r.heard != 7 {
		t.Errorf("%v, %v, %d were heard", more, err, r.heard)
	}
	w.tell(warming, 200)
	if more, err := r.wait(time.Millisecond); more || err != nil || r.heard != 7 {
		t.Errorf("%v, %v, %d were heard", more, err, r.heard)
	}
	_ = w.file.Close()
	if _, err := r.wait(time.Minute); err == nil {
		t.Error("no error although the listeners are gone")
	}
}

// The sender is told what the slowest program has heard.
func TestCreditIsOfTheSlowest(t *testing.T) {
	r, w := newPipe(t)
	l := newListeners(2, w)
	l.begin(measuring, 2)
	r.phase = measuring
	for range 6 {
		l.all[0].heard(message(measuring))
	}
	if more, err := r.wait(time.Millisecond); more || err != nil {
		t.Errorf("%v, %v: %d were heard by one of two", more, err, r.heard)
	}
	for range 5 {
		l.all[1].heard(message(measuring))
	}
	if more, err := r.wait(time.Minute); !more || err != nil || r.heard != 4 {
		t.Errorf("%v, %v: %d were heard by both, want 4", more, err, r.heard)
	}
}

func TestListenersCountOnePhase(t *testing.T) {
	_, w := newPipe(t)
	l := newListeners(2, w)
	l.all[0].heard(message(probing))
	if l.probed() != 1 {
		t.Errorf("%d have heard a probe", l.probed())
	}
	l.begin(warming, 100)
	l.all[0].heard(message(warming))
	l.begin(measuring, 100)
	for _, phase := range []int{probing, warming, measuring, measuring} { // the second comes late
		l.all[0].heard(message(phase))
	}
	l.all[1].heard(message(measuring))
	l.all[1].heard([]byte("small"))
	h := l.finish(t.Context(), 4, time.Minute)
	if h.Count != 4 || h.Took.Total() != 3 || h.Last.IsZero() {
		t.Errorf("%d were heard, %d with their time, last %v", h.Count, h.Took.Total(), h.Last)
	}
}

// What does not come is not waited for.
func TestFinishGivesUp(t *testing.T) {
	_, w := newPipe(t)
	l := newListeners(1, w)
	l.begin(measuring, 100)
	l.all[0].heard(message(measuring))
	if h := l.finish(t.Context(), 2, 10*time.Millisecond); h.Count != 1 {
		t.Errorf("%d were heard", h.Count)
	}
}
