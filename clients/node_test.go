package clients

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// nodeModules skips the test where the client for Node cannot run: its README and .ci/node have the
// packages that it needs installed by npm ci.
func nodeModules(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "node", "-p", "process.versions.node").Output()
	version := strings.TrimSpace(string(out))
	if err != nil {
		t.Skip("no node, as Debian's nodejs is: ", err)
	}
	if major, _, _ := strings.Cut(version, "."); len(major) < 2 || major < "18" {
		t.Skip("node 18 or later is needed, there is " + version)
	}
	for _, name := range []string{"@grpc/grpc-js", "@bufbuild/protobuf", "yaml"} {
		if _, err := os.Stat(filepath.Join("node/node_modules", name)); err != nil {
			t.Skip("npm ci has not been run in clients/node: ", err)
		}
	}
}

// The client for Node: its session cut at every frame, the stories, streams that are cut at random,
// and what its examples and its README say. Without LIMPET_TEST=long a part of that.
func TestNode(t *testing.T) {
	if testing.Short() {
		t.Skip("there is nothing of Go's in it")
	}
	nodeModules(t)
	files := []string{"session", "stories", "cuts"}
	if long() {
		files = append(files, "ends", "tls", "examples")
	} else {
		t.Setenv("EVERY", "8")
	}
	for _, file := range files {
		t.Run(file, func(t *testing.T) { t.Log(runIn(t, "node", "node", "--test", filepath.Join("tests", file+".test.js"))) })
	}
}
