package contest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
)

// roleVariable is the environment variable that tells a copy of this program what to be.
const roleVariable = "LIMPET_BENCH_ROLE"

// A Role is what a copy of this program does instead of measuring, with its arguments.
type Role func(args []string) error

// Command returns the command for a copy of this program in a role.
func Command(ctx context.Context, role string, args ...string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("looking for this program: %w", err)
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	return cmd, nil
}

// PlayRole plays the role that this process was started for, and exits; it returns if
// there is none. main and TestMain call it first.
func PlayRole(roles map[string]Role) {
	name := os.Getenv(roleVariable)
	if name == "" {
		return
	}
	play, ok := roles[name]
	if !ok {
		fmt.Fprintf(os.Stderr, "%s: there is no role %q\n", roleVariable, name)
		os.Exit(2)
	}
	if err := play(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}
