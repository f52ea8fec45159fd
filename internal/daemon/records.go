package daemon

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/kbus-limpet/limpet/internal/records"
	"github.com/kbus-limpet/limpet/limpet"
)

// Records say where the decisions of the links are recorded.
type Records struct {
	// Dir is the folder; "" records nothing.
	Dir string
	// Bytes is the most that all files have together, FileBytes what one has; 0 is 1 GiB,
	// and 16 MiB.
	Bytes, FileBytes int64
	// Data has messages recorded with their data.
	Data bool
}

// What is kept of the decisions unless the configuration says otherwise, and at least.
const (
	defaultRecordBytes = 1 << 30
	defaultFileBytes   = 16 << 20
	minFileBytes       = 64 << 10
)

func (r Records) withDefaults() Records {
	if r.Bytes == 0 {
		r.Bytes = defaultRecordBytes
	}
	if r.FileBytes == 0 {
		r.FileBytes = min(defaultFileBytes, r.Bytes/4)
	}
	return r
}

func (c *Config) checkRecords() error {
	r := c.Records.withDefaults()
	switch {
	case r.Dir == "" && r != (Records{}).withDefaults():
		return &ConfigError{"record-decisions", errors.New("how decisions are recorded is said, but not where: give --record-decisions too")}
	case r.FileBytes < minFileBytes:
		return &ConfigError{"record-file-size", fmt.Errorf("%d bytes are too few for the state that a file begins with; choose at least %d", r.FileBytes, minFileBytes)}
	case r.FileBytes > r.Bytes/4:
		return &ConfigError{"record-file-size", fmt.Errorf("a file of %d bytes is more than a quarter of the %d bytes that all have together (--record-size)", r.FileBytes, r.Bytes)}
	}
	return nil
}

// openRecords has the decisions of the links recorded, if that is wanted.
func (d *Daemon) openRecords() (err error) {
	r := d.cfg.Records.withDefaults()
	if r.Dir == "" {
		return nil
	}
	d.records, err = records.Open(records.Config{Dir: r.Dir, Bytes: r.Bytes, FileBytes: r.FileBytes, Software: d.cfg.Version, Log: d.cfg.Log})
	if err != nil {
		d.records = nil
		return &ConfigError{"record-decisions", err}
	}
	d.node.Record(func(link string) *limpet.Recording {
		return &limpet.Recording{Sink: d.records.Sink(), Link: link, Data: r.Data}
	})
	return nil
}

// closeRecords writes what has not been written.
func (d *Daemon) closeRecords() {
	if d.records == nil {
		return
	}
	if err := d.records.Close(); err != nil {
		d.cfg.Log.Error("the record of decisions cannot be closed", "dir", d.cfg.Records.Dir, "error", err)
	}
}

// A recordsCollector exports what has become of the record.
type recordsCollector struct{ d *Daemon }

var (
	recordBytes = prometheus.NewDesc("limpetd_record_written_bytes_total", "Bytes of the record of decisions that were written.", nil, nil)
	recordGaps  = prometheus.NewDesc("limpetd_record_gaps_total", "How often events were lost to the record of decisions, because the disk was too slow or had no room.", nil, nil)
	recordLost  = prometheus.NewDesc("limpetd_record_lost_events_total", "Events that were lost to the record of decisions, in the gaps that have ended.", nil, nil)
)

// Describe sends the descriptions.
func (recordsCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- recordBytes
	ch <- recordGaps
	ch <- recordLost
}

// Collect sends the values now.
func (c recordsCollector) Collect(ch chan<- prometheus.Metric) {
	var s records.Stats
	if c.d.records != nil {
		s = c.d.records.Stats()
	}
	for desc, v := range map[*prometheus.Desc]uint64{recordBytes: s.Bytes, recordGaps: s.Gaps, recordLost: s.Lost} {
		ch <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(v))
	}
}
