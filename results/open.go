package results

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
)

// OpenComparison reads the directory of a comparison. ErrNoRun: it is none.
func OpenComparison(dir string) (*Comparison, error) {
	c := &Comparison{Dir: dir}
	return c, openJSON(filepath.Join(dir, CompareFile), c, &c.Version)
}

// OpenSearch reads the directory of a search. ErrNoRun: it is none.
func OpenSearch(dir string) (*Search, error) {
	s := &Search{Dir: dir}
	return s, openJSON(filepath.Join(dir, SearchFile), s, &s.Version)
}

func openJSON(file string, v any, version *int) error {
	b, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s: %w: it has no %s", filepath.Dir(file), ErrNoRun, filepath.Base(file))
	} else if err != nil {
		return err
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	if *version > Version {
		return fmt.Errorf("%s: written by a newer version (schema %d; this one reads up to %d)", file, *version, Version)
	}
	return nil
}

// Kind of what a directory of the store holds.
type Kind string

// The kinds.
const (
	KindRun        Kind = "run"
	KindComparison Kind = "comparison"
	KindSearch     Kind = "search"
)

// KindOf tells what a directory holds; "": nothing of ours.
func KindOf(dir string) Kind {
	for _, k := range []struct {
		file string
		kind Kind
	}{{TrialFile, KindRun}, {CompareFile, KindComparison}, {SearchFile, KindSearch}} {
		if _, err := os.Stat(filepath.Join(dir, k.file)); err == nil {
			return k.kind
		}
	}
	return ""
}

// Entry is a directory of the store.
type Entry struct {
	ID   string
	Kind Kind
}

// Entries lists runs, comparisons and searches, oldest first. What is
// unfinished is left out.
func (s Store) Entries() ([]Entry, error) {
	dirs, err := os.ReadDir(s.Dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	var list []Entry
	for _, d := range dirs {
		if strings.HasPrefix(d.Name(), ".") || !d.IsDir() {
			continue
		}
		if kind := KindOf(filepath.Join(s.Dir, d.Name())); kind != "" {
			list = append(list, Entry{d.Name(), kind})
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].ID < list[j].ID })
	return list, nil
}
