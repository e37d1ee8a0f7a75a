package config

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
)

// errNotMeant is why a file is refused that was found in the working directory: another user may have put it into the
// directory in which root happens to work, to steer the program.
var errNotMeant = errors.New("found, and not read")

// checkMeant refuses a file that somebody else than this user and root could have written.
func checkMeant(st fs.FileInfo) error {
	sys, ok := st.Sys().(*syscall.Stat_t)
	switch {
	case !st.Mode().IsRegular():
		return fmt.Errorf("%w: it is not a regular file", errNotMeant)
	case ok && sys.Uid != 0 && int(sys.Uid) != geteuid():
		return fmt.Errorf("%w: it belongs to user %d, and you are user %d", errNotMeant, sys.Uid, geteuid())
	case st.Mode().Perm()&0o002 != 0:
		return fmt.Errorf("%w: every user may write to it", errNotMeant)
	}
	return nil
}

// readableSecrets warns of secrets in a file that every user can read. Variables that it refers to aren't in it.
func readableSecrets(path string, mode fs.FileMode, settings map[string]setting) []string {
	if path == "" || !mode.IsRegular() || mode.Perm()&0o004 == 0 {
		return nil
	}
	var names []string
	for i := range keys {
		if keys[i].secret() && settings[keys[i].name()].literal() {
			names = append(names, keys[i].name())
		}
	}
	if len(names) == 0 {
		return nil
	}
	return []string{(&Error{Origin: "file " + path, Problem: "every user can read it, and it holds " + strings.Join(names, " and "),
		Fix: "run 'chmod o-r " + path + "', or set that in the environment"}).Error()}
}

// literal reports whether some of a value stands in the file itself.
func (s setting) literal() bool {
	for _, p := range s.parts {
		if p.text != "" && !p.env {
			return true
		}
	}
	return false
}
