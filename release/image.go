package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// An imageOf is the image for one architecture, with its programs in the folder bin.
type imageOf struct{ arch, bin string }

// imageUser is whom limpetd runs as in the image.
const imageUser = 65532

// image makes an OCI image, as an archive of its layout: `skopeo copy oci-archive:FILE ...`
// and `podman load` take it. There is nothing in it but the programs.
func (s *source) image(all []imageOf, work, out string) error {
	index := v1.ImageIndex(empty.Index)
	for _, i := range all {
		img, err := s.imageFor(i)
		if err != nil {
			return fmt.Errorf("the image for %s: %w", i.arch, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: i.arch}},
		})
	}
	folder := filepath.Join(work, "image")
	at, err := layout.Write(folder, empty.Index)
	if err != nil {
		return err
	}
	name := map[string]string{"org.opencontainers.image.ref.name": s.version[1:]}
	if err := at.AppendIndex(index, layout.WithAnnotations(name)); err != nil {
		return err
	}
	return s.archiveLayout(folder, s.named(out, ".oci.tar", "limpetd"))
}

func (s *source) imageFor(i imageOf) (v1.Image, error) {
	content, err := s.layer(i.bin)
	if err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(content)), nil })
	if err != nil {
		return nil, err
	}
	img, err := mutate.Append(empty.Image, mutate.Addendum{Layer: layer, History: v1.History{Created: v1.Time{Time: s.time}, CreatedBy: "release"}})
	if err != nil {
		return nil, err
	}
	return mutate.ConfigFile(img, s.imageConfig(img, i.arch))
}

func (s *source) imageConfig(img v1.Image, arch string) *v1.ConfigFile {
	c, err := img.ConfigFile()
	if err != nil {
		c = new(v1.ConfigFile) // of an image in memory there is no error
	}
	c = c.DeepCopy()
	c.OS, c.Architecture, c.Created = "linux", arch, v1.Time{Time: s.time}
	c.Config = v1.Config{
		User:       fmt.Sprintf("%d:%d", imageUser, imageUser),
		Entrypoint: []string{"/usr/bin/limpetd"},
		Env:        []string{"PATH=/usr/bin", "XDG_RUNTIME_DIR=/run"}, // for limpetd and limpetctl the API is in /run/limpetd
		StopSignal: "SIGTERM",
		Labels: map[string]string{
			"org.opencontainers.image.title": "limpetd", "org.opencontainers.image.version": s.version[1:],
			"org.opencontainers.image.source": homepage, "org.opencontainers.image.licenses": "Apache-2.0",
		},
	}
	return c
}

// layer returns the image's files.
func (s *source) layer(bin string) ([]byte, error) {
	var b bytes.Buffer
	t := newTree(&b, s.time)
	var all []file
	for _, p := range programs[:2] { // kbusd is nothing for a container
		all = append(all, file{source: filepath.Join(bin, p), target: "/usr/bin/" + p, mode: 0o755})
	}
	all = append(all, file{source: filepath.Join(s.root, "LICENSE"), target: docs + "copyright", mode: 0o644})
	user := fmt.Sprintf("limpetd:x:%d:", imageUser)
	err := errors.Join(
		t.add("", all),
		t.bytes("etc/passwd", 0o644, fmt.Appendf(nil, "%s%d::/:/nonexistent\n", user, imageUser)),
		t.bytes("etc/group", 0o644, []byte(user+"\n")),
		t.folder("run/limpetd", 0o750, imageUser),
		t.folder("tmp", 0o1777, 0),
		t.w.Close(),
	)
	return b.Bytes(), err
}

// archiveLayout makes one file of an image's layout.
func (s *source) archiveLayout(folder, name string) error {
	w, err := os.Create(name)
	if err != nil {
		return err
	}
	t := newTree(w, s.time)
	err = filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error { // in the order of names
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		below, err := filepath.Rel(folder, path)
		if err != nil {
			return err
		}
		return t.bytes(filepath.ToSlash(below), 0o644, data)
	})
	if err := errors.Join(err, t.w.Close(), w.Close()); err != nil {
		return fmt.Errorf("making %s: %w", name, err)
	}
	return nil
}
