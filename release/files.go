package main

import "path/filepath"

// A file is one that an installed limpet has.
type file struct {
	source, target string
	mode           int64
	config         bool // a person may change it, and an upgrade keeps that
	licence        bool
}

// files returns what is installed, with the programs from the folder bin.
func (s *source) files(bin string) []file {
	at := func(path ...string) string { return filepath.Join(append([]string{s.root}, path...)...) }
	var all []file
	for _, p := range programs {
		all = append(all, file{source: filepath.Join(bin, p), target: "/usr/bin/" + p, mode: 0o755})
	}
	for _, unit := range []string{"limpetd.service", "limpetd.socket", "limpetd-peer.socket", "kbusd.service"} {
		all = append(all, file{source: at("systemd", unit), target: "/usr/lib/systemd/system/" + unit, mode: 0o644})
	}
	return append(all,
		file{source: at("systemd", "limpetd.sysusers.conf"), target: "/usr/lib/sysusers.d/limpetd.conf", mode: 0o644},
		file{source: at("systemd", "limpetd.yaml"), target: "/etc/limpetd/limpetd.yaml", mode: 0o644, config: true},
		file{source: at("README.md"), target: docs + "README.md", mode: 0o644},
		file{source: at("CHANGELOG.md"), target: docs + "CHANGELOG.md", mode: 0o644},
		file{source: at("docs", "operations.md"), target: docs + "operations.md", mode: 0o644},
		file{source: at("LICENSE"), target: docs + "copyright", mode: 0o644, licence: true},
	)
}

const docs = "/usr/share/doc/limpetd/"
