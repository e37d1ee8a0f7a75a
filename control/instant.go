package control

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// Instant is a file's time, for a person or a program to read: RFC 3339, or, where the year has not four digits,
// @SECONDS.NANOSECONDS since 1970 as date(1) takes it. A file may have any time that 64 bits of seconds hold.
type Instant namespace.Time

// rfcYears are the seconds of the years 0 to 9999, which RFC 3339 has.
const (
	firstRFC = -62167219200
	lastRFC  = 253402300799
)

func (t Instant) hasYear() bool { return t.Sec >= firstRFC && t.Sec <= lastRFC }

// Format is the local time in a layout of package time, or @SECONDS.NANOSECONDS.
func (t Instant) Format(layout string) string {
	if !t.hasYear() {
		return fmt.Sprintf("@%d.%09d", t.Sec, t.Nsec)
	}
	return namespace.Time(t).Time().Format(layout)
}

// MarshalJSON writes the time as a string.
func (t Instant) MarshalJSON() ([]byte, error) {
	s := t.Format(time.RFC3339Nano)
	if t.hasYear() && (t.Sec < firstRFC+24*3600 || t.Sec > lastRFC-24*3600) { // it may be another year here
		s = namespace.Time(t).Time().UTC().Format(time.RFC3339Nano)
	}
	return json.Marshal(s)
}

// UnmarshalJSON reads what MarshalJSON writes.
func (t *Instant) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	if number, ok := strings.CutPrefix(s, "@"); ok {
		sec, nsec, _ := strings.Cut(number, ".")
		n, err := strconv.ParseInt(sec, 10, 64)
		if err != nil {
			return fmt.Errorf("time %q: %w", s, err)
		}
		ns, err := strconv.ParseUint(nsec, 10, 32)
		if err != nil {
			return fmt.Errorf("time %q: %w", s, err)
		}
		*t = Instant{Sec: n, Nsec: uint32(ns)}
		return nil
	}
	at, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return err
	}
	*t = Instant(namespace.At(at))
	return nil
}
