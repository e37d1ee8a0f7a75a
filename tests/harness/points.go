package harness

import (
	"os"
	"strings"
)

// Point is a line of the mount table.
type Point struct {
	Dir  string
	Type string // of the filesystem, for example fuse.graviton
}

// MountsBelow lists what is mounted at dir and below it, in the order of mounting, without
// touching the filesystems.
func MountsBelow(dir string) ([]Point, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var points []Point
	for line := range strings.Lines(string(data)) {
		// 36 35 98:0 /root /mount/point options [tags] - type source options
		head, tail, found := strings.Cut(line, " - ")
		fields, rest := strings.Fields(head), strings.Fields(tail)
		if !found || len(fields) < 5 || len(rest) < 1 {
			continue
		}
		if at := fields[4]; at == dir || strings.HasPrefix(at, dir+"/") {
			points = append(points, Point{Dir: at, Type: rest[0]})
		}
	}
	return points, nil
}

// Mounted says whether dir is a mount point.
func Mounted(dir string) bool {
	points, err := MountsBelow(dir)
	if err != nil {
		return false
	}
	for _, point := range points {
		if point.Dir == dir {
			return true
		}
	}
	return false
}
