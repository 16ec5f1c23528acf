package results

import (
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// FormatNs is a duration with three significant digits: 1.23 ms.
func FormatNs(ns float64) string {
	switch a := math.Abs(ns); {
	case a == 0:
		return "0"
	case a < 999.5:
		return FormatNumber(ns) + " ns"
	case a < 999.5e3:
		return FormatNumber(ns/1e3) + " µs"
	case a < 999.5e6:
		return FormatNumber(ns/1e6) + " ms"
	}
	return FormatNumber(ns/1e9) + " s"
}

// FormatCount is a number with thin groups: 49,876; fractions only below 100.
func FormatCount(v float64) string {
	if math.Abs(v) < 100 && v != math.Trunc(v) {
		return FormatNumber(v)
	}
	s := strconv.FormatFloat(math.Round(v), 'f', 0, 64)
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	var b strings.Builder
	for i, c := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(c)
	}
	return sign + b.String()
}

// FormatBytes is a size in binary units with three significant digits.
func FormatBytes(v float64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	i := 0
	for math.Abs(v) >= 999.5 && i < len(units)-1 {
		v /= 1024
		i++
	}
	return FormatNumber(v) + " " + units[i]
}

// FormatNumber is v with three significant digits, without trailing zeros.
func FormatNumber(v float64) string {
	if v == 0 {
		return "0"
	}
	digits := max(0, 2-int(math.Floor(math.Log10(math.Abs(v)))))
	s := strconv.FormatFloat(v, 'f', min(digits, 6), 64)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s
}

// FormatSpan is a duration in whole seconds, minutes or hours: 1m40s.
func FormatSpan(d time.Duration) string {
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

// Wrap breaks text into lines of at most width characters, at spaces; a longer
// word stands alone.
func Wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) <= width:
			line += " " + word
		default:
			lines = append(lines, line)
			line = word
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}
