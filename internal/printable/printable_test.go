package printable_test

import (
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/kbus-limpet/limpet/internal/printable"
)

func TestText(t *testing.T) {
	for _, c := range []struct{ said, shown string }{
		{"", ""},
		{"$.Weather.Rain", "$.Weather.Rain"},
		{"Grüße, 世界", "Grüße, 世界"},
		{`C:\x1b`, `C:\x1b`},
		{"\x1b[2J\x1b]0;title\x07", `\x1b[2J\x1b]0;title\a`},
		{"up\nnetwork 9: up", `up\nnetwork 9: up`},
		{"a\r\tb\x7f", `a\r\tb\x7f`},
		{"\u009b31m", `\u009b31m`},               // CSI in one character
		{"abc\u202egpj.exe", `abc\u202egpj.exe`}, // right to left
		{"\u2066x\u2069\u061c", `\u2066x\u2069\u061c`},
		{"a\u2028b\u200b", `a\u2028b\u200b`},
		{"\xff\xfe\x80", `\xff\xfe\x80`},
		{"\xc2", `\xc2`},
		{"\ufffd", "\ufffd"}, // said so
		{"\U000e0041", `\U000e0041`},
	} {
		if got := printable.Text(c.said); got != c.shown {
			t.Errorf("%q is shown as %q, want %q", c.said, got, c.shown)
		}
	}
}

func TestFprintf(t *testing.T) {
	var b strings.Builder
	_, _ = printable.Fprintf(&b, "%s\t%-6s|%v %d %q %v %05.1f\n", "a\x1b", "b\n", errors.New("c\u202e"), 7, "d\te", map[string]int{"\x1b": 1}, 2.5)
	if got, want := b.String(), "a\\x1b\tb\\n    |c\\u202e 7 \"d\\te\" map[\\x1b:1] 002.5\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// Whatever is said, nothing that a terminal could obey is left, and JSON means what it did.
func FuzzPrintable(f *testing.F) {
	for _, s := range []string{"\x1b[31m", "\u009b", "\u202e", "\xff", "\U000e0041", "x\n", "\u2028"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, said string) {
		shown := printable.Text(said)
		if i := strings.IndexFunc(shown, func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 || !utf8.ValidString(shown) {
			t.Errorf("%q is shown as %q", said, shown)
		}
		if printable.Text(shown) != shown {
			t.Errorf("%q is shown in another way the second time", shown)
		}
		b, err := json.Marshal(map[string]string{"said": said})
		if err != nil {
			t.Fatal(err)
		}
		safe := printable.JSON(append(b, '\n'))
		if i := strings.IndexFunc(strings.TrimSuffix(string(safe), "\n"), func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 {
			t.Errorf("%q is JSON as %q", said, safe)
		}
		var before, after map[string]string
		if json.Unmarshal(b, &before) != nil || json.Unmarshal(safe, &after) != nil || before["said"] != after["said"] {
			t.Errorf("%q becomes %q", before, after)
		}
	})
}

// slog's handlers show nothing that a terminal obeys: the text handler by itself, that for
// JSON with JSONLines.
func TestLogs(t *testing.T) {
	const said = "\x1b[2J\u009b31m\u202eevil\n\xff"
	var text, lines strings.Builder
	for _, log := range []*slog.Logger{slog.New(slog.NewTextHandler(&text, nil)), slog.New(slog.NewJSONHandler(printable.JSONLines(&lines), nil))} {
		log.Info(said, said, said, "error", errors.New(said), "any", []string{said})
	}
	for name, got := range map[string]string{"text": text.String(), "JSON": lines.String()} {
		line := strings.TrimSuffix(got, "\n")
		if i := strings.IndexFunc(line, func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 || line == "" {
			t.Errorf("%s: %q", name, got)
		}
	}
}
