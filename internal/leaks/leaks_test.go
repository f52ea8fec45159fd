package leaks

import (
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { Main(m) }

// A goroutine that ends late is no leak, one that does not end is.
func TestFind(t *testing.T) {
	before := goleak.IgnoreCurrent()
	end := make(chan struct{})
	go func() { <-end }()
	if err := find(0, before); err == nil {
		t.Error("a goroutine that runs is not found")
	}
	time.AfterFunc(time.Second, func() { close(end) })
	Verify(t, before)
}
