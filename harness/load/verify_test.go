package load

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"millrace/batching"
)

// TestVerify: what a group had read before the target forgot it is missed by a
// verification, and by nothing else.
func TestVerify(t *testing.T) {
	for _, client := range Clients() {
		for _, verify := range []bool{false, true} {
			bubble(t, client, func(t *testing.T) {
				target := newSynthetic(Topic{"events", 1})
				s := steady(client, target)
				s.Verify = func() bool { return verify }
				var gone int64
				s.OnPhase = func(phase int) {
					if phase != 1 {
						return
					}
					target.mu.Lock()
					defer target.mu.Unlock()
					l := target.logs[partition{"events", 0}]
					b, err := batching.View(l.batches[3])
					require.NoError(t, err)
					gone = int64(b.Count())
					l.batches = append(l.batches[:3:3], l.batches[4:]...)
				}
				res, err := Run(context.Background(), s)
				require.NoError(t, err)
				require.True(t, res.Drained)
				l := res.Ledger
				require.Equal(t, verify, l.Verified)
				require.Positive(t, gone)
				if !verify { // the negative control: the group had seen it
					require.Zero(t, l.Violations(), "%+v", l)
					require.EqualValues(t, 15000, l.Seen)
					return
				}
				require.EqualValues(t, gone, l.Lost, "%+v", l)
				require.EqualValues(t, gone, l.Violations())
				require.EqualValues(t, 30000-gone, l.Seen)
				require.Equal(t, -1, l.Examples[0].Group)
			})
		}
	}
}

// TestAuditAndGroupCountOnce: a record that neither group nor verification saw
// is lost once.
func TestAuditAndGroupCountOnce(t *testing.T) {
	l := newLedger([]Topic{{"events", 1}}, 1, 1, true)
	s := l.streams[0][0]
	s.take(10)
	s.ack(0, 10, 9)
	l.readings[0][0].saw(0, 0, 2, 0) // 2…4 missed by the group alone, 7 by both
	l.readings[0][0].saw(0, 5, 2, 5)
	l.readings[0][0].saw(0, 8, 2, 8)
	l.audit[0].saw(0, 0, 7, 0)
	l.audit[0].saw(0, 8, 2, 8)
	l.audited = true
	rep := l.report([]int64{10})
	require.EqualValues(t, 4, rep.Lost, "%+v", rep)
}

// TestRedelivery: the next member begins below where the last one was. The same
// record at the same offset is handed over again; at another it is a double.
func TestRedelivery(t *testing.T) {
	l := newLedger([]Topic{{"events", 1}}, 1, 1, true)
	s := l.streams[0][0]
	s.take(10)
	s.ack(0, 10, 10)
	r := l.readings[0][0]
	r.shared = true
	r.saw(0, 0, 8, 0)
	r.saw(0, 5, 3, 5)  // handed over
	r.saw(0, 8, 2, 8)  // and on
	r.saw(0, 9, 1, 10) // doubled in the log
	rep := l.report([]int64{11})
	require.EqualValues(t, 3, rep.Redelivered)
	require.EqualValues(t, 1, rep.Duplicated, "%+v", rep)
	require.EqualValues(t, 1, rep.Violations())

	r.shared = false // nobody takes over: every repetition is a double
	r.saw(0, 5, 1, 5)
	require.EqualValues(t, 2, l.report([]int64{11}).Duplicated)
}
