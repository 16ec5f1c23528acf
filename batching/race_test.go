//go:build race

package batching

// RaceDetector says that sync.Pool forgets at random, so that what pools save
// cannot be counted.
const RaceDetector = true
