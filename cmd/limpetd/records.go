package main

import (
	"fmt"

	"github.com/spf13/pflag"

	"github.com/kbus-limpet/limpet/internal/daemon"
)

// recordSettings adds the flags about the record of decisions.
func (c *config) recordSettings(f *pflag.FlagSet) {
	f.StringVar(&c.RecordDecisions, "record-decisions", "", "record what every link is told and decides in files in `FOLDER`, for limpetctl verify; message data are left out")
	f.IntVar(&c.RecordSize, "record-size", 1024, "with --record-decisions, keep `MIB` of files at most: the oldest make room")
	f.IntVar(&c.RecordFileSize, "record-file-size", 0, "with --record-decisions, begin another file after `MIB`; each link writes one, so this bounds how many links are recorded; 0 is 16, or a quarter of --record-size")
	f.BoolVar(&c.RecordData, "record-data", false, "with --record-decisions, record messages with their data, which whoever reads the files sees")
}

// maxRecordSize is more than a disk has room for, in MiB, in case of a slip of the pen.
const maxRecordSize = 1 << 24

func (c *config) checkRecords() error {
	if c.RecordSize < 1 || c.RecordSize > maxRecordSize {
		return &daemon.ConfigError{Setting: "record-size", Err: fmt.Errorf("%d MiB is not between 1 and %d", c.RecordSize, maxRecordSize)}
	}
	if c.RecordFileSize < 0 || c.RecordFileSize > maxRecordSize {
		return &daemon.ConfigError{Setting: "record-file-size", Err: fmt.Errorf("%d MiB is not between 0 and %d", c.RecordFileSize, maxRecordSize)}
	}
	return nil
}

// records returns the settings as package daemon has them.
func (c *config) records() daemon.Records {
	return daemon.Records{Dir: c.RecordDecisions, Bytes: int64(c.RecordSize) << 20, FileBytes: int64(c.RecordFileSize) << 20, Data: c.RecordData}
}
