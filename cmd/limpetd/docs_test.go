package main

import (
	"os"
	"strings"
	"testing"
)

// The files that the documentation shows are understood.
func TestDocumentedFiles(t *testing.T) {
	text, err := os.ReadFile("../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(text), "```yaml\n")[1:]
	if len(blocks) < 2 {
		t.Fatalf("there are %d files in it", len(blocks))
	}
	for _, b := range blocks {
		yaml, _, _ := strings.Cut(b, "```")
		if _, err := load(t, yaml); err != nil {
			t.Errorf("%v of\n%s", err, yaml)
		}
	}
}
