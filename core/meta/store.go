package meta

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// Journal keeps encoded records, in order.
type Journal interface {
	// Replay calls f with every record kept, oldest first. The bytes are valid
	// during the call only.
	Replay(f func(record []byte) error) error
	// Append keeps records, all or none of them; when it returns nil they
	// survive a crash of the machine.
	Append(records [][]byte) error
}

// Store folds a journal into images. Image is free of locks; changes are made
// one at a time.
type Store struct {
	image atomic.Pointer[Image]

	mu      sync.Mutex // held while a change is decided, kept and folded
	journal Journal
	failed  error // what the journal failed with; no change is taken after it
}

// Open replays the journal.
func Open(j Journal) (*Store, error) {
	s := &Store{journal: j}
	var all []Record
	err := j.Replay(func(b []byte) error {
		r, err := Decode(b)
		if err == nil {
			all = append(all, r)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	image, err := empty().fold(all)
	if err != nil {
		return nil, err
	}
	s.image.Store(image)
	return s, nil
}

// Image is the metadata as of the last change.
func (s *Store) Image() *Image { return s.image.Load() }

// Change makes the changes that decide asks for, given the image that they
// follow; nothing else changes in between. No records: nothing to change. The
// error is decide's, or the journal's: after that one the store takes no
// changes any more, as it cannot tell what was kept.
func (s *Store) Change(decide func(*Image) ([]Record, error)) (*Image, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.image.Load()
	if s.failed != nil {
		return now, s.failed
	}
	records, err := decide(now)
	if err != nil || len(records) == 0 {
		return now, err
	}
	next, err := now.fold(records)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	encoded := make([][]byte, len(records))
	for i, r := range records {
		encoded[i] = Encode(r)
	}
	if err := s.journal.Append(encoded); err != nil {
		s.failed = fmt.Errorf("metadata log: %w", err)
		return now, s.failed
	}
	s.image.Store(next)
	return next, nil
}
