package core

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"millrace/core/meta"
)

// feature is something that all of a cluster goes by or nothing does, so that
// clients ask for its finalized level and not for the version of an API.
type feature struct {
	name     string
	min, max int16 // levels supported
	preset   int16 // the level until another is chosen
}

// metadataVersion is the feature whose level stands for all that is not a feature
// of its own. It is Kafka's 4.1-IV1, of which clients only want to know that it
// is not old; the least is Kafka 4's. Nothing here depends on it.
const metadataVersion = "metadata.version"

// features are all there are, by name. transaction.version 2 has clients leave
// out AddPartitionsToTxn and AddOffsetsToTxn and raise the epoch with each
// transaction; 0 and 1 are the same here, since what is between them is how
// __transaction_state is written.
func (b *Broker) features() []feature {
	all := []feature{
		{metadataVersion, 7, 27, 27},
		{"transaction.version", 0, 2, 2},
	}
	if b.apis.find(int16(kmsg.ConsumerGroupHeartbeat)) != nil {
		all = append([]feature{{"group.version", 0, 1, 1}}, all...)
	}
	return all
}

func (b *Broker) feature(name string) (feature, bool) {
	for _, f := range b.features() {
		if f.name == name {
			return f, true
		}
	}
	return feature{}, false
}

// level is what the cluster goes by; 0: it is off.
func (f feature) level(image *meta.Image) int16 {
	if level, ok := image.Feature(f.name); ok {
		return level
	}
	return f.preset
}

// The types of a change of level, from v1 of UpdateFeatures.
const (
	upgrade         = 1
	safeDowngrade   = 2
	unsafeDowngrade = 3
)

// refuse says what speaks against a change of level; "": nothing. kind is one of
// the types of change, known says that there is such a feature.
func (f feature) refuse(node int32, image *meta.Image, known bool, level int16, kind int8) string {
	now := f.level(image)
	switch {
	case kind < upgrade || kind > unsafeDowngrade:
		return "The controller does not support the given upgrade type."
	case level < 0:
		return "A feature version cannot be less than 0."
	case !known:
		return fmt.Sprintf("Local controller %d does not support this feature.", node)
	case level != 0 && (level < f.min || level > f.max), level == 0 && f.min > 0:
		return fmt.Sprintf("Local controller %d only supports versions %d-%d", node, f.min, f.max)
	case level < now && kind == upgrade:
		return "Can't downgrade the version of this feature without setting the upgrade type to either safe or unsafe downgrade."
	case level > now && kind != upgrade:
		return "Can't downgrade to a newer version."
	}
	return ""
}
