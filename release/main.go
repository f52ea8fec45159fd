// Command release builds everything that is published of one version of limpet: the
// programs for each architecture, as deb and rpm packages, as an archive and as a container
// image, with a bill of materials and checksums. From the same commit, with the same Go, it
// makes the same bytes, whatever the folder, the time and the machine.
//
//	cd release && go run . [-version v1.2.3] [-arch amd64,arm64] [-out ../dist]
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "release: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	named := flag.String("version", "", "the `VERSION`, like v1.2.3; else that of the tag or the commit")
	arches := flag.String("arch", "amd64,arm64", "the `ARCHITECTURES` to build for, as Go calls them")
	root := flag.String("root", "..", "the `FOLDER` of the main module")
	out := flag.String("out", filepath.Join("..", "dist"), "the `FOLDER` for what is made; it must be new or empty")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("%q: only flags are taken", flag.Args())
	}
	src, err := readSource(ctx, *root, *named)
	if err != nil {
		return err
	}
	if all, err := os.ReadDir(*out); err == nil && len(all) > 0 {
		return fmt.Errorf("%s has files of an earlier run; remove it, or choose another folder with -out", *out)
	}
	work, err := os.MkdirTemp("", "limpet-release-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work) //nolint:errcheck // it is temporary
	if err := os.MkdirAll(*out, 0o755); err != nil {
		return err
	}
	return makeAll(ctx, src, strings.Split(*arches, ","), work, *out)
}

// makeAll makes what is published, in the folder out.
func makeAll(ctx context.Context, src *source, arches []string, work, out string) error {
	if err := src.makeHelps(ctx, filepath.Join(work, runtime.GOARCH), filepath.Join(work, "helps")); err != nil {
		return err
	}
	var images []imageOf
	for _, arch := range arches {
		bin := filepath.Join(work, arch)
		if err := src.build(ctx, arch, bin); err != nil {
			return err
		}
		for _, packager := range []string{"deb", "rpm"} {
			if err := src.pack(packager, arch, bin, out); err != nil {
				return err
			}
		}
		if err := src.archive(arch, bin, out); err != nil {
			return err
		}
		if err := src.listMaterials(arch, bin, out); err != nil {
			return err
		}
		images = append(images, imageOf{arch, bin})
	}
	if err := src.image(images, work, out); err != nil {
		return err
	}
	return writeChecksums(out)
}
