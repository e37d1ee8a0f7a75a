package volume

import (
	"golang.org/x/sys/unix"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// Now is the time that files are stamped with.
func Now() namespace.Time { return coarseNow() }

// coarseNow is the kernel's coarse real-time clock. It is the one that the kernel stamps file times with, so times set
// here and times set there never run against each other.
func coarseNow() namespace.Time {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &ts) != nil {
		_ = unix.ClockGettime(unix.CLOCK_REALTIME, &ts)
	}
	return namespace.Time{Sec: ts.Sec, Nsec: uint32(ts.Nsec)}
}
