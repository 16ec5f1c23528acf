package harness

import "math"

// tailSamples is how many values must lie above a percentile before it says
// more than chance.
const tailSamples = 10

// samplesFor is how many values a percentile needs.
func samplesFor(percent float64) float64 {
	return math.Ceil(tailSamples / (1 - percent/100) * (1 - 1e-12))
}
