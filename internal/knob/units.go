package knob

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// units are powers of two, as Kafka's own size settings are; KB and MB are
// taken to mean them too, since a size of 64KB is never meant as 64,000.
var units = []struct {
	name string
	n    int64
}{
	{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"GB", 1 << 30}, {"MB", 1 << 20}, {"KB", 1 << 10}, {"B", 1},
}

// ParseBytes reads 64KiB, 1MiB, 1.5GiB, 100B or a bare byte count. Negative
// counts are allowed (Kafka's -1: no limit).
func ParseBytes(s string) (int64, error) {
	t := strings.TrimSpace(s)
	mult := int64(1)
	for _, u := range units {
		if strings.HasSuffix(strings.ToLower(t), strings.ToLower(u.name)) {
			t, mult = strings.TrimSpace(t[:len(t)-len(u.name)]), u.n
			break
		}
	}
	if n, err := strconv.ParseInt(t, 10, 64); err == nil {
		if n > math.MaxInt64/mult || n < math.MinInt64/mult {
			return 0, fmt.Errorf("%q is too large", s)
		}
		return n * mult, nil
	}
	f, err := strconv.ParseFloat(t, 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) || math.Abs(f*float64(mult)) >= math.MaxInt64 {
		return 0, fmt.Errorf("%q is no size (write 64KiB, 1MiB or a count of bytes)", s)
	}
	return int64(f * float64(mult)), nil
}

// FormatBytes is the shortest exact form that ParseBytes reads back.
func FormatBytes(n int64) string {
	for _, u := range units[:3] {
		if n != 0 && n%u.n == 0 {
			return fmt.Sprint(n/u.n) + u.name
		}
	}
	return fmt.Sprint(n)
}

// forever is the longest duration there is; Kafka writes Long.MAX_VALUE for it.
const forever = "forever"

// ParseDuration reads Go's durations (5ms, 1h30m) with d for days, and a bare
// number as milliseconds, the unit of Kafka's .ms settings. -1 is kept as -1ns:
// none; forever is the longest there is.
func ParseDuration(s string) (time.Duration, error) {
	t := strings.TrimSpace(s)
	switch t {
	case "-1":
		return -1, nil
	case forever:
		return math.MaxInt64, nil
	}
	if n, err := strconv.ParseInt(t, 10, 64); err == nil {
		if n > math.MaxInt64/int64(time.Millisecond) {
			return math.MaxInt64, nil
		}
		if n < 0 {
			return 0, fmt.Errorf("%q is no duration", s)
		}
		return time.Duration(n) * time.Millisecond, nil
	}
	if days, ok := strings.CutSuffix(t, "d"); ok {
		if n, err := strconv.ParseInt(days, 10, 32); err == nil && n >= 0 && n <= 106751 {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	d, err := time.ParseDuration(t)
	if err != nil {
		return 0, fmt.Errorf("%q is no duration (write 5ms, 30s, 2h, 7d)", s)
	}
	return d, nil
}

// FormatDuration is the short form that ParseDuration reads back.
func FormatDuration(d time.Duration) string {
	switch {
	case d == -1:
		return "-1"
	case d == 0:
		return "0s"
	case d == math.MaxInt64:
		return forever
	case d > 0 && d%(24*time.Hour) == 0:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

func parseInt(s string) (int64, error) {
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no whole number", s)
	}
	return n, nil
}
