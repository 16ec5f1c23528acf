//go:build !race

package batching

// RaceDetector: see race_test.go.
const RaceDetector = false
