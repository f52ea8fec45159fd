package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/kbus-limpet/limpet/client"
	"github.com/kbus-limpet/limpet/internal/printable"
	"github.com/kbus-limpet/limpet/kbusdev"
)

// commandFailed is the name of a reply that says that the command that was to give it
// has failed; the data says why.
const commandFailed = "$.Limpet.CommandFailed"

// A replying is what limpetctl reply is told.
type replying struct {
	fixed         []byte
	command, name string
	count         int
	parallel      int
}

func (o *options) newReply() *cobra.Command {
	var d data
	var r replying
	cmd := &cobra.Command{
		Use:   "reply NAME [TEXT...]",
		Short: "Reply to requests, with a fixed answer or a command's output",
		Long: `reply binds NAME, perhaps a wildcard, as replier and answers each request with the
TEXT, or with what a shell command prints: it gets the request's data on standard
input, and as KBUS_NAME, KBUS_ID, KBUS_FROM and KBUS_ORIG_FROM its name, its id and who
asks. A command that fails, or prints more than the bus takes, is answered with
` + commandFailed + ` and the reason; limpetctl call then fails with it.`,
		Example: "  limpetctl reply '$.Clock.*' --command date\n  limpetctl reply '$.Ask' 42\n  limpetctl reply '$.Thumbnail' --command 'convert - -resize 64x64 png:-' --parallel 4",
		Args:    args(cobra.MinimumNArgs(1)), ValidArgsFunction: o.completeNames(kbusdev.Replier),
		RunE: func(cmd *cobra.Command, words []string) (err error) {
			if r.fixed, err = d.read(cmd.Context(), words[1:]); err != nil {
				return err
			}
			if r.command != "" && len(r.fixed) > 0 {
				return &usageError{errors.New("give an answer or a --command, not both")}
			}
			if r.parallel < 1 {
				return &usageError{fmt.Errorf("--parallel %d: give 1 or more", r.parallel)}
			}
			return o.withBus(func(bus *client.Bus) error {
				s, err := bus.Serve(cmd.Context(), 0, words[0])
				if err != nil {
					return err
				}
				defer s.Close()
				return o.reply(cmd, s, &r)
			})
		},
	}
	d.addFlags(cmd)
	cmd.Flags().StringVar(&r.command, "command", "", "run a shell `COMMAND` per request and reply with its output")
	cmd.Flags().IntVar(&r.parallel, "parallel", 1, "run the command for at most `N` requests at a time")
	cmd.Flags().StringVar(&r.name, "name", "", "the reply's `NAME`; the request's own if empty")
	cmd.Flags().IntVar(&r.count, "count", 0, "stop after `N` requests; 0 goes on")
	return cmd
}

// reply answers requests until there were enough.
func (o *options) reply(cmd *cobra.Command, s *client.Replier, r *replying) error {
	var sending sync.Mutex // one Reply at a time
	var answering sync.WaitGroup
	slots := make(chan struct{}, r.parallel)
	var failed error // of a Reply; guarded by sending
	for n := 0; r.count == 0 || n < r.count; n++ {
		q, err := s.Recv()
		var no *kbusdev.OpError
		if errors.As(err, &no) {
			printable.Fprintf(cmd.ErrOrStderr(), "limpetctl: %v\n", no)
			n--
			continue
		}
		if err != nil {
			answering.Wait()
			return err
		}
		if err := o.printLine(cmd.OutOrStdout(), q); err != nil {
			return err
		}
		slots <- struct{}{}
		answering.Go(func() {
			defer func() { <-slots }()
			name, answer := r.answer(cmd, q)
			sending.Lock()
			defer sending.Unlock()
			failed = errors.Join(failed, s.Reply(q, name, answer))
		})
	}
	answering.Wait()
	return errors.Join(failed, s.Finish())
}

// answer returns the name and the data of the reply to a request.
func (r *replying) answer(cmd *cobra.Command, q *kbusdev.Message) (string, []byte) {
	if r.command == "" {
		return r.name, r.fixed
	}
	out, err := runFor(cmd.Context(), r.command, q)
	if err != nil {
		printable.Fprintf(cmd.ErrOrStderr(), "limpetctl: the command for %s failed: %v\n", q.ID, err)
		return commandFailed, []byte(err.Error())
	}
	return r.name, out
}

// maxOutput bounds what a command may print, in bytes: what the bus takes, with room for
// the name.
const maxOutput = kbusdev.AbsoluteMaxMessageSize - 1024

// waitDelay is how long what a command has left running may add to its output, when the
// command itself has ended.
const waitDelay = time.Second

// runFor runs a command for a request, and returns what it has printed.
func runFor(ctx context.Context, command string, q *kbusdev.Message) ([]byte, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	out := &output{full: cancel}
	c := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	c.Stdin, c.Stdout, c.Stderr = bytes.NewReader(q.Data), out, os.Stderr
	c.WaitDelay = waitDelay
	c.Env = append(os.Environ(), "KBUS_NAME="+q.Name, "KBUS_ID="+q.ID.String(), fmt.Sprintf("KBUS_FROM=%d", q.From), "KBUS_ORIG_FROM="+q.OrigFrom.String())
	err := c.Run()
	if out.tooLong {
		return nil, fmt.Errorf("its output is longer than the %d bytes that a message can have", maxOutput)
	}
	if errors.Is(err, exec.ErrWaitDelay) { // it has ended well, and has said what it had to
		err = nil
	}
	return out.taken.Bytes(), err
}

// An output takes what a command prints, as much as fits into a message. The buffer is not
// embedded: io.Copy would find its ReadFrom, which takes everything.
type output struct {
	taken   bytes.Buffer
	full    func() // called when there is too much
	tooLong bool
}

// Write is io.Writer's.
func (o *output) Write(p []byte) (int, error) {
	if o.taken.Len()+len(p) > maxOutput {
		o.tooLong = true
		o.full()
		return 0, errTooLong
	}
	return o.taken.Write(p)
}

var errTooLong = errors.New("the output is too long")
