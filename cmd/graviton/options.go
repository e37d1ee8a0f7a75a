package main

import (
	"slices"
	"strings"

	"github.com/agnivade/levenshtein"

	"github.com/graviton-fs/graviton/fs/volume"
)

// mountOptions is what -o says.
type mountOptions struct {
	readOnly, allowOther, checked, nonEmpty, debug, exclusive bool
	atime                                                     volume.Atime
	kernel                                                    []string // passed on
	source                                                    string
}

// Options by what they do. ignored are those that mount(8), fstab and systemd keep for themselves, and what is so anyway.
var (
	kernelOptions  = []string{"suid", "nosuid", "dev", "nodev", "exec", "noexec"}
	ignoredOptions = []string{
		"rw", "defaults", "auto", "noauto", "user", "nouser", "users", "_netdev", "nofail",
		"async", "diratime", "nodiratime", "iversion", "noiversion", "lazytime", "nolazytime",
	}
	ownOptions = []string{
		"ro", "exclusive", "allow_other", "default_permissions", "nonempty", "debug",
		"noatime", "atime", "relatime", "norelatime", "strictatime",
	}
)

// parseOptions reads the values of -o, each a list with commas.
func parseOptions(lists []string) (mountOptions, error) {
	var o mountOptions
	for _, opt := range strings.Split(strings.Join(lists, ","), ",") {
		switch opt {
		case "":
		case "ro":
			o.readOnly = true
		case "exclusive":
			o.exclusive = true
		case "allow_other":
			o.allowOther = true
		case "default_permissions":
			o.checked = true
		case "nonempty":
			o.nonEmpty = true
		case "debug":
			o.debug = true
		case "noatime":
			o.atime = volume.NoAtime
		case "relatime", "atime", "norelatime":
			o.atime = volume.Relatime
		case "strictatime":
			o.atime = volume.StrictAtime
		default:
			if err := o.other(opt); err != nil {
				return o, err
			}
		}
	}
	return o, nil
}

func (o *mountOptions) other(opt string) error {
	switch {
	case slices.Contains(kernelOptions, opt):
		o.kernel = append(o.kernel, opt)
	case slices.Contains(ignoredOptions, opt), strings.HasPrefix(opt, "x-"), strings.HasPrefix(opt, "comment="):
	case strings.HasPrefix(opt, "fsname="):
		o.source = strings.TrimPrefix(opt, "fsname=")
	default:
		all := slices.Concat(ownOptions, kernelOptions, ignoredOptions, []string{"fsname=NAME"})
		best := slices.MinFunc(all, func(a, b string) int {
			return levenshtein.ComputeDistance(opt, a) - levenshtein.ComputeDistance(opt, b)
		})
		return usagef("-o %s: there is no such mount option, the nearest is %q: see 'graviton mount --help'", opt, best)
	}
	return nil
}
