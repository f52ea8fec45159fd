package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/kbus-limpet/limpet/internal/printable"
	"github.com/kbus-limpet/limpet/internal/records"
	"github.com/kbus-limpet/limpet/limpet/record"
	"github.com/kbus-limpet/limpet/limpet/verify"
)

// The exit codes of verify.
const (
	exitDiffers     = 3
	exitOtherFormat = 4
)

func (o *options) newVerify() *cobra.Command {
	var test string
	keep := uint64(50)
	cmd := &cobra.Command{
		Use:   "verify PATH...",
		Short: "Play records of decisions to the machines of this version, and say what differs",
		Long: `verify reads what limpetd --record-decisions has written, files or a folder of them,
and has the machines of this version decide again what was decided then. It prints a
line for each file, what is missing from the record, and of each file the first
difference: the event, its time, the events before it, what was recorded, and what
comes of it now. It needs no daemon. docs/records.md describes the files.

With --test it makes a test of one file instead: FILE.go and a record beside it, in
testdata, cut down to the last events, up to the first difference if there is one.

Exit codes: 0 nothing differs; 1 a file cannot be read, or is damaged in its
beginning; 2 wrong flags or arguments; 3 something differs; 4 a file is of another
format. Gaps, and files that are cut off, are said, and are no failure.`,
		Example: "  limpetctl verify /var/lib/limpetd/records\n  limpetctl verify --test limpet/verify/lost_reply_test.go /var/lib/limpetd/records/20261126T031200.000000Z-5ac1f09e-0003.rec",
		Args:    args(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, paths []string) error {
			files, err := recordsIn(paths)
			if err != nil {
				return err
			}
			if test != "" {
				if len(files) != 1 {
					return &usageError{fmt.Errorf("--test makes a test of one file, and there are %d", len(files))}
				}
				return makeTest(cmd.OutOrStdout(), test, files[0], keep)
			}
			return o.verify(cmd.OutOrStdout(), files)
		},
	}
	cmd.Flags().StringVar(&test, "test", "", "make a Go test `FILE` of one record, which ends with _test.go")
	cmd.Flags().Uint64Var(&keep, "events", keep, "with --test, keep the last `N` events, and more if it cannot begin there")
	return cmd
}

// recordsIn returns the files that paths name; a folder stands for all of its own.
func recordsIn(paths []string) (files []string, err error) {
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			files = append(files, path)
			continue
		}
		in, err := records.Files(path)
		if err != nil {
			return nil, err
		}
		if len(in) == 0 {
			return nil, fmt.Errorf("there are no records in %s: it is the folder of limpetd's --record-decisions", path)
		}
		files = append(files, in...)
	}
	return files, nil
}

// verify plays all files. The error has the code of the worst of them.
func (o *options) verify(out io.Writer, files []string) error {
	worst := codedError(exitOK)
	ends := make(map[string]*verify.Result) // of the sessions, as far as they were played
	var events, differences uint64
	for _, path := range files {
		p := play(path, ends)
		if p.res != nil {
			events += p.res.Events
		}
		switch code := p.code(); {
		case code == exitDiffers:
			differences++
			worst = code
		case code > worst && worst != exitDiffers:
			worst = code
		}
		if !o.json {
			p.print(out)
		} else if err := o.printJSON(out, p.object()); err != nil {
			return err
		}
	}
	if !o.json {
		printable.Fprintf(out, "%d files, %d events, %d differences\n", len(files), events, differences)
	}
	if worst != exitOK {
		return worst
	}
	return nil
}

// play plays a file. ends are the results of those before it, by session.
func play(path string, ends map[string]*verify.Result) *played {
	p := &played{file: filepath.Base(path)}
	f, err := os.Open(path)
	if err != nil {
		p.err = err
		return p
	}
	defer f.Close() //nolint:errcheck // it is read only
	if p.res, p.err = verify.File(f, verify.Config{}); p.err == nil {
		p.follow(ends[p.res.Header.Session])
		ends[p.res.Header.Session] = p.res
	}
	return p
}

// A played file is one with what there is to say of it.
type played struct {
	file    string
	res     *verify.Result // nil if it could not be played
	err     error
	missing bool // the part before it is not there
	drifted bool // that one has ended in another state than this one begins with
}

// follow compares the beginning of a file with the end of the part before it, nil if there
// is none.
func (p *played) follow(before *verify.Result) {
	h := &p.res.Header
	if h.Part == 1 || h.Begins == record.Cut {
		return
	}
	if before == nil || before.Header.Part != h.Part-1 {
		p.missing = true
		return
	}
	follows, same := before.Follows(p.res)
	p.drifted = follows && !same
}

func (p *played) code() codedError {
	var format *record.FormatError
	switch {
	case errors.As(p.err, &format):
		return exitOtherFormat
	case errors.Is(p.err, record.ErrCutStart):
		return exitOK
	case p.err != nil:
		return exitFailed
	case p.drifted || p.res.Difference != nil:
		return exitDiffers
	default:
		return exitOK
	}
}

func (p *played) print(out io.Writer) {
	if p.res == nil {
		printable.Fprintf(out, "%s: %v\n", p.file, p.err)
		return
	}
	h := &p.res.Header
	printable.Fprintf(out, "%s: link %q, part %d, from %s: %d events, ", p.file, h.Link, h.Part, h.Base.UTC().Format(time.RFC3339Nano), p.res.Events)
	switch {
	case p.err != nil:
		printable.Fprintf(out, "%v\n", p.err)
	case p.drifted:
		fmt.Fprint(out, "but the part before it ends in another state than this one begins with\n")
	case p.res.Difference == nil:
		fmt.Fprint(out, "no difference\n")
	default:
		fmt.Fprint(out, "then a difference\n")
	}
	if h.Lost > 0 {
		printable.Fprintf(out, "  %d events before it were lost: the disk was too slow, or full\n", h.Lost)
	}
	if p.missing {
		printable.Fprintf(out, "  part %d is not here: its room was needed, or it was not given\n", h.Part-1)
	}
	switch p.res.Ended {
	case record.EndedCut:
		printable.Fprintf(out, "  it is cut off: %v; limpetd was killed, or the disk was full\n", p.res.Why)
	case record.EndedOpen:
		fmt.Fprint(out, "  it ends without a word: limpetd was killed, or still writes it\n")
	case record.EndedGap:
		fmt.Fprint(out, "  it ends with a gap: events behind it were lost\n")
	}
	if p.res.Difference != nil {
		p.printDifference(out)
	}
}

func (p *played) printDifference(out io.Writer) {
	d := p.res.Difference
	list := func(indent string, lines []string) {
		for _, line := range lines {
			printable.Fprintf(out, indent+"%s\n", line)
		}
	}
	for _, e := range p.res.Before {
		printable.Fprintf(out, "  event %d\n", e.Number)
		list("    ", e.Lines)
	}
	printable.Fprintf(out, "  event %d, %s\n", d.Event, d.At.UTC().Format(time.RFC3339Nano))
	list("    ", d.What)
	printable.Fprintf(out, "  of what came of it, %d lines are the same; then was recorded:\n", d.Same)
	list("    - ", d.Recorded)
	fmt.Fprint(out, "  and now comes:\n")
	list("    + ", d.Now)
}

// object returns the same for programs.
func (p *played) object() object {
	o := object{{"file", p.file}}
	if p.res != nil {
		h := &p.res.Header
		o = append(o, object{
			{"link", h.Link}, {"session", h.Session}, {"part", h.Part}, {"software", h.Software}, {"begins", h.Begins}, {"lost", h.Lost}, {"missing_part", p.missing}, {"other_state", p.drifted},
			{"base", h.Base}, {"first_event", h.First}, {"events", p.res.Events}, {"ended", p.res.Ended},
		}...)
	}
	why := ""
	switch {
	case p.err != nil:
		why = p.err.Error()
	case p.res.Why != nil:
		why = p.res.Why.Error()
	}
	o = append(o, member{"error", why})
	if p.res == nil || p.res.Difference == nil {
		return append(o, member{"difference", nil})
	}
	d := p.res.Difference
	var before []object
	for _, e := range p.res.Before {
		before = append(before, object{{"event", e.Number}, {"lines", e.Lines}})
	}
	return append(o, member{"difference", object{
		{"event", d.Event}, {"at", d.At}, {"what", d.What}, {"same_lines", d.Same}, {"recorded", d.Recorded}, {"now", d.Now}, {"before", before},
	}})
}
