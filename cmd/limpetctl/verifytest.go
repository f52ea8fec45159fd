package main

import (
	"bytes"
	"cmp"
	"fmt"
	"go/format"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
	"time"
	"unicode"

	"github.com/kbus-limpet/limpet/internal/printable"
	"github.com/kbus-limpet/limpet/limpet/verify"
)

// testFile is the test that is made of a record.
var testFile = template.Must(template.New("test").Parse(`package {{.Package}}

import (
	"os"
	"testing"

	"github.com/kbus-limpet/limpet/limpet/verify"
)

// Of link {{.Link}}, recorded by limpetd {{.Software}} from {{.Base}} on. The last events:
//
{{range .Events}}//	{{.}}
{{end}}func {{.Func}}(t *testing.T) {
	f, err := os.Open({{.Record}})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	res, err := verify.File(f, verify.Config{})
	if err != nil {
		t.Fatal(err)
	}
	const differs = {{.Differs}} // the first event of which something else comes than was recorded; 0 is none
	switch d := res.Difference; {
	case d == nil && differs != 0:
		t.Errorf("event %d does not differ any more", differs)
	case d != nil && d.Event != differs:
		t.Errorf("event %d, %q: recorded %q, now %q", d.Event, d.What, d.Recorded, d.Now)
	}
}
`))

// makeTest makes a test of a record: the file at path, and the record in testdata beside it.
// Neither may be there.
func makeTest(out io.Writer, path, from string, keep uint64) error {
	base, ok := strings.CutSuffix(filepath.Base(path), "_test.go")
	name := camel(base)
	if !ok || name == "" {
		return &usageError{fmt.Errorf("--test %q is not the name of a test: it is a word, and _test.go", path)}
	}
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // it is read only
	var cut bytes.Buffer
	res, err := verify.Cut(f, &cut, keep)
	if err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	var differs uint64
	if res.Difference != nil {
		differs = res.Difference.Event
	}
	dir, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return err
	}
	record := filepath.Join("testdata", base+".rec")
	var test bytes.Buffer
	err = testFile.Execute(&test, map[string]any{
		"Package": packageOf(dir), "Link": printable.Text(strconv.Quote(res.Header.Link)), "Software": printable.Text(res.Header.Software),
		"Base": res.Header.Base.UTC().Format(time.RFC3339Nano), "Events": lastEvents(res),
		"Func": "TestRecord" + name, "Record": strconv.Quote(filepath.ToSlash(record)), "Differs": differs,
	})
	if err != nil {
		return err
	}
	source, err := format.Source(test.Bytes())
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, "testdata"), 0o755); err != nil {
		return err
	}
	for to, b := range map[string][]byte{filepath.Join(dir, record): cut.Bytes(), path: source} {
		if err := writeNew(to, b); err != nil {
			return err
		}
	}
	printable.Fprintf(out, "%s and %s: go test %s -run TestRecord%s\n", path, filepath.Join(filepath.Dir(path), record), "./"+filepath.Dir(path), name)
	return nil
}

func writeNew(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if _, err := f.Write(b); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}

// lastEvents returns the events before the end of a record, as comments.
func lastEvents(res *verify.Result) (lines []string) {
	for _, e := range res.Before {
		for i, line := range e.Lines {
			if i == 0 {
				line = fmt.Sprintf("%d %s", e.Number, line)
			} else {
				line = "  " + line
			}
			lines = append(lines, printable.Text(line))
		}
	}
	if d := res.Difference; d != nil {
		lines = append(lines, printable.Text(fmt.Sprintf("%d %s", d.Event, strings.Join(d.What, "; "))))
	}
	return lines
}

// packageOf returns the package that tests in a folder are of.
func packageOf(dir string) string {
	name := strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, filepath.Base(dir))
	return cmp.Or(strings.TrimLeftFunc(name, unicode.IsDigit), "records") + "_test"
}

// camel makes LostReply of lost_reply.
func camel(words string) string {
	var b strings.Builder
	for _, w := range strings.FieldsFunc(words, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		b.WriteString(strings.ToUpper(w[:1]) + w[1:])
	}
	return b.String()
}
