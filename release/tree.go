package main

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"
)

// A tree writes a tar archive whose bytes depend on nothing but what is put in.
type tree struct {
	w    *tar.Writer
	time time.Time
	made map[string]bool
}

func newTree(w io.Writer, at time.Time) *tree {
	return &tree{w: tar.NewWriter(w), time: at, made: map[string]bool{".": true, "": true}}
}

// folder adds a folder, and those above it, unless they are there.
func (t *tree) folder(name string, mode int64, user int) error {
	if t.made[name] {
		return nil
	}
	if err := t.folder(path.Dir(name), 0o755, 0); err != nil {
		return err
	}
	t.made[name] = true
	return t.w.WriteHeader(&tar.Header{
		Typeflag: tar.TypeDir, Name: name + "/", Mode: mode, Uid: user, Gid: user, ModTime: t.time, Format: tar.FormatUSTAR,
	})
}

// bytes adds a file.
func (t *tree) bytes(name string, mode int64, data []byte) error {
	if err := t.folder(path.Dir(name), 0o755, 0); err != nil {
		return err
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(data)), ModTime: t.time, Format: tar.FormatUSTAR}
	if err := t.w.WriteHeader(h); err != nil {
		return fmt.Errorf("adding %s: %w", name, err)
	}
	_, err := t.w.Write(data)
	return err
}

// add adds files, below the folder prefix unless that is "".
func (t *tree) add(prefix string, all []file) error {
	for _, f := range all {
		data, err := os.ReadFile(f.source)
		if err != nil {
			return err
		}
		if err := t.bytes(path.Join(prefix, strings.TrimPrefix(f.target, "/")), f.mode, data); err != nil {
			return err
		}
	}
	return nil
}

// archive makes a .tar.gz of what is installed, for machines without deb and rpm.
func (s *source) archive(arch, bin, out string) error {
	all, err := s.files(bin)
	if err != nil {
		return err
	}
	name := s.named(out, ".tar.gz", "limpetd", arch)
	w, err := os.Create(name)
	if err != nil {
		return err
	}
	z := gzip.NewWriter(w)
	t := newTree(z, s.time)
	err = errors.Join(t.add("limpetd_"+packageVersion(s.version), all), t.w.Close(), z.Close(), w.Close())
	if err != nil {
		return fmt.Errorf("making %s: %w", name, err)
	}
	return nil
}
