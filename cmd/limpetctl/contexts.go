package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"

	"github.com/kbus-limpet/limpet/client"
)

// A place is a daemon's API, and how it is reached.
type place struct {
	API      string `json:"api"`
	TLSCert  string `json:"tls_cert,omitempty"`
	TLSKey   string `json:"tls_key,omitempty"`
	TLSCA    string `json:"tls_ca,omitempty"`
	TLSName  string `json:"tls_name,omitempty"`
	Insecure bool   `json:"insecure,omitempty"`
}

func (p *place) tls() client.TLS {
	return client.TLS{Cert: p.TLSCert, Key: p.TLSKey, CA: p.TLSCA, Name: p.TLSName}
}

// contexts are the places that a user has given names.
type contexts struct {
	InUse string            `json:"in_use,omitempty"`
	All   map[string]*place `json:"contexts"`
}

// maxContexts bounds the file, in bytes.
const maxContexts = 1 << 20

// contextsFile returns where the contexts are kept.
func contextsFile() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fmt.Errorf("there is no folder for contexts: %w; set HOME or XDG_CONFIG_HOME, or say --api", err)
	}
	return filepath.Join(dir, "limpetctl", "contexts.json"), nil
}

// readContexts reads the file; there are no contexts if it is not there.
func readContexts(path string) (*contexts, error) {
	c := &contexts{All: make(map[string]*place)}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the contexts: %w", err)
	}
	switch {
	case !info.Mode().IsRegular() || info.Size() > maxContexts:
		return nil, fmt.Errorf("%s is no file of contexts; move it away, then limpetctl context set makes a new one", path)
	case runtime.GOOS != "windows" && info.Mode().Perm()&0o022 != 0:
		return nil, fmt.Errorf("%s is writable by others (mode %04o), who could lead limpetctl to a daemon of theirs; look at it, then chmod 600 it", path, info.Mode().Perm())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the contexts: %w", err)
	}
	if err := json.Unmarshal(data, c); err != nil {
		return nil, fmt.Errorf("%s: %w; mend it or move it away, then limpetctl context set makes a new one", path, err)
	}
	for name, p := range c.All {
		if p == nil || p.API == "" {
			return nil, fmt.Errorf("%s: context %q has no api; mend it with limpetctl context remove %s", path, name, name)
		}
	}
	return c, nil
}

// write puts the file in its place, readable by its user alone.
func (c *contexts) write(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("making the folder of the contexts: %w", err)
	}
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".contexts-*") // mode 0600
	if err != nil {
		return fmt.Errorf("writing the contexts: %w", err)
	}
	_, err = f.Write(append(data, '\n'))
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("writing the contexts: %w", err)
	}
	return nil
}

// find returns the place called name. path is for the error.
func (c *contexts) find(name, path string) (*place, error) {
	if p := c.All[name]; p != nil {
		return p, nil
	}
	known := "there are none; limpetctl context set makes one"
	if len(c.All) > 0 {
		known = "there are " + strings.Join(slices.Sorted(maps.Keys(c.All)), ", ")
	}
	return nil, fmt.Errorf("there is no context %q in %s: %s", name, path, known)
}

var contextForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

func checkContextName(name string) error {
	if !contextForm.MatchString(name) {
		return fmt.Errorf("context %q: a name has up to 64 letters, digits, dots, dashes and underscores, and begins with a letter or digit", name)
	}
	return nil
}
