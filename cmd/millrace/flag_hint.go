package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"millrace/internal/knob"
)

// brokerFlags are what other programs call the flag that names a broker.
var brokerFlags = []string{"b", "broker", "brokers", "broker-list", "bootstrap-server", "bootstrap-servers", "server", "host"}

// explainFlag names the flag that was meant in place of one that a command has
// not.
func explainFlag(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return err
	}
	name := unknown.GetSpecifiedName()
	if slices.Contains(brokerFlags, name) {
		switch {
		case cmd.Flag("bootstrap") != nil:
			return fmt.Errorf("%w: the broker is named by --bootstrap HOST:PORT", err)
		case cmd.Flag("target") != nil:
			return fmt.Errorf("%w: a running broker is named by --target external:HOST:PORT", err)
		case cmd.Flag("broker") != nil:
			return fmt.Errorf("%w: the broker is named by --broker HOST:PORT", err)
		case cmd.Flag("listen") != nil:
			return fmt.Errorf("%w: the address is given by --listen HOST:PORT", err)
		}
	}
	if unknown.GetSpecifiedShortnames() != "" {
		return err
	}
	var known []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			known = append(known, "--"+f.Name)
		}
	})
	return fmt.Errorf("%w%s", err, knob.Suggest("--"+name, known))
}
