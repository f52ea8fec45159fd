package daemon_test

import (
	"context"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/internal/daemon"
)

// What a message costs over a link between two daemons without the door for HTTP, with it when
// nobody looks, and with a page open at both.
func BenchmarkWeb(b *testing.B) {
	for _, c := range []struct {
		name       string
		door, open bool
	}{{"without", false, false}, {"nobody looks", true, false}, {"pages are open", true, true}} {
		b.Run(c.name, func(b *testing.B) {
			at := unix(filepath.Join(b.TempDir(), "link"))
			from := daemon.Config{NetworkID: 1, Links: []daemon.LinkConfig{daemon.Accept(at)}}
			to := daemon.Config{NetworkID: 2, Links: []daemon.LinkConfig{daemon.Dial(at)}}
			if c.door {
				from.Web, to.Web = onUnix(b), onUnix(b)
			}
			x, y := start(b, from), start(b, to)
			if err := y.bus.WaitLinked(b.Context(), 1); err != nil {
				b.Fatal(err)
			}
			if c.open {
				b.Cleanup(openPage(browse(b, x.WebAddr(), nil)))
				b.Cleanup(openPage(browse(b, y.WebAddr(), nil)))
			}
			carry(b, x.bus, y.bus)
		})
	}
}

// openPage asks for what the page asks for that shows the overview, and the streams of its drops
// and its tap together, until what it returns is called.
func openPage(b *browser) (shut func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	ask := func(method, body string) {
		r, err := b.do(ctx, http.MethodPost, "/kbus.limpet.v1."+method, strings.NewReader(body), nil)
		if err == nil {
			_, _ = io.Copy(io.Discard, r.Body)
			_ = r.Body.Close()
		}
	}
	all.Go(func() {
		every := time.NewTicker(time.Second)
		defer every.Stop()
		for ctx.Err() == nil {
			ask("AdminService/GetStatus", `{}`)
			select {
			case <-every.C:
			case <-ctx.Done():
			}
		}
	})
	for method, body := range map[string]string{"AdminService/WatchDrops": `{}`, "AdminService/Tap": `{"maxRate":50}`} {
		all.Go(func() { ask(method, body) })
	}
	return func() {
		cancel()
		all.Wait()
	}
}
