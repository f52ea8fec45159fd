package main

import "path/filepath"

// A file is one that an installed limpet has.
type file struct {
	source, target string
	mode           int64
	config         bool // a person may change it, and an upgrade keeps that
	licence        bool
}

// docs is where the documentation is installed.
const docs = "/usr/share/doc/limpetd/"

// files returns what is installed, with the programs from the folder bin.
func (s *source) files(bin string) ([]file, error) {
	at := func(path ...string) string { return filepath.Join(append([]string{s.root}, path...)...) }
	all := []file{
		{source: at("systemd", "limpetd.sysusers.conf"), target: "/usr/lib/sysusers.d/limpetd.conf", mode: 0o644},
		{source: at("systemd", "limpetd.yaml"), target: "/etc/limpetd/limpetd.yaml", mode: 0o644, config: true},
		{source: at("LICENSE"), target: docs + "copyright", mode: 0o644, licence: true},
	}
	for _, p := range programs {
		all = append(all, file{source: filepath.Join(bin, p), target: "/usr/bin/" + p, mode: 0o755})
	}
	for _, unit := range []string{"limpetd.service", "limpetd.socket", "limpetd-peer.socket", "kbusd.service"} {
		all = append(all, file{source: at("systemd", unit), target: "/usr/lib/systemd/system/" + unit, mode: 0o644})
	}
	made, err := s.made()
	if err != nil {
		return nil, err
	}
	all = append(all, made...)
	for _, name := range []string{"alerts.yaml", "alerts_test.yaml", "dashboard.json", "limpet.lua"} {
		all = append(all, file{source: at("monitoring", name), target: "/usr/share/limpetd/monitoring/" + name, mode: 0o644})
	}
	texts, err := filepath.Glob(at("docs", "*.md")) // in the order of names
	if err != nil {
		return nil, err
	}
	for _, text := range append(texts, at("README.md"), at("CHANGELOG.md")) {
		name, err := filepath.Rel(s.root, text) // the links between them stay right
		if err != nil {
			return nil, err
		}
		all = append(all, file{source: text, target: docs + filepath.ToSlash(name), mode: 0o644})
	}
	return all, nil
}
