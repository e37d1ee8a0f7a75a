package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"

	"github.com/graviton-fs/graviton/fs/volume"
)

// built are the libraries whose versions tell most about a binary.
var built = []string{"github.com/hanwen/go-fuse/v2", "github.com/linxGnu/grocksdb"}

func printVersion(w io.Writer, asJSON bool) error {
	parts := map[string]string{"graviton": versionString(), "go": runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			for _, name := range built {
				if d.Path == name {
					parts[name] = d.Version
				}
			}
		}
	}
	if asJSON {
		return printJSON(w, map[string]any{"parts": parts, "volumeFormat": volume.Format})
	}
	fmt.Fprintf(w, "graviton %s (%s, %s/%s)\nvolume format %d\n", parts["graviton"], parts["go"], runtime.GOOS,
		runtime.GOARCH, volume.Format)
	for _, name := range built {
		fmt.Fprintf(w, "%s %s\n", name, parts[name])
	}
	return nil
}
