package clients

import (
	"os/exec"
	"strings"
	"testing"
)

// python returns a Python that has what the client needs, Debian's if it can be; the test is
// skipped where there is none.
func python(t *testing.T) string {
	var why string
	for _, name := range []string{"/usr/bin/python3", "python3"} {
		out, err := exec.CommandContext(t.Context(), name, "-c", "import sys; assert sys.version_info >= (3, 11), sys.version; import grpc, google.protobuf, yaml").CombinedOutput()
		if err == nil {
			return name
		}
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		why += name + ": " + err.Error() + " " + lines[len(lines)-1] + "; "
	}
	t.Skip("no Python of 3.11 or later with grpc, protobuf and yaml, as Debian's python3-grpcio, python3-protobuf and python3-yaml are: " + why)
	return ""
}

// The client for Python: its session cut at every frame, the stories, streams that are cut at
// random, and what its examples and its README say. Without LIMPET_TEST=long a part of that.
func TestPython(t *testing.T) {
	if testing.Short() {
		t.Skip("there is nothing of Go's in it")
	}
	py := python(t)
	modules := []string{"test_session", "test_stories", "test_cuts", "test_sync"}
	if long() {
		modules = append(modules, "test_tls", "test_examples")
	} else {
		t.Setenv("EVERY", "8")
	}
	for _, module := range modules {
		t.Run(module, func(t *testing.T) {
			t.Setenv("PYTHONPATH", "src")
			t.Setenv("PYTHONDONTWRITEBYTECODE", "1")
			t.Log(runIn(t, "python", py, "-W", "error::RuntimeWarning", "-m", "unittest", "-v", "tests."+module))
		})
	}
}
