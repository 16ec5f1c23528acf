package harness

import (
	"millrace/core"
)

// checkKnob says whether a broker that we start would take the setting.
func checkKnob(name, val string) error {
	c := core.Defaults()
	return core.Knobs(&c).Set(name, val)
}

func isKnob(name string) bool {
	c := core.Defaults()
	return core.Knobs(&c).Lookup(name) != nil
}

func knobNames() []string {
	c := core.Defaults()
	return core.Knobs(&c).Names()
}

// validateKnobs applies the cross-knob rules to the settings together. Faults
// of single ones were reported where they stand.
func validateKnobs(values map[string]string) error {
	c := core.Defaults()
	set := core.Knobs(&c)
	if err := set.Apply(values); err != nil {
		return nil
	}
	return set.Validate()
}

// brokerConfig is the configuration of a broker that the lab starts.
func brokerConfig(values map[string]string) (core.Config, error) {
	c := core.Defaults()
	return c, core.Knobs(&c).Apply(values)
}

// knobDefault is what the knob is when nobody sets it; "": there is none.
func knobDefault(name string) string {
	c := core.Defaults()
	if k := core.Knobs(&c).Lookup(name); k != nil {
		return k.Default
	}
	return ""
}

// changedKnobs is what of the settings differs from the defaults.
func changedKnobs(values map[string]string) map[string]string {
	c := core.Defaults()
	set := core.Knobs(&c)
	if err := set.Apply(values); err != nil {
		return values // not ours to judge here
	}
	return set.Changed()
}
