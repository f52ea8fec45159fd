// Package printable makes what a peer or a program has said safe to show: names, reasons
// and error texts may hold what a terminal obeys, or what makes a line look like another
// one. It is used where text leaves for a terminal or a log, and nowhere before.
package printable

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text returns s with each character that is not printable as an escape of Go's, such as
// \x1b or \u202e, and each byte that is no UTF-8 as \xff. Line breaks, tabs, and what
// changes the direction of writing are not printable.
func Text(s string) string {
	if plain(s) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
		i += n
	}
	return b.String()
}

func plain(s string) bool {
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if !unicode.IsPrint(r) || r == utf8.RuneError && n == 1 {
			return false
		}
		i += n
	}
	return true
}

// Fprintf is fmt.Fprintf, but each argument is formatted by itself and then passes Text;
// only the format may hold line breaks and tabs. %w is %v.
func Fprintf(w io.Writer, format string, args ...any) (int, error) {
	safe := make([]any, len(args))
	for i, a := range args {
		safe[i] = shown{a}
	}
	return fmt.Fprintf(w, format, safe...)
}

type shown struct{ arg any }

// Format is fmt.Formatter's.
func (s shown) Format(f fmt.State, verb rune) {
	_, _ = io.WriteString(f, Text(fmt.Sprintf(fmt.FormatString(f, verb), s.arg)))
}

// JSON returns JSON that means the same as b, in which each character that is not printable
// is an escape. JSON itself asks for that below U+0020 only. A line break after a value, and
// what else is ASCII, stays.
func JSON(b []byte) []byte {
	if plainJSON(b) {
		return b
	}
	out := make([]byte, 0, len(b)+16)
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		switch {
		case r == '\n' || unicode.IsPrint(r):
			out = append(out, b[i:i+n]...)
		case r > 0xffff:
			r -= 0x10000
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		i += n
	}
	return out
}

func plainJSON(b []byte) bool {
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r != '\n' && !unicode.IsPrint(r) {
			return false
		}
		i += n
	}
	return true
}

// JSONLines returns a writer that passes each Write through JSON. A Write must hold whole
// characters, as that of a line does.
func JSONLines(w io.Writer) io.Writer { return jsonLines{w} }

type jsonLines struct{ w io.Writer }

func (j jsonLines) Write(b []byte) (int, error) {
	if _, err := j.w.Write(JSON(b)); err != nil {
		return 0, err
	}
	return len(b), nil
}
