package run

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// BuildLimpetd builds limpetd from the tree that the benchmark is part of into a folder,
// and returns its path.
func BuildLimpetd(ctx context.Context, dir string) (string, error) {
	const module = "github.com/kbus-limpet/limpet"
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return "", fmt.Errorf("looking for the source of limpetd: %w; call this in its folder bench, or give -limpetd PATH", err)
	}
	path := filepath.Join(dir, "limpetd")
	build := exec.CommandContext(ctx, "go", "build", "-tags", "grpcnotrace", "-o", path, "./cmd/limpetd") // as it is released
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	build.Dir = strings.TrimSpace(string(root))
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building limpetd: %w\n%s", err, out)
	}
	return path, nil
}
