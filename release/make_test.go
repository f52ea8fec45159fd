package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// made makes everything but the programs, which are no programs here, and returns the folder.
func made(t *testing.T) string {
	t.Helper()
	s := &source{root: "..", version: "v1.2.3", time: time.Unix(1700000000, 0).UTC()}
	bin, out := t.TempDir(), t.TempDir()
	s.helps = t.TempDir()
	pages := t.TempDir()
	if err := os.WriteFile(filepath.Join(pages, "limpetctl.1"), []byte(".TH LIMPETCTL 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(installPages(pages, s.helps), write(filepath.Join(s.helps, zshOfDebian, "_limpetctl"), []byte("#compdef\n"))); err != nil {
		t.Fatal(err)
	}
	for _, p := range programs {
		if err := os.WriteFile(filepath.Join(bin, p), []byte(p), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, packager := range []string{"deb", "rpm"} {
		if err := s.pack(packager, "amd64", bin, out); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.archive("amd64", bin, out); err != nil {
		t.Fatal(err)
	}
	if err := s.image([]imageOf{{"amd64", bin}, {"arm64", bin}}, t.TempDir(), out); err != nil {
		t.Fatal(err)
	}
	if err := writeChecksums(out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestSameBytes(t *testing.T) {
	first, second := made(t), made(t)
	names := []string{"SHA256SUMS", "limpetd_1.2.3.oci.tar", "limpetd_1.2.3_amd64.deb", "limpetd_1.2.3_amd64.rpm", "limpetd_1.2.3_amd64.tar.gz"}
	if all, err := os.ReadDir(first); err != nil || len(all) != len(names) {
		t.Errorf("what is made: %v, %v", all, err)
	}
	for _, name := range names {
		a, err := os.ReadFile(filepath.Join(first, name))
		if err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(filepath.Join(second, name)); err != nil || !bytes.Equal(a, b) {
			t.Errorf("%s is not the same when it is made again: %v", name, err)
		}
	}
}

// What is installed for a person to read is where it is looked for.
func TestHelps(t *testing.T) {
	out := made(t)
	for _, c := range []struct {
		suffix string
		want   []string
	}{
		{"tar.gz", []string{"/usr/share/man/man1/limpetctl.1.gz", zshOfDebian + "_limpetctl"}},
	} {
		f, err := os.Open(filepath.Join(out, "limpetd_1.2.3_amd64."+c.suffix))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		found := make(map[string]bool)
		for r := tar.NewReader(z); ; {
			h, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			found["/"+strings.TrimPrefix(h.Name, "limpetd_1.2.3/")] = true
		}
		for _, name := range c.want {
			if !found[name] {
				t.Errorf("%s has no %s", c.suffix, name)
			}
		}
	}
	page := compress([]byte("x"))
	if !bytes.Equal(page, compress([]byte("x"))) || !bytes.Equal(page[3:9], []byte{0, 0, 0, 0, 0, 2}) { // no name, no time, best
		t.Errorf("a page is compressed as % x", page)
	}
}

// The image is a valid one for each architecture.
func TestImage(t *testing.T) {
	f, err := os.Open(filepath.Join(made(t), "limpetd_1.2.3.oci.tar"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	folder := t.TempDir()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		to := filepath.Join(folder, h.Name)
		if h.Typeflag == tar.TypeDir {
			err = os.MkdirAll(to, 0o755)
		} else if data, rerr := io.ReadAll(r); rerr != nil {
			err = rerr
		} else {
			err = os.WriteFile(to, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	at, err := layout.ImageIndexFromPath(folder)
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(at); err != nil {
		t.Error(err)
	}
	outer, err := at.IndexManifest()
	if err != nil || len(outer.Manifests) != 1 || outer.Manifests[0].Annotations["org.opencontainers.image.ref.name"] != "1.2.3" {
		t.Fatalf("the layout has %+v, %v", outer, err)
	}
	index, err := at.ImageIndex(outer.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	all, err := index.IndexManifest()
	if err != nil || len(all.Manifests) != 2 {
		t.Fatalf("the index has %+v, %v", all, err)
	}
	for i, arch := range []string{"amd64", "arm64"} {
		m := all.Manifests[i]
		if m.Platform == nil || !m.Platform.Equals(v1.Platform{OS: "linux", Architecture: arch}) {
			t.Errorf("manifest %d is for %v", i, m.Platform)
		}
		img, err := index.Image(m.Digest)
		if err != nil {
			t.Fatal(err)
		}
		c, err := img.ConfigFile()
		if err != nil || c.Architecture != arch || c.Config.User != "65532:65532" || len(c.History) != 1 {
			t.Errorf("its configuration is %+v, %v", c, err)
		}
	}
}

// Whatever there is for a monitoring is in the packages.
func TestMonitoringIsPackaged(t *testing.T) {
	s := &source{root: ".."}
	all, err := s.files(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	packaged := make(map[string]string)
	for _, f := range all {
		packaged[f.target] = f.source
	}
	there, err := os.ReadDir("../monitoring")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range there {
		if packaged["/usr/share/limpetd/monitoring/"+f.Name()] != filepath.Join("..", "monitoring", f.Name()) {
			t.Errorf("monitoring/%s is not packaged", f.Name())
		}
	}
}
