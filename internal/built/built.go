// Package built builds this module's programs for the tests that run them.
package built

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Run runs a package's tests with programs that are built from this tree, such as "limpetd",
// and returns the exit code. Before the first test it calls found with the folder that has
// them, which is removed afterwards. Where nothing can be built LIMPET_BINARIES names the
// folder. What fails before the first test is printed.
func Run(m *testing.M, found func(folder string), names ...string) int {
	folder := os.Getenv("LIMPET_BINARIES")
	if folder == "" {
		made, err := build(names)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(made) //nolint:errcheck // nothing to be done about it
		folder = made
	}
	found(folder)
	return m.Run()
}

func build(names []string) (folder string, err error) {
	folder, err = os.MkdirTemp("", "limpet-test-")
	if err != nil {
		return "", err
	}
	args := []string{"build", "-o", folder + string(filepath.Separator)}
	for _, name := range names {
		args = append(args, "github.com/kbus-limpet/limpet/cmd/"+name)
	}
	if out, err := exec.CommandContext(context.Background(), "go", args...).CombinedOutput(); err != nil {
		_ = os.RemoveAll(folder)
		return "", fmt.Errorf("building %v: %w\n%s", names, err, out)
	}
	return folder, nil
}
