package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
)

// writeChecksums writes SHA256SUMS, which `sha256sum -c` checks, of all files in a folder.
func writeChecksums(folder string) error {
	all, err := os.ReadDir(folder) // in the order of names
	if err != nil {
		return err
	}
	var sums bytes.Buffer
	for _, f := range all {
		data, err := os.ReadFile(filepath.Join(folder, f.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(data), f.Name())
	}
	return os.WriteFile(filepath.Join(folder, "SHA256SUMS"), sums.Bytes(), 0o644)
}
