//go:build !linux

package load

import "syscall"

// congestionControl is for Linux.
func congestionControl(string) func(network, address string, c syscall.RawConn) error { return nil }
