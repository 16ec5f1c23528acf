package core

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"millrace/batching"
	"millrace/diskio"
)

// journal keeps the metadata records in a log of their own, beside the
// partitions: one batch for each change, so that a change is kept whole or not
// at all, and synced before it is believed, whatever sync.policy says.
type journal struct {
	log *diskio.Log
	now func() time.Time
}

// journalDir is the log's directory, which is no name that a partition can have.
const journalDir = "metadata-log"

// journalConfig is the log's own settings, whatever partitions are given.
func journalConfig() diskio.Config {
	c := diskio.Defaults()
	c.RetentionTime, c.RetentionBytes = -1, -1
	return c
}

// journalRead is how much of the log is read at a time.
const journalRead = 1 << 20

// checkJournal says whether the log is damaged anywhere but at its end. A torn
// tail is a change that was never answered, and recovery cuts it. But each
// change is synced before the next is written, so whatever has a good batch
// behind it was whole once: to cut there would forget topics, and the broker
// must not start.
func checkJournal(d *dataDir) error {
	dir := d.file(journalDir)
	entries, err := d.fs.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name, ".log") {
			continue
		}
		b, err := d.read(filepath.Join(dir, e.Name), maxJournalFile)
		if err != nil {
			return err
		}
		at := 0
		for at < len(b) {
			batch, err := goodBatch(b[at:])
			if err == nil {
				at += batch.Size()
				continue
			}
			for i := at + 1; i < len(b); i++ {
				if _, e2 := goodBatch(b[i:]); e2 == nil {
					return fmt.Errorf("metadata log: %s is damaged at byte %d, with good records after it: %w; restore it from a copy, or move the data directory away",
						filepath.Join(dir, e.Name), at, err)
				}
			}
			break
		}
	}
	return nil
}

// maxJournalFile bounds what is read of one file of the log: a change of a
// topic takes some hundred bytes.
const maxJournalFile = 1 << 30

func goodBatch(b []byte) (batching.Batch, error) {
	batch, err := batching.View(b)
	if err == nil {
		err = batch.CheckCRC()
	}
	return batch, err
}

// Replay reads the log from its start.
func (j *journal) Replay(f func([]byte) error) error {
	for offset := j.log.Start(); offset < j.log.End(); {
		span, err := j.log.Read(offset, journalRead, j.log.End())
		if err != nil {
			return err
		}
		if span == nil {
			return fmt.Errorf("metadata log ends at %d, not at %d", offset, j.log.End())
		}
		b := make([]byte, span.Len())
		_, err = span.ReadAt(b, 0)
		span.Release()
		if err != nil {
			return err
		}
		for len(b) > 0 {
			batch, err := batching.View(b)
			if err != nil {
				return fmt.Errorf("metadata log at offset %d: %w", offset, err)
			}
			for r, err := range batch.Records(0) {
				if err == nil {
					err = f(r.Value)
				}
				if err != nil {
					return fmt.Errorf("metadata log at offset %d: %w", batch.Offset(r), err)
				}
			}
			offset = batch.NextOffset()
			b = b[batch.Size():]
		}
	}
	return nil
}

// Append writes one batch and syncs it.
func (j *journal) Append(records [][]byte) error {
	builder := batching.NewBuilder(batching.Options{})
	now := j.now().UnixMilli()
	for _, r := range records {
		if err := builder.Append(now, nil, r, nil); err != nil {
			return err
		}
	}
	b, err := builder.Build(nil)
	if err != nil {
		return err
	}
	batch, err := batching.View(b)
	if err != nil {
		panic("BUG: a batch just built: " + err.Error())
	}
	batch.SetBaseOffset(j.log.End())
	batch.SetLeaderEpoch(0)
	if err := j.log.Append(batch); err != nil {
		return err
	}
	return j.log.Sync()
}
