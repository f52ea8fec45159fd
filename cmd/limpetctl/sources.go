package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/kbus-limpet/limpet/internal/sockaddr"
)

// sourceTime bounds how long one source of a report may take.
const sourceTime = 5 * time.Second

var metricsSetting = regexp.MustCompile(`(?m)^metrics: *"?([^" #]+)"? *(?:#.*)?$`)

// fetchMetrics gets the page of metrics that the configuration names, if it is on this
// machine.
func fetchMetrics(ctx context.Context, configuration string) ([]byte, error) {
	m := metricsSetting.FindStringSubmatch(configuration)
	if m == nil {
		return nil, errors.New("limpetd serves none (--metrics)")
	}
	addr, err := sockaddr.ParseAddress(strings.Replace(m[1], "0.0.0.0:", "127.0.0.1:", 1))
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(addr.Address, ":") {
		addr.Address = "127.0.0.1" + addr.Address
	}
	if !addr.IsLocal() {
		return nil, fmt.Errorf("%s is not an address of this machine", addr)
	}
	ctx, cancel := context.WithTimeout(ctx, sourceTime)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr.Address+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		return nil, err
	}
	defer r.Body.Close() //nolint:errcheck // only read
	if r.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", addr, r.Status)
	}
	return io.ReadAll(io.LimitReader(r.Body, maxPart))
}

// journalLines is how many lines of the log a report has.
const journalLines = "1000"

// readJournal reads the latest lines of a unit's log.
func readJournal(ctx context.Context, unit string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, sourceTime)
	defer cancel()
	out, err := exec.CommandContext(ctx, "journalctl", "--unit="+unit, "--lines="+journalLines, "--no-pager", "--output=short-iso", "--quiet").Output()
	switch {
	case err != nil:
		return nil, fmt.Errorf("the journal cannot be read: %w", err)
	case len(out) == 0:
		return nil, errors.New("the journal has no lines of " + unit + " that this user may read")
	}
	return out[max(0, len(out)-maxPart):], nil
}
