package load

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// CreditFD is the file descriptor, in both programs' processes, of the pipe on which the
// listening one tells the sending one how far it has come. It is the same for all
// contestants.
const CreditFD = 3

// A record on the pipe is a phase and a count, eight bytes each.
const recordSize = 16

type creditWriter struct{ file *os.File }

func (w *creditWriter) tell(phase int, heard uint64) {
	var b [recordSize]byte
	binary.LittleEndian.PutUint64(b[:], uint64(phase))
	binary.LittleEndian.PutUint64(b[8:], heard)
	_, _ = w.file.Write(b[:]) // the sender is gone, and the measurement with it
}

// A creditReader knows how many announcements of a phase all listeners have heard.
type creditReader struct {
	file  *os.File
	phase int
	heard uint64
	buf   [256 * recordSize]byte
}

func openCredit() (*os.File, error) {
	if err := unix.SetNonblock(CreditFD, true); err != nil { // so that reading can have a deadline
		return nil, fmt.Errorf("the pipe between the programs: %w", err)
	}
	return os.NewFile(CreditFD, "credit"), nil
}

// wait blocks until more has been heard, or for patience: then it returns false.
func (r *creditReader) wait(patience time.Duration) (bool, error) {
	if err := r.file.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return false, fmt.Errorf("waiting for the listeners: %w", err)
	}
	for before := r.heard; r.heard == before; {
		n, err := r.file.Read(r.buf[:])
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("waiting for the listeners: %w", err)
		}
		for b := r.buf[:n]; len(b) >= recordSize; b = b[recordSize:] {
			if binary.LittleEndian.Uint64(b) == uint64(r.phase) {
				r.heard = max(r.heard, binary.LittleEndian.Uint64(b[8:]))
			}
		}
	}
	return true, nil
}
