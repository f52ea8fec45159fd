package events

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// lines returns what a ring has, a line each.
func lines(r *Ring) (all []string) {
	events, _ := readAll(r, 1)
	for _, e := range events {
		line := fmt.Sprint(e.Level, " ", e.Name)
		for _, a := range e.Attributes {
			line += fmt.Sprintf(" %s=%q", a.Key, a.Value)
		}
		all = append(all, line)
	}
	return all
}

// late is worth something only when it is asked.
type late struct{}

func (late) LogValue() slog.Value { return slog.StringValue("resolved") }

// What is logged is kept as it is written, with what is bound to the log.
func TestHandlerKeeps(t *testing.T) {
	r := New()
	var out bytes.Buffer
	level := new(slog.LevelVar)
	log := slog.New(r.Handler(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: level})))
	of := log.With("link", "connect hostb:7000").WithGroup("a").With("b", 1).WithGroup("").WithGroup("c")
	log.With("link", "another one").Info("nothing of it is anywhere else")
	of.Warn("link down", "reason", errors.New("EOF"), "for", 2*time.Second, slog.Group("", "d", true), slog.Group("e", "f", 1.5), "late", late{})
	log.Error("wrong", "at", time.Date(2026, 11, 26, 3, 12, 0, 5, time.UTC), "all", []string{"x", "y"}, "none", nil)
	log.Debug("a detail")
	level.Set(slog.LevelDebug)
	log.Debug("a detail that is written")
	level.Set(slog.LevelError)
	log.Info("not written, but kept", []any{"odd"}...)
	want := []string{
		`INFO nothing of it is anywhere else link="another one"`,
		`WARN link down link="connect hostb:7000" a.b="1" a.c.reason="EOF" a.c.for="2s" a.c.d="true" a.c.e.f="1.5" a.c.late="resolved"`,
		`ERROR wrong at="2026-11-26T03:12:00.000000005Z" all="[x y]" none="<nil>"`,
		`INFO not written, but kept !BADKEY="odd"`,
	}
	if got := lines(r); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("kept\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := out.String(); strings.Contains(got, "but kept") || strings.Count(got, "\n") != 4 || !strings.Contains(got, "a.c.e.f=1.5") || !strings.Contains(got, "detail that is written") {
		t.Errorf("written:\n%s", got)
	}
}

// Whatever is logged, an event is small and valid UTF-8.
func TestHandlerBounds(t *testing.T) {
	r := New()
	log := slog.New(r.Handler(slog.DiscardHandler))
	if !log.Enabled(t.Context(), slog.LevelInfo) || log.Enabled(t.Context(), slog.LevelDebug) {
		t.Error("what nobody writes is kept from INFO on")
	}
	var many []any
	for i := range 40 {
		many = append(many, fmt.Sprintf("%d%s", i, strings.Repeat("é", 100)), strings.Repeat("é", 100_000))
	}
	log.With(many...).Info(strings.Repeat("\xff", 5000), many...)
	log.Info("odd", "value", "a\xffb\x1b[2J")
	all, _ := readAll(r, 1)
	if n := all[0].size(); n > 20_000 {
		t.Errorf("an event of %d bytes", n)
	}
	for _, e := range all {
		valid := utf8.ValidString(e.Name)
		for _, a := range e.Attributes {
			valid = valid && utf8.ValidString(a.Key) && utf8.ValidString(a.Value) && len(a.Key) <= maxKey && len(a.Value) <= maxValue
		}
		if !valid || len(e.Name) > maxValue {
			t.Errorf("%q is not valid", e.Name)
		}
	}
	if got := all[1].Attributes[0].Value; got != "a?b\x1b[2J" {
		t.Errorf("a value is %q", got)
	}
	if got := all[0].Attributes[0].Value; !strings.HasSuffix(got, "é...") {
		t.Errorf("a long value ends with %q", got[len(got)-10:])
	}
}
