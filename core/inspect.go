package core

import (
	"io"

	"millrace/diskio"
)

// DumpOptions says how much of a log DumpLog shows.
type DumpOptions = diskio.DumpOptions

// Verified sums up what VerifyLog has read.
type Verified = diskio.Verified

// DumpLog writes what lies in dir, a partition's directory or a whole data
// directory, batch by batch. The broker that owns dir should be stopped. What
// the metadata log holds is shown by its own directory, metadata-log, with
// Records.
func DumpLog(w io.Writer, dir string, o DumpOptions) error {
	return diskio.Dump(w, diskio.OS(), dir, o)
}

// VerifyLog reads every batch of dir, a partition's directory or a whole data
// directory, and checks lengths, checksums, offsets and indexes. The error says
// that dir could not be read; what is wrong in it is in Faults.
func VerifyLog(dir string) (Verified, error) { return diskio.Verify(diskio.OS(), dir) }
