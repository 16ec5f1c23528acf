package harness

import (
	"fmt"
	"math/bits"

	"millrace/results"
)

// plackettBurman are the first rows of the screening designs of Plackett and
// Burman (The Design of Optimum Multifactorial Experiments, Biometrika 33,
// 1946): the other rows are its rotations, and one row of all minus. A design
// of n rows tells the main effects of n−1 factors of two levels apart.
var plackettBurman = map[int]string{
	8:  "+++-+--",
	12: "++-+++---+-",
	16: "++++-+-++--+---",
	20: "++--++++-+-+----++-",
	24: "+++++-+-++--++--+-+----",
}

// fullDesign is every combination of the factors' levels, the last factor's
// changing fastest.
func fullDesign(factors []results.Factor) [][]int {
	rows := [][]int{nil}
	for _, f := range factors {
		var next [][]int
		for _, row := range rows {
			for l := range f.Levels {
				next = append(next, append(append([]int{}, row...), l))
			}
		}
		rows = next
	}
	return rows
}

// screening is the smallest design that tells the factors' main effects apart.
// Its first row has every factor at its first level. Interactions are mixed
// into the main effects: it finds the knobs that matter, to be crossed in full
// afterwards.
func screening(factors []results.Factor) (rows [][]int, name string, err error) {
	for _, f := range factors {
		if len(f.Levels) != 2 {
			return nil, "", fmt.Errorf("a screening design takes two values of each knob; %s has %d", f.Name, len(f.Levels))
		}
	}
	if len(factors) < 4 {
		return nil, "", fmt.Errorf("a screening design saves nothing below four knobs: leave --screening out")
	}
	n := 8
	for n <= len(factors) {
		n += 4
	}
	first, ok := plackettBurman[n]
	if !ok {
		return nil, "", fmt.Errorf("a screening design takes at most 23 knobs; there are %d", len(factors))
	}
	rows = append(rows, make([]int, len(factors)))
	for shift := range n - 1 {
		row := make([]int, len(factors))
		for f := range factors {
			if first[(f+n-1-shift)%(n-1)] == '+' {
				row[f] = 1
			}
		}
		rows = append(rows, row)
	}
	kind := "Plackett-Burman"
	if bits.OnesCount(uint(n)) == 1 {
		kind = "fractional factorial"
	}
	return rows, fmt.Sprintf("%s, %d of %d combinations", kind, n, 1<<len(factors)), nil
}
