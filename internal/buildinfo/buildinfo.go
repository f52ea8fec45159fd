// Package buildinfo tells which build of limpet a program is.
package buildinfo

import (
	"cmp"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
)

// version is what a release was built as, such as "v1.2.3": the linker sets it. "" leaves it
// to Go, which knows the version of a module that `go install` has fetched, and makes one of
// the tag or the commit in a clone.
var version string

// Info is what is known of a build. Fields are "" or false where nothing is known.
type Info struct {
	// Version is that of the release, or one that Go has made of the commit. Never "".
	Version string `json:"version"`
	// Revision is the commit, Time when it was made, and Modified says that there were
	// changes that are not in it.
	Revision string `json:"revision,omitempty"`
	Time     string `json:"time,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	// Go is the compiler's version, Platform what it was built for, like "linux/amd64".
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// Read returns what is known of the running program.
func Read() Info {
	info, _ := debug.ReadBuildInfo()
	return read(version, info)
}

// read makes an Info of the linker's version and Go's own record, which may be nil.
func read(version string, info *debug.BuildInfo) Info {
	i := Info{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info != nil {
		i.Version = cmp.Or(version, info.Main.Version)
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				i.Revision = s.Value
			case "vcs.time":
				i.Time = s.Value
			case "vcs.modified":
				i.Modified = s.Value == "true"
			}
		}
	}
	i.Version = cmp.Or(i.Version, "(devel)")
	return i
}

// revisionLength is how much of a commit's name people are shown.
const revisionLength = 12

// String returns it in one line, such as "v1.2.3 (commit 4f2c1a98d0be, go1.26.8, linux/amd64)".
func (i Info) String() string {
	facts := []string{i.Go, i.Platform}
	if i.Revision != "" {
		commit := "commit " + i.Revision[:min(revisionLength, len(i.Revision))]
		if i.Modified {
			commit += " and changes"
		}
		facts = append([]string{commit}, facts...)
	}
	return fmt.Sprintf("%s (%s)", i.Version, strings.Join(facts, ", "))
}
