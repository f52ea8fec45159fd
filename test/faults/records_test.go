package faults

import (
	"errors"
	"os"

	"github.com/kbus-limpet/limpet/internal/records"
	"github.com/kbus-limpet/limpet/limpet/record"
	"github.com/kbus-limpet/limpet/limpet/verify"
)

// verify plays what the daemons have recorded, through all kills, to the machines of this
// process: they decide the same. Files may be cut off, and one of them still grows.
func (n *network) verify() {
	n.t.Helper()
	files, events := 0, uint64(0)
	for i, dir := range n.records {
		paths, err := records.Files(dir)
		if err != nil {
			n.t.Fatal(err)
		}
		if len(paths) == 0 {
			n.t.Errorf("node %d has recorded nothing", i)
		}
		ends := make(map[string]*verify.Result)
		for _, path := range paths {
			f, err := os.Open(path)
			if err != nil {
				n.t.Fatal(err)
			}
			res, err := verify.File(f, verify.Config{})
			_ = f.Close()
			if errors.Is(err, record.ErrCutStart) {
				continue // by a kill
			}
			if err != nil {
				n.t.Errorf("%s: %v", path, err)
				continue
			}
			if d := res.Difference; d != nil {
				n.t.Errorf("%s: event %d of link %s, %q: recorded %q, now %q, after %v", path, d.Event, res.Header.Link, d.What, d.Recorded, d.Now, res.Before)
			}
			if before := ends[res.Header.Session]; before != nil {
				if follows, same := before.Follows(res); follows && !same {
					n.t.Errorf("%s begins with another state than the part before it ends with", path)
				}
			}
			ends[res.Header.Session] = res
			files++
			events += res.Events
		}
	}
	n.t.Logf("%d files with %d events of %d nodes are verified", files, events, len(n.records))
}
