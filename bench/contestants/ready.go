package contestants

import (
	"bufio"
	"context"
	"fmt"
	"strings"

	"github.com/kbus-limpet/limpet/bench/contest"
)

// ready is the line with which a copy of this program says that it is.
const ready = "ready"

// startReady starts a copy of this program on the stage, and returns when it has said
// that it is ready.
func startReady(ctx context.Context, s *contest.Stage, role string, args ...string) error {
	cmd, err := contest.Command(ctx, role, args...)
	if err != nil {
		return err
	}
	out, in, err := pipe()
	if err != nil {
		return err
	}
	defer out.Close() //nolint:errcheck // it is only read
	cmd.Stdout = in
	err = s.Run(cmd)
	_ = in.Close()
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = out.Close() })
	defer stop()
	line, err := bufio.NewReader(out).ReadString('\n')
	if strings.TrimSpace(line) != ready {
		if failed := s.Failed(); failed != nil {
			err = failed
		}
		return fmt.Errorf("waiting until %s %v is ready: %w", role, args, err)
	}
	return nil
}
