package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/kbus-limpet/limpet/internal/printable"
	"github.com/kbus-limpet/limpet/kbusdev"
)

// data is a message's data as the command line gives it: as text, in
// hexadecimal, or from a file.
type data struct {
	hex  string
	file string
}

func (d *data) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&d.hex, "hex", "", "the data in hexadecimal `DIGITS`")
	cmd.Flags().StringVar(&d.file, "file", "", "the data from a `FILE`; - is standard input")
	cmd.MarkFlagsMutuallyExclusive("hex", "file")
}

// read gives the data; text is what stood on the command line. It ends with ctx.
func (d *data) read(ctx context.Context, text []string) ([]byte, error) {
	if len(text) > 0 && (d.hex != "" || d.file != "") {
		return nil, &usageError{errors.New("give the data once: as text, with --hex or with --file")}
	}
	switch {
	case d.hex != "":
		b, err := hex.DecodeString(strings.ReplaceAll(d.hex, " ", ""))
		if err != nil {
			return nil, &usageError{fmt.Errorf("--hex %q: %w", d.hex, err)}
		}
		return b, nil
	case d.file == "-":
		return readAll(ctx, io.LimitReader(os.Stdin, kbusdev.AbsoluteMaxMessageSize+1))
	case d.file != "":
		return os.ReadFile(d.file)
	}
	return []byte(strings.Join(text, " ")), nil
}

// readAll reads r to its end, or until ctx ends: then the reading goes on by itself, which
// cannot be stopped, until the program ends.
func readAll(ctx context.Context, r io.Reader) ([]byte, error) {
	type result struct {
		data []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		data, err := io.ReadAll(r)
		done <- result{data, err}
	}()
	select {
	case got := <-done:
		return got.data, got.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// shown is a message as --json shows it. What does not apply to it is left out.
type shown struct {
	Kind      string          `json:"kind"`
	Name      string          `json:"name"`
	ID        string          `json:"id"`
	InReplyTo string          `json:"in_reply_to,omitempty"`
	From      kbusdev.KsockID `json:"from"`
	To        kbusdev.KsockID `json:"to,omitempty"`
	OrigFrom  string          `json:"orig_from,omitempty"`
	FinalTo   string          `json:"final_to,omitempty"`
	Flags     string          `json:"flags,omitempty"`
	Text      *string         `json:"text,omitempty"` // the data, if it is text
	Data      []byte          `json:"data"`           // the data, in base64
	BindEvent *bindEvent      `json:"bind_event,omitempty"`
	Outcome   string          `json:"outcome,omitempty"` // of a request that no replier answered
	Reason    string          `json:"reason,omitempty"`
}

// A bindEvent is what a replier bind event says.
type bindEvent struct {
	Bound  bool            `json:"bound"`
	Binder kbusdev.KsockID `json:"binder"`
	Name   string          `json:"name"`
}

func show(m *kbusdev.Message) shown {
	s := shown{Kind: m.Kind(), Name: m.Name, ID: m.ID.String(), From: m.From, To: m.To, Data: []byte{}}
	if m.IsReply() {
		s.InReplyTo = m.InReplyTo.String()
	}
	if !m.OrigFrom.IsZero() {
		s.OrigFrom = m.OrigFrom.String()
	}
	if !m.FinalTo.IsZero() {
		s.FinalTo = m.FinalTo.String()
	}
	if m.Flags != 0 {
		s.Flags = m.Flags.String()
	}
	if e := m.Event; e != nil {
		s.BindEvent = &bindEvent{e.Bound, e.Binder, e.Name}
		return s
	}
	if len(m.Data) > 0 { // nil would be null
		s.Data = m.Data
	}
	if utf8.Valid(m.Data) {
		text := string(m.Data)
		s.Text = &text
	}
	return s
}

// print writes one message for a person or a program.
func (o *options) print(w io.Writer, m *kbusdev.Message) error {
	s := show(m)
	switch o.format {
	case formatJSON:
		return o.printJSON(w, s)
	case formatRaw:
		_, err := w.Write(m.Data)
		return err
	}
	var b strings.Builder
	printable.Fprintf(&b, "%s %s id %s", s.Name, s.Kind, s.ID)
	for _, x := range []struct{ label, value string }{
		{"in_reply_to", s.InReplyTo}, {"orig_from", s.OrigFrom}, {"final_to", s.FinalTo}, {"flags", s.Flags},
	} {
		if x.value != "" {
			printable.Fprintf(&b, " %s %s", x.label, x.value)
		}
	}
	printable.Fprintf(&b, " from %d", s.From)
	switch {
	case s.BindEvent != nil:
		did := "unbound"
		if s.BindEvent.Bound {
			did = "bound"
		}
		printable.Fprintf(&b, ": %s %s by %d", s.BindEvent.Name, did, s.BindEvent.Binder)
	case s.Text != nil && *s.Text != "":
		printable.Fprintf(&b, ": %q", *s.Text)
	case len(s.Data) > 0:
		printable.Fprintf(&b, ": hex %x", s.Data)
	}
	_, err := fmt.Fprintln(w, b.String())
	return err
}

// printLine is print for one message of many: raw data ends with a line's end, too.
func (o *options) printLine(w io.Writer, m *kbusdev.Message) error {
	err := o.print(w, m)
	if err == nil && o.format == formatRaw {
		_, err = fmt.Fprintln(w)
	}
	return err
}
