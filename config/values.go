package config

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes.
type Size int64

// Binary units. KB and KiB mean the same, as do the others, so that 5MB is S3's smallest part.
const (
	KiB Size = 1 << (10 * (iota + 1))
	MiB
	GiB
	TiB
)

var (
	number    = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?)\s*([A-Za-zµ]*)$`)
	sizeUnits = map[string]Size{
		"": 1, "b": 1, "byte": 1, "bytes": 1,
		"k": KiB, "kb": KiB, "kib": KiB,
		"m": MiB, "mb": MiB, "mib": MiB,
		"g": GiB, "gb": GiB, "gib": GiB,
		"t": TiB, "tb": TiB, "tib": TiB,
	}
	durationUnits = map[string]time.Duration{
		"ns": time.Nanosecond, "nano": time.Nanosecond, "nanosecond": time.Nanosecond,
		"us": time.Microsecond, "µs": time.Microsecond, "micro": time.Microsecond, "microsecond": time.Microsecond,
		"ms": time.Millisecond, "milli": time.Millisecond, "millisecond": time.Millisecond,
		"s": time.Second, "second": time.Second,
		"m": time.Minute, "minute": time.Minute,
		"h": time.Hour, "hour": time.Hour,
		"d": 24 * time.Hour, "day": 24 * time.Hour,
	}
)

// ParseSize reads 512MB, 16 KiB, 1.5g or 4096 (bytes); units in any case, all of them powers of 1024.
func ParseSize(s string) (Size, error) {
	m := number.FindStringSubmatch(strings.TrimSpace(s))
	if m == nil {
		return 0, fmt.Errorf("%s is no size", shorten(s))
	}
	unit, ok := sizeUnits[strings.ToLower(m[2])]
	if !ok {
		return 0, fmt.Errorf("%s has no unit of size that is known", shorten(s))
	}
	n, err := scale(m[1], int64(unit))
	return Size(n), err
}

// String is exact and is read back by ParseSize: 512MB, 1536KB, 1001B.
func (s Size) String() string {
	for _, u := range []struct {
		name string
		size Size
	}{{"TB", TiB}, {"GB", GiB}, {"MB", MiB}, {"KB", KiB}} {
		if s != 0 && s%u.size == 0 {
			return strconv.FormatInt(int64(s/u.size), 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}

// ParseDuration reads HOCON's 30s, 500ms, 30d and "1 hour" as well as Go's 1h30m.
// A number without a unit is refused, unless it is 0: HOCON takes it for milliseconds, most people don't.
func ParseDuration(s string) (time.Duration, error) {
	s = strings.TrimSpace(s)
	if s == "0" {
		return 0, nil
	}
	m := number.FindStringSubmatch(s)
	if m == nil {
		if d, err := time.ParseDuration(s); err == nil && d >= 0 {
			return d, nil
		}
		return 0, fmt.Errorf("%s is no duration", shorten(s))
	}
	if m[2] == "" {
		return 0, fmt.Errorf("%s has no unit of time", shorten(s))
	}
	unit, ok := durationUnits[m[2]]
	if !ok && strings.HasSuffix(m[2], "s") { // seconds, millis, …; but no "ds"
		if singular := strings.TrimSuffix(m[2], "s"); len(singular) > 2 {
			unit, ok = durationUnits[singular]
		}
	}
	if !ok {
		return 0, fmt.Errorf("%s has no unit of time that is known", shorten(s))
	}
	n, err := scale(m[1], int64(unit))
	return time.Duration(n), err
}

// scale multiplies a decimal number by unit. Whole numbers stay exact; what doesn't fit is an error.
func scale(decimal string, unit int64) (int64, error) {
	errRange := errors.New(shorten(decimal) + " is too large")
	if n, err := strconv.ParseInt(decimal, 10, 64); err == nil {
		if n > math.MaxInt64/unit {
			return 0, errRange
		}
		return n * unit, nil
	}
	f, err := strconv.ParseFloat(decimal, 64)
	if err != nil || f*float64(unit) >= math.MaxInt64 {
		return 0, errRange
	}
	return int64(math.Round(f * float64(unit))), nil
}

// formatDuration is exact and is read back by ParseDuration: 30d, 1m, 1m30s.
func formatDuration(d time.Duration) string {
	if day := 24 * time.Hour; d != 0 && d%day == 0 {
		return strconv.FormatInt(int64(d/day), 10) + "d"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// Dollars is a price.
type Dollars float64

// Secret is a string that no log, message or JSON shows.
type Secret string

const mask = "******"

// Reveal returns the secret itself, for the one place that hands it to a server.
func (s Secret) Reveal() string { return string(s) }

// String is a mask, or empty if there is no secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return mask
}

// GoString keeps the secret out of %#v.
func (s Secret) GoString() string { return strconv.Quote(s.String()) }

// Format keeps the secret out of every other verb as well: %x would print the bytes of a plain string type.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(s.String())) }

// LogValue keeps the secret out of logs.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalJSON keeps the secret out of JSON.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(strconv.Quote(s.String())), nil }

// MarshalText keeps the secret out of every other encoding.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
