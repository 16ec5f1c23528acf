package load

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// One record in a million that is lost, doubled or moved is found, wherever it
// is, and named as what it is; and nothing is found where nothing is wrong.
func TestOneInAMillion(t *testing.T) {
	const each = 500_000 // of two producers
	good := inOrder(each)
	whole := []int64{2 * each}
	require.Zero(t, play(each, all, good, whole).Violations())
	rng := rand.New(rand.NewPCG(2, 3))
	times := 3
	if testing.Short() {
		times = 1
	}
	for range times {
		// The last records are left alone: after them nothing would show that they
		// moved.
		i := rng.IntN(len(good) - 2)
		lost := append(append(make(tape, 0, len(good)), good[:i]...), good[i+1:]...)
		l := play(each, all, lost, []int64{2*each - 1})
		require.Equal(t, [4]int64{1, 0, 0, 0}, [4]int64{l.Lost, l.Duplicated, l.Reordered, l.Corrupt}, "record %d is missing", i)

		doubled := append(append(make(tape, 0, len(good)+1), good[:i+1]...), good[i:]...)
		l = play(each, all, doubled, []int64{2*each + 1})
		require.Equal(t, [4]int64{0, 1, 0, 0}, [4]int64{l.Lost, l.Duplicated, l.Reordered, l.Corrupt}, "record %d is there twice", i)

		moved := append(tape{}, good...)
		moved[i], moved[i+2] = moved[i+2], moved[i] // two records of one producer: its own order is what counts
		l = play(each, all, moved, whole)
		require.Zero(t, l.Lost+l.Duplicated+l.Corrupt, "records %d and %d have changed places", i, i+2)
		require.EqualValues(t, 1, l.Reordered)
	}
}
