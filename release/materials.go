package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/CycloneDX/cyclonedx-gomod/pkg/generate/bin"
	"github.com/rs/zerolog"
)

// listMaterials writes a CycloneDX bill of materials for each program: the modules in it,
// with their versions and hashes, as the program itself records them.
func (s *source) listMaterials(arch, folder, out string) error {
	for _, p := range programs {
		if err := s.listOne(filepath.Join(folder, p), s.named(out, ".cdx.json", p, arch)); err != nil {
			return fmt.Errorf("the bill of materials of %s: %w", p, err)
		}
	}
	return nil
}

func (s *source) listOne(program, name string) error {
	g, err := bin.NewGenerator(program, bin.WithIncludeStdlib(true), bin.WithVersionOverride(s.version), bin.WithLogger(zerolog.Nop()))
	if err != nil {
		return err
	}
	bom, err := g.Generate()
	if err != nil {
		return err
	}
	bom.Metadata.Timestamp = s.time.Format(time.RFC3339)
	w, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(cdx.NewBOMEncoder(w, cdx.BOMFileFormatJSON).SetPretty(true).Encode(bom), w.Close())
}
