package daemon_test

import "testing"

func testMonitoring(t *testing.T, a, b page, text string) {
	_, _, _, _ = t, a, b, text
}
