package wire

import (
	"fmt"
	"sync"

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

// ErrorCode is the code of an error name, such as UNKNOWN_TOPIC_OR_PARTITION.
func ErrorCode(name string) (code int16, ok bool) {
	code, ok = errorCodes()[name]
	return code, ok
}

// maxErrorCode is well above the codes Kafka has given out (some 140).
const maxErrorCode = 1000

var errorCodes = sync.OnceValue(func() map[string]int16 {
	codes := map[string]int16{}
	for code := int16(-1); code < maxErrorCode; code++ {
		codes[ErrorName(code)] = code
	}
	return codes
})
