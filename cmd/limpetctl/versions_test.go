package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	pb "github.com/kbus-limpet/limpet/gen/kbus/limpet/v1"
)

func (steadyDaemon) ListNetworks(context.Context, *pb.ListNetworksRequest) (*pb.ListNetworksResponse, error) {
	return &pb.ListNetworksResponse{Networks: []*pb.ReachableNetwork{
		{NetworkId: 7, Link: "connect hosta:7000", InstanceId: "0a", Version: "v1.2.2"},
		{NetworkId: 8, Link: "connect hosta:7000", InstanceId: "0b", Behind: true},
	}}, nil
}

// Versions that differ are a failure; those that nobody says are not.
func TestPrintVersions(t *testing.T) {
	for _, x := range []struct {
		versions []string
		verdict  string
		code     int
	}{
		{[]string{"v1", "v1"}, "all are the same", exitOK},
		{[]string{"v1", "", "v1", ""}, "all are the same, as far as is known: 2 do not say", exitOK},
		{[]string{"v1", "v2", "v1"}, "there are 2 different ones", exitFailed},
		{[]string{"v1", "v2", ""}, "there are 2 different ones, as far as is known: 1 do not say", exitFailed},
	} {
		var all []version
		for _, v := range x.versions {
			all = append(all, version{program: "limpetd", version: v, where: "somewhere"})
		}
		var out bytes.Buffer
		err := new(options).printVersions(&out, all)
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		if got := lines[len(lines)-1]; exitCode(err) != x.code || got != x.verdict || len(lines) != len(all)+1 {
			t.Errorf("of %q it prints %q (%d)", x.versions, out.String(), exitCode(err))
		}
	}
}

// Without --all it asks nobody.
func TestVersionAlone(t *testing.T) {
	var out, errOut bytes.Buffer
	if code := run(t.Context(), []string{"version", "--api", "/nowhere/api"}, &out, &errOut); code != exitOK || !strings.HasPrefix(out.String(), "limpetctl (devel) (") {
		t.Errorf("%q, %q (%d)", &out, &errOut, code)
	}
	if code := run(t.Context(), []string{"version", "--all", "--api", "/nowhere/api"}, &out, &errOut); code != exitFailed || !strings.Contains(errOut.String(), "no limpetd answers") {
		t.Errorf("%q, %q (%d)", &out, &errOut, code)
	}
	if code := run(t.Context(), []string{"version", "all"}, &out, &errOut); code != exitUsage {
		t.Errorf("of an argument: %d", code)
	}
}
