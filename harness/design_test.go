package harness

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"millrace/results"
)

func twoLevels(n int) (factors []results.Factor) {
	for i := range n {
		factors = append(factors, results.Factor{Name: fmt.Sprintf("f%d", i), Levels: []string{"a", "b"}})
	}
	return factors
}

// In a screening design each level of each factor appears equally often, and
// any two factors' four combinations do: what makes the main effects
// independent of each other.
func TestScreeningIsOrthogonal(t *testing.T) {
	for n := 4; n <= 23; n++ {
		rows, name, err := screening(twoLevels(n))
		require.NoError(t, err)
		require.NotEmpty(t, name)
		require.Greater(t, len(rows), n)
		require.Equal(t, make([]int, n), rows[0], "the first row is the base")
		for f := range n {
			for g := range f {
				var seen [4]int
				for _, r := range rows {
					seen[2*r[f]+r[g]]++
				}
				want := len(rows) / 4
				require.Equal(t, [4]int{want, want, want, want}, seen, "%d factors, %d and %d", n, f, g)
			}
		}
	}
	_, _, err := screening(twoLevels(24))
	require.ErrorContains(t, err, "at most 23")
	_, _, err = screening(twoLevels(3))
	require.Error(t, err)
	bad := twoLevels(5)
	bad[2].Levels = append(bad[2].Levels, "c")
	_, _, err = screening(bad)
	require.ErrorContains(t, err, "f2 has 3")
}

func TestFullDesign(t *testing.T) {
	rows := fullDesign([]results.Factor{{Levels: []string{"a", "b"}}, {Levels: []string{"x", "y", "z"}}})
	require.Equal(t, [][]int{{0, 0}, {0, 1}, {0, 2}, {1, 0}, {1, 1}, {1, 2}}, rows)
}
