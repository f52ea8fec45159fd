package flight

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The files have a bound, and the oldest go first. What is not ours stays.
func TestFilesAreBounded(t *testing.T) {
	dir := t.TempDir()
	other := filepath.Join(dir, "limpetd-notes.trace")
	if err := os.WriteFile(other, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := New(Config{Dir: dir, After: time.Hour, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for i := range maxFiles + 3 {
		path, err := r.dump(start.Add(time.Duration(i) * time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(path); err != nil || !bytes.HasPrefix(b, []byte("go 1.")) || len(b) > 4*maxBytes {
			t.Errorf("%s has %d bytes, %v", path, len(b), err)
		}
	}
	all, _ := filepath.Glob(filepath.Join(dir, "*"))
	if len(all) != maxFiles+1 || all[maxFiles] != other || !strings.Contains(all[0], "20260102T030705") {
		t.Errorf("there are %q", all)
	}
	if info, err := os.Stat(all[0]); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if _, err := New(Config{Dir: dir, After: time.Hour}); err == nil {
		t.Error("there are two recorders")
	}
}

func TestFolderIsTried(t *testing.T) {
	if _, err := New(Config{Dir: filepath.Join(t.TempDir(), "none"), After: time.Hour}); err == nil || !strings.Contains(fmt.Sprint(err), "none") {
		t.Errorf("a folder that is not there: %v", err)
	}
}
