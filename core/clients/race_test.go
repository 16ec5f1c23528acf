//go:build race

package clients_test

// Under the race detector the broker is built with it too: real clients then
// drive it concurrently, and a race makes it exit with an error.
var buildFlags = []string{"-race"}
