// Package results is what a measurement leaves behind: the run directory, its
// schema, the store that holds run directories, and the statistics over them.
// The run directory is the interface between measuring and showing: every
// report, table and page is derived from it and from nothing else.
//
// The nouns: a Run is one trial as stored (Env, Trial, Verdict, and the
// samples and histograms beside them); a Store is a folder of runs, each
// written once and never changed; a Comparison is several alternatives over
// the same rounds, with their ratios.
//
// Every struct here is a file format: names in JSON carry their unit
// (_ns nanoseconds, _s seconds, _bytes), rates are per second, and a pointer
// or an absent key means "not measured", never zero.
package results

// Version of the run directory's schema, written into trial.json. It grows
// when the meaning of a field changes, not when one is added.
const Version = 1
