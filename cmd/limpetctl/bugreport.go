package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kbus-limpet/limpet/client"
	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
	"github.com/kbus-limpet/limpet/internal/buildinfo"
	"github.com/kbus-limpet/limpet/internal/doctor"
	"github.com/kbus-limpet/limpet/internal/printable"
)

// The values of --addresses.
const (
	addressesHashed = "hash"
	addressesKept   = "keep"
)

func (o *options) newBugreport() *cobra.Command {
	addresses, between := addressesHashed, time.Second
	cmd := &cobra.Command{
		Use:   "bugreport FILE.tar.gz",
		Short: "Put what somebody needs to help you into an archive",
		Long: `bugreport writes an archive with the daemon's status, links, configuration, versions,
metrics, goroutines, latest events and log lines, and what doctor finds, and prints what is
in it. What cannot be had is left out, and said.

There is no message's data in it, no key and no certificate. Hosts and IP addresses are
replaced by the same word for the same one, which means nothing outside of the archive;
--addresses keep leaves them. Names of messages, files, users and groups stay: look at it
before you give it away. FILE must not be there yet, and only you can read it.`,
		Example: "  limpetctl bugreport limpetd.tar.gz",
		Args:    args(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, words []string) error {
			if addresses != addressesHashed && addresses != addressesKept {
				return &usageError{fmt.Errorf("--addresses %q is not %s or %s", addresses, addressesHashed, addressesKept)}
			}
			if !strings.HasSuffix(words[0], ".tar.gz") && !strings.HasSuffix(words[0], ".tgz") {
				return &usageError{fmt.Errorf("%s: the archive's name ends with .tar.gz", words[0])}
			}
			f, err := os.OpenFile(words[0], os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) // now, before the work
			if errors.Is(err, fs.ErrExist) {
				return &usageError{fmt.Errorf("%s is there already, and is not overwritten: choose another name", words[0])}
			}
			if err != nil {
				return err
			}
			parts, err := o.report(cmd.Context(), between, addresses == addressesHashed)
			if err == nil {
				err = writeArchive(f, parts, time.Now())
			}
			if err = errors.Join(err, f.Close()); err != nil {
				_ = os.Remove(words[0])
				return err
			}
			return o.printParts(cmd.OutOrStdout(), words[0], parts)
		},
	}
	cmd.Flags().StringVar(&addresses, "addresses", addresses, "`WHAT` to do with hosts and IP addresses: hash or keep")
	cmd.Flags().DurationVar(&between, "between", between, "look a second time after this `DURATION`, as doctor does")
	return cmd
}

// A part is a file of a report.
type part struct {
	name, what string
	data       []byte
	missing    error // why it is not there; nil if it is
}

// maxPart bounds a part, in bytes.
const maxPart = 4 << 20

// report gathers what there is. The error is one of usage, or that of ctx.
func (o *options) report(ctx context.Context, between time.Duration, hashed bool) ([]part, error) {
	s, err := o.examine(ctx, between)
	if err != nil {
		return nil, err
	}
	versions, err := json.MarshalIndent(object{{"limpetctl", buildinfo.Read()}, {"limpetd", s.Last.GetVersion()}}, "", "  ")
	if err != nil {
		return nil, err
	}
	parts := []part{{name: "versions.json", what: "versions and platform", data: append(versions, '\n')}}
	add := func(name, what string, data []byte, err error) {
		parts = append(parts, part{name: name, what: what, data: data, missing: err})
	}
	var findings bytes.Buffer
	text := options{format: formatText}
	err = text.printFindings(&findings, doctor.Examine(s))
	add("doctor.txt", "what limpetctl doctor finds", findings.Bytes(), err)
	var status bytes.Buffer
	if s.Reach == doctor.Answered {
		err = o.printProto(&status, s.Last)
	} else {
		err = errors.New(s.Error)
	}
	add("status.json", "status of the daemon and its links, as limpetctl status --json prints it", status.Bytes(), err)
	configuration, err := o.askConfiguration(ctx)
	add("configuration.yaml", "the settings that hold, and where they come from", []byte(configuration), err)
	metrics, err := fetchMetrics(ctx, configuration)
	add("metrics.txt", "metrics, as Prometheus gets them", metrics, err)
	log, err := readJournal(ctx, "limpetd.service")
	add("log.txt", "the latest lines of limpetd's log in the journal", log, err)
	latest, err := o.askEvents(ctx)
	add("events.txt", "the latest events, as limpetctl events prints them", latest, err)
	stacks, err := o.askGoroutines(ctx)
	add("goroutines.txt", "what limpetd's goroutines are doing", stacks, err)
	r := newRedaction(s.Last, configuration, hashed)
	for i := range parts {
		if p := &parts[i]; p.missing == nil {
			p.data = r.redact(p.data)
		}
	}
	parts = append(parts, part{name: "README.txt", what: "what is in the archive", data: readme(parts, hashed)})
	return parts, ctx.Err()
}

// inquire has f ask the daemon, within the time that a command has for it.
func (o *options) inquire(ctx context.Context, f func(context.Context, *client.Bus) error) error {
	return o.withBus(func(bus *client.Bus) error {
		ctx, cancel := o.limited(ctx)
		defer cancel()
		return f(ctx, bus)
	})
}

func (o *options) askConfiguration(ctx context.Context) (text string, err error) {
	err = o.inquire(ctx, func(ctx context.Context, bus *client.Bus) error {
		if text, err = bus.Configuration(ctx); err == nil && text == "" {
			err = errors.New("the daemon does not tell it")
		}
		return err
	})
	return text, err
}

// askEvents asks a daemon for its latest events.
func (o *options) askEvents(ctx context.Context) ([]byte, error) {
	var b bytes.Buffer
	text := options{format: formatText}
	err := o.inquire(ctx, func(ctx context.Context, bus *client.Bus) error {
		for r, err := range bus.Events(ctx, new(pb.WatchEventsRequest)) {
			if err != nil {
				return err
			}
			for _, e := range r.GetEvents() {
				if err := text.printEvent(&b, e); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return b.Bytes()[max(0, b.Len()-maxPart):], nil
}

// askGoroutines asks a daemon that offers it for what its goroutines are doing.
func (o *options) askGoroutines(ctx context.Context) ([]byte, error) {
	var b bytes.Buffer
	err := o.inquire(ctx, func(ctx context.Context, bus *client.Bus) error {
		return bus.Profile(ctx, pb.ProfileKind_PROFILE_KIND_GOROUTINE, time.Second, true, &b)
	})
	if err != nil {
		return nil, err
	}
	return b.Bytes()[:min(b.Len(), maxPart)], nil
}

// readme says what is in an archive.
func readme(parts []part, hashed bool) []byte {
	var b bytes.Buffer
	b.WriteString("A report on limpetd, made by limpetctl bugreport. No message's data, no key.\n")
	if hashed {
		b.WriteString("Hosts and IP addresses are replaced: the same one by the same word.\n")
	}
	b.WriteByte('\n')
	for _, p := range parts {
		if p.missing == nil {
			fmt.Fprintf(&b, "%s: %s\n", p.name, p.what)
		} else {
			fmt.Fprintf(&b, "%s: missing\n", p.name)
		}
	}
	return b.Bytes()
}

// writeArchive writes the parts that are there, all below one folder.
func writeArchive(w io.Writer, parts []part, at time.Time) error {
	z := gzip.NewWriter(w)
	t := tar.NewWriter(z)
	for _, p := range parts {
		if p.missing != nil {
			continue
		}
		h := &tar.Header{Typeflag: tar.TypeReg, Name: "limpetd-report/" + p.name, Mode: 0o600, Size: int64(len(p.data)), ModTime: at.Truncate(time.Second), Format: tar.FormatUSTAR}
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		if _, err := t.Write(p.data); err != nil {
			return err
		}
	}
	return errors.Join(t.Close(), z.Close())
}

func (o *options) printParts(out io.Writer, file string, parts []part) error {
	if !o.json {
		if _, err := printable.Fprintf(out, "%s:\n", file); err != nil {
			return err
		}
	}
	for _, p := range parts {
		why := ""
		if p.missing != nil {
			why = p.missing.Error()
		}
		var err error
		switch {
		case o.json:
			err = o.printJSON(out, object{{"file", p.name}, {"what", p.what}, {"size", len(p.data)}, {"missing", why}})
		case p.missing != nil:
			_, err = printable.Fprintf(out, "  %s: not there, for %s\n", p.name, why)
		default:
			_, err = printable.Fprintf(out, "  %s: %s (%d bytes)\n", p.name, p.what, len(p.data))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
