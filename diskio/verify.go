package diskio

import (
	"millrace/batching"
)

// Verified is what Verify has read and found.
type Verified struct {
	Partitions int   `json:"partitions"`
	Segments   int   `json:"segments"`
	Batches    int64 `json:"batches"`
	Records    int64 `json:"records"`
	Bytes      int64 `json:"bytes"`
	// Faults holds one line for each fault, naming file and byte. In a segment
	// the first one ends the look: what follows it cannot be told apart.
	Faults []string `json:"faults,omitempty"`
}

// Verify reads everything in dir, a partition's directory or one that holds
// some, and checks lengths, checksums, offsets, records and indexes. It changes
// nothing. The error says that dir could not be read; what is wrong in it is in
// Faults.
func Verify(fs FS, dir string) (Verified, error) {
	v := verifier{}
	var err error
	v.Partitions, err = inspect(fs, dir, &v)
	return v.Verified, err
}

type verifier struct{ Verified }

var _ visitor = (*verifier)(nil)

func (v *verifier) segment(string, int64) error { v.Segments++; return nil }
func (v *verifier) done() error                 { return nil }

func (v *verifier) batch(_ int64, b batching.Batch) error {
	v.Batches++
	v.Records += int64(b.Count())
	v.Bytes += int64(b.Size())
	return nil
}

func (v *verifier) fault(path string, pos int64, err error) error {
	v.Faults = append(v.Faults, placeOf(path, pos)+": "+err.Error())
	return nil
}
