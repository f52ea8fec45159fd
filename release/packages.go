package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/goreleaser/nfpm/v2"
	_ "github.com/goreleaser/nfpm/v2/deb" // a packager
	"github.com/goreleaser/nfpm/v2/files"
	_ "github.com/goreleaser/nfpm/v2/rpm" // a packager
)

const (
	homepage    = "https://github.com/kbus-limpet/limpet"
	description = `Joins a KBUS message bus to others, over gRPC
limpetd joins the KBUS bus on this machine to buses on others, so that programs
on each talk as if there were one. limpetctl uses the bus from a shell. kbusd
serves KBUS devices where there is no kernel module.`
)

// pack makes a package, for the packager "deb" or "rpm".
func (s *source) pack(packager, arch, bin, out string) error {
	info := nfpm.WithDefaults(&nfpm.Info{
		Name: "limpetd", Arch: arch, Platform: "linux", Version: packageVersion(s.version), VersionSchema: "none", Release: "1",
		Section: "net", Priority: "optional", Maintainer: "The limpet authors <limpet@users.noreply.github.com>",
		Description: description, Homepage: homepage, License: "Apache-2.0", MTime: s.time, DisableGlobbing: true,
	})
	info.RPM.BuildHost, info.RPM.Summary, info.RPM.Group = "localhost", "Joins a KBUS message bus to others, over gRPC", "System Environment/Daemons"
	script := func(name string) string { return filepath.Join(s.root, "release", "scripts", name) }
	info.Scripts = nfpm.Scripts{PostInstall: script("postinstall"), PreRemove: script("preremove"), PostRemove: script("postremove")}
	if packager == "deb" {
		info.Depends, info.Recommends = []string{"systemd | systemd-standalone-sysusers | systemd-sysusers"}, []string{"fuse3"}
	}
	all, err := s.files(bin)
	if err != nil {
		return err
	}
	for _, f := range all {
		c := &files.Content{
			Source: f.source, Destination: f.target,
			FileInfo: &files.ContentFileInfo{Owner: "root", Group: "root", Mode: os.FileMode(f.mode), MTime: s.time},
		}
		switch {
		case f.config:
			c.Type = files.TypeConfigNoReplace
		case f.licence && packager == "rpm":
			c.Type, c.Destination = files.TypeRPMLicense, "/usr/share/licenses/limpetd/LICENSE"
		case packager == "rpm" && strings.HasPrefix(f.target, zshOfDebian): // it has a folder of its own
			c.Destination = zshOfOthers + strings.TrimPrefix(f.target, zshOfDebian)
		}
		info.Contents = append(info.Contents, c)
	}
	if err := nfpm.PrepareForPackager(info, packager); err != nil {
		return fmt.Errorf("%s for %s: %w", packager, arch, err)
	}
	p, err := nfpm.Get(packager)
	if err != nil {
		return err
	}
	w, err := os.Create(s.named(out, "."+packager, "limpetd", arch))
	if err != nil {
		return err
	}
	if err := errors.Join(p.Package(info, w), w.Close()); err != nil {
		return fmt.Errorf("%s for %s: %w", packager, arch, err)
	}
	return nil
}
