package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A source is the commit that is built.
type source struct {
	root    string
	version string    // as programs tell it, like "v1.2.3"
	time    time.Time // of the commit: that of every file that is made
	helps   string    // the folder of what makeHelps has made; "" if it has not
}

var versionForm = regexp.MustCompile(`^v[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$`)

// readSource looks at the clone in folder root. named is the version, "" for that of git.
func readSource(ctx context.Context, root, named string) (*source, error) {
	if named != "" && !versionForm.MatchString(named) {
		return nil, fmt.Errorf("-version %q: it has the form v1.2.3, or v1.2.3-rc.1", named)
	}
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	s := &source{root: root, version: named}
	if s.version == "" {
		if s.version, err = s.describe(ctx); err != nil {
			return nil, err
		}
	}
	seconds := os.Getenv("SOURCE_DATE_EPOCH")
	if seconds == "" {
		if seconds, err = s.git(ctx, "log", "-1", "--format=%ct"); err != nil {
			return nil, err
		}
	}
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return nil, fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	s.time = time.Unix(n, 0).UTC()
	return s, nil
}

// describe makes a version of the latest tag, the number of commits since and the commit:
// "v1.2.3", "v1.2.3-5-g0123456789ab"; before the first tag, "v0.0.0-512-g0123456789ab".
func (s *source) describe(ctx context.Context) (string, error) {
	version, err := s.git(ctx, "describe", "--tags", "--match=v[0-9]*", "--abbrev=12")
	if err != nil {
		count, err := s.git(ctx, "rev-list", "--count", "HEAD")
		if err != nil {
			return "", err
		}
		commit, err := s.git(ctx, "rev-parse", "--short=12", "HEAD")
		if err != nil {
			return "", err
		}
		version = fmt.Sprintf("v0.0.0-%s-g%s", count, commit)
	}
	changes, err := s.git(ctx, "status", "--porcelain")
	if err == nil && changes != "" {
		version += "-changed"
	}
	return version, err
}

func (s *source) git(ctx context.Context, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, "git", append([]string{"-C", s.root}, args...)...).Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out)), nil
}

var sinceTag = regexp.MustCompile(`-([0-9]+-g[0-9a-f]+(-changed)?)$`)

// packageVersion returns the version as deb and rpm sort it: 1.2.3~rc.1 is before 1.2.3, and
// that before 1.2.3+5.g0123456789ab, which is five commits later.
func packageVersion(version string) string {
	version = strings.TrimPrefix(version, "v")
	later := ""
	if m := sinceTag.FindStringSubmatchIndex(version); m != nil {
		later = "+" + strings.ReplaceAll(version[m[2]:m[3]], "-", ".")
		version = version[:m[0]]
	}
	number, candidate, found := strings.Cut(version, "-")
	if found {
		number += "~" + strings.ReplaceAll(candidate, "-", ".")
	}
	return number + later
}

// programs are what is published.
var programs = []string{"limpetd", "limpetctl", "kbusd"}

// build builds the programs into a folder.
func (s *source) build(ctx context.Context, arch, bin string) error {
	args := []string{
		"build", "-tags", "grpcnotrace", // without golang.org/x/net/trace and its templates: 3 MB less of limpetd
		"-trimpath", "-buildvcs=true", "-o", bin + string(filepath.Separator),
		"-ldflags=-s -w -X github.com/kbus-limpet/limpet/internal/buildinfo.version=" + s.version,
	}
	for _, p := range programs {
		args = append(args, "./cmd/"+p)
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = s.root
	// What a machine has set must not change the bytes.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOFLAGS=", "GOEXPERIMENT=", "GOAMD64=v1", "GOARM64=v8.0", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s for %s: %w\n%s", strings.Join(args, " "), arch, err, out)
	}
	return nil
}

// named returns the path of what is made, in the folder out: NAME_VERSION, or
// NAME_VERSION_ARCHITECTURE, with the suffix.
func (s *source) named(out, suffix, name string, arch ...string) string {
	return filepath.Join(out, strings.Join(append([]string{name, packageVersion(s.version)}, arch...), "_")+suffix)
}
