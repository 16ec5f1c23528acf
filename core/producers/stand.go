package producers

// Stand is where a producer stands: its epoch, and the offset of its last batch
// in that epoch, -1 where there is none; ok is false where it is not known. A
// log that is compacted keeps what would tell this again after a crash.
func (t *Table) Stand(producer int64) (epoch int16, last int64, ok bool) {
	e := t.entries[producer]
	if e == nil {
		return 0, -1, false
	}
	if b := e.last(); b != nil {
		return e.epoch, b.lastOffset, true
	}
	return e.epoch, -1, true
}
