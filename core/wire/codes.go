package wire

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
)

// ErrorName is Kafka's name of an error code: NONE for 0, and the number itself
// for a code nobody has named yet.
func ErrorName(code int16) string {
	if code == 0 {
		return "NONE"
	}
	if e := kerr.TypedErrorForCode(code); e != nil && e.Code == code {
		return e.Message
	}
	return fmt.Sprintf("ERROR_%d", code)
}
