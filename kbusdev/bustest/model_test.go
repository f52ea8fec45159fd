package bustest_test

import (
	"testing"

	"github.com/kbus-limpet/limpet/kbusdev"
	"github.com/kbus-limpet/limpet/kbusdev/bustest"
)

// The model must do what the module did, or it can judge nobody.
func TestModelReplaysTheRecordings(t *testing.T) {
	bustest.Replay(t, bustest.Files(t, "testdata", "bus-*.jsonl.gz"), func(testing.TB) kbusdev.Bus { return bustest.NewModel() })
}
