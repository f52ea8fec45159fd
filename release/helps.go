package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// Where the shells look for completions. For zsh Debian has a folder of its own.
const (
	completionOfBash = "/usr/share/bash-completion/completions/"
	completionOfFish = "/usr/share/fish/vendor_completions.d/"
	zshOfDebian      = "/usr/share/zsh/vendor-completions/"
	zshOfOthers      = "/usr/share/zsh/site-functions/"
)

// makeHelps builds the programs for this machine into the folder bin, and has them write
// their man pages and the shells' completions, which are the same for every architecture,
// into the folder to, as they are installed.
func (s *source) makeHelps(ctx context.Context, bin, to string) error {
	if err := s.build(ctx, runtime.GOARCH, bin); err != nil {
		return err
	}
	for _, p := range programs {
		program := filepath.Join(bin, p)
		pages := filepath.Join(bin, p+".pages")
		if _, err := s.ask(ctx, program, "man", pages); err != nil {
			return err
		}
		if err := installPages(pages, to); err != nil {
			return err
		}
		for shell, file := range map[string]string{"bash": completionOfBash + p, "zsh": zshOfDebian + "_" + p, "fish": completionOfFish + p + ".fish"} {
			text, err := s.ask(ctx, program, "completion", shell)
			if err != nil {
				return err
			}
			if err := write(filepath.Join(to, file), text); err != nil {
				return err
			}
		}
	}
	s.helps = to
	return nil
}

// ask runs a program, in an environment that does not change what it says, and returns what
// it prints.
func (s *source) ask(ctx context.Context, program string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = []string{fmt.Sprintf("SOURCE_DATE_EPOCH=%d", s.time.Unix()), "XDG_RUNTIME_DIR=/run", "HOME=/nonexistent", "LC_ALL=C"}
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w\n%s", program, strings.Join(args, " "), err, said.Bytes())
	}
	return out, nil
}

// installPages puts man pages, compressed, into their sections' folders.
func installPages(from, to string) error {
	all, err := os.ReadDir(from)
	if err != nil {
		return err
	}
	for _, page := range all {
		text, err := os.ReadFile(filepath.Join(from, page.Name()))
		if err != nil {
			return err
		}
		section := strings.TrimPrefix(filepath.Ext(page.Name()), ".")
		if err := write(filepath.Join(to, "/usr/share/man", "man"+section, page.Name()+".gz"), compress(text)); err != nil {
			return err
		}
	}
	return nil
}

// compress returns data as gzip, without a name or a time.
func compress(data []byte) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // the level is a good one
	_, _ = w.Write(data)                                  // which a buffer takes
	_ = w.Close()
	return b.Bytes()
}

func write(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}

// made returns the files that makeHelps has made.
func (s *source) made() (all []file, err error) {
	if s.helps == "" {
		return nil, nil
	}
	err = filepath.WalkDir(s.helps, func(path string, d fs.DirEntry, err error) error { // in the order of names
		if err != nil || d.IsDir() {
			return err
		}
		below, err := filepath.Rel(s.helps, path)
		if err != nil {
			return err
		}
		all = append(all, file{source: path, target: "/" + filepath.ToSlash(below), mode: 0o644})
		return nil
	})
	return all, err
}
