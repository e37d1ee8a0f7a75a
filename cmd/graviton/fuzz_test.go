package main

import (
	"slices"
	"strings"
	"testing"
)

// FuzzMountOptions reads anything as the value of -o: what the kernel is given is of the known list.
func FuzzMountOptions(f *testing.F) {
	f.Add("ro,allow_other,noatime,fsname=x,x-systemd.automount,_netdev,nosuid")
	f.Add("comment=a,,ro,rw")
	f.Add("nonsense")
	f.Fuzz(func(t *testing.T, list string) {
		o, err := parseOptions([]string{list, "ro"})
		if err != nil {
			if strings.TrimSpace(err.Error()) == "" {
				t.Error("an error without words")
			}
			return
		}
		if !o.readOnly {
			t.Errorf("%q: ro was dropped", list)
		}
		for _, opt := range o.kernel {
			if !slices.Contains(kernelOptions, opt) {
				t.Errorf("%q: %q goes to the kernel", list, opt)
			}
		}
		if strings.Contains(o.source, ",") {
			t.Errorf("%q: the source is %q", list, o.source)
		}
	})
}
