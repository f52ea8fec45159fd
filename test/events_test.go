package test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// An event is what is logged under one name.
type event struct {
	levels     []string
	attributes []string
	open       bool // it has attributes that are not written where it is logged
	at         token.Position
}

// levels are slog's methods, and what they log with; "" is one that is not written there.
var levels = map[string]string{
	"Debug": "DEBUG", "DebugContext": "DEBUG", "Info": "INFO", "InfoContext": "INFO",
	"Warn": "WARN", "WarnContext": "WARN", "Error": "ERROR", "ErrorContext": "ERROR", "Log": "",
}

// logger reports whether an expression is a log by its name: log, slog, x.log, x.Log, x.Log().
func logger(e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return strings.EqualFold(e.Name, "log") || e.Name == "slog"
	case *ast.SelectorExpr:
		return strings.EqualFold(e.Sel.Name, "log")
	case *ast.CallExpr:
		return logger(e.Fun)
	}
	return false
}

// eventsOf adds what a file logs.
func eventsOf(t *testing.T, path string, all map[string]event) {
	t.Helper()
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		method, ok := call.Fun.(*ast.SelectorExpr)
		if !ok || !logger(method.X) {
			return true
		}
		level, logs := levels[method.Sel.Name]
		if !logs {
			return true
		}
		args := call.Args
		if strings.HasSuffix(method.Sel.Name, "Context") || method.Sel.Name == "Log" {
			args = args[1:]
		}
		if method.Sel.Name == "Log" {
			args = args[1:]
		}
		at := files.Position(call.Pos())
		name := literal(args[0])
		if name == "" {
			t.Errorf("%s: the message is no plain text: what differs belongs into attributes", at)
			return true
		}
		if before, twice := all[name]; twice {
			t.Errorf("%s: %q is logged at %s too: an event has one place", at, name, before.at)
		}
		e := event{at: at, levels: []string{level}, open: call.Ellipsis.IsValid()}
		if e.open {
			args = args[:len(args)-1]
		}
		for i := 1; i < len(args); i += 2 {
			key := literal(args[i])
			if !regexp.MustCompile(`^[a-z_]+$`).MatchString(key) {
				t.Errorf("%s: attribute %d of %q is no plain word", at, i/2+1, name)
			}
			e.attributes = append(e.attributes, key)
		}
		all[name] = e
		return true
	})
}

func literal(e ast.Expr) string {
	if l, ok := e.(*ast.BasicLit); ok && l.Kind == token.STRING {
		s, _ := strconv.Unquote(l.Value)
		return s
	}
	return ""
}

// docs/events.md has every event of the sources, as it is there, and no other.
func TestEventsAreDocumented(t *testing.T) {
	sources := make(map[string]event)
	for _, room := range []string{"kbusdev", "limpet", "server", "client", "internal", "cmd"} {
		err := filepath.WalkDir(filepath.Join("..", room), func(path string, d fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
				eventsOf(t, path, sources)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile("../docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| `(.*?)` \\| ([A-Z, ]+) \\| ([a-z_, ]*) ?\\| .+ \\|$")
	rows := row.FindAllStringSubmatch(string(text), -1)
	if n := strings.Count(string(text), "\n| `"); n != len(rows) {
		t.Errorf("%d of %d rows are not read", n-len(rows), n)
	}
	documented := make(map[string]bool)
	for _, r := range rows {
		name, level, attributes := r[1], strings.Split(r[2], ", "), strings.Split(strings.TrimSpace(r[3]), ", ")
		if attributes[0] == "" {
			attributes = nil
		}
		if documented[name] {
			t.Errorf("%q is there twice", name)
		}
		documented[name] = true
		e, logged := sources[name]
		switch {
		case !logged:
			t.Errorf("nothing logs %q", name)
			continue
		case e.levels[0] != "" && !slices.Equal(level, e.levels):
			t.Errorf("%s: %q has the level %v, not %v", e.at, name, e.levels, level)
		}
		if !e.open && !slices.Equal(attributes, e.attributes) {
			t.Errorf("%s: %q has the attributes %q, not %q", e.at, name, e.attributes, attributes)
		}
	}
	for name, e := range sources {
		if !documented[name] {
			t.Errorf("%s: docs/events.md does not have %q", e.at, name)
		}
	}
}
