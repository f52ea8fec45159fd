package clients

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/kbus-limpet/limpet/internal/built"
)

// patience bounds what a test waits for; it is much longer than anything takes.
const patience = time.Minute

// limpetd is the program, built from this tree.
var limpetd string

// long reports whether LIMPET_TEST=long asks for everything.
func long() bool { return os.Getenv("LIMPET_TEST") == "long" }

func TestMain(m *testing.M) {
	os.Exit(built.Run(m, func(folder string) { limpetd = filepath.Join(folder, "limpetd") }, "limpetd"))
}
