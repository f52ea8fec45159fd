// Package leaks finds the goroutines that tests have left running.
package leaks

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience is how long goroutines may take to end once they were told to. goleak alone gives
// them less than half a second, which on a busy machine is not enough.
const patience = 20 * time.Second

// Verify fails a test when goroutines are still running 20 s later which opts do not
// exclude. It returns as soon as there are none.
func Verify(t testing.TB, opts ...goleak.Option) {
	t.Helper()
	if err := find(patience, opts...); err != nil {
		t.Error(err)
	}
}

// Main runs a package's tests, verifies that they have left no goroutine running, as Verify
// does, and exits.
func Main(m *testing.M) {
	code := m.Run()
	if code == 0 {
		if err := find(patience); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// find returns an error about goroutines that are still running when the time is over.
func find(within time.Duration, opts ...goleak.Option) error {
	end := time.Now().Add(within)
	for {
		err := goleak.Find(opts...)
		if err == nil || time.Now().After(end) {
			return err
		}
	}
}
