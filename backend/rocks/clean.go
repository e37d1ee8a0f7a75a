package rocks

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// cleanFile lists the database's files as a clean Close left them. The engine takes a manifest or log that is cut off
// for one of a crash, goes on without the rest, and deletes what it then doesn't know: after a clean Close we know
// better. Open removes the list, so that after a crash there is none.
const cleanFile = "graviton.clean"

type cleanState struct {
	Files map[string]int64 `json:"files"` // sizes in bytes
}

// isEngineFile reports the files that hold data; the engine's own log and options may come and go.
func isEngineFile(name string) bool {
	switch filepath.Ext(name) {
	case ".sst", ".blob", ".log":
		return true
	}
	return name == "CURRENT" || strings.HasPrefix(name, "MANIFEST-")
}

func engineFiles(path string) (map[string]int64, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	files := map[string]int64{}
	for _, e := range entries {
		if !isEngineFile(e.Name()) {
			continue
		}
		if st, err := e.Info(); err == nil {
			files[e.Name()] = st.Size()
		}
	}
	return files, nil
}

// markClean writes the list. Losing it costs a check, no more.
func markClean(path string) error {
	files, err := engineFiles(path)
	if err != nil {
		return err
	}
	data, err := json.Marshal(cleanState{Files: files})
	if err != nil {
		return err
	}
	tmp := filepath.Join(path, cleanFile+".tmp")
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return errors.Join(err, os.Remove(tmp))
	}
	return os.Rename(tmp, filepath.Join(path, cleanFile))
}

func unmarkClean(path string) error {
	err := os.Remove(filepath.Join(path, cleanFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// checkFiles looks at the database's files before the engine does.
func (db *DB) checkFiles() error {
	path := db.cfg.Path
	files, err := engineFiles(path)
	if err != nil {
		return err
	}
	if _, ok := files["CURRENT"]; !ok && len(files) > 0 {
		return damage(path, &engineError{kindCorrupt, "CURRENT is missing, other files of the database are there"})
	}
	var clean cleanState
	data, err := os.ReadFile(filepath.Join(path, cleanFile))
	closed := err == nil && json.Unmarshal(data, &clean) == nil
	for name, size := range clean.Files {
		if have, ok := files[name]; !ok || have < size {
			return damage(path, &engineError{kindCorrupt, fmt.Sprintf(
				"%s has %d bytes, and had %d when the database was closed (if that was meant to be, delete %s)",
				name, have, size, cleanFile)})
		}
	}
	return db.checkLogs(files, closed)
}

func (db *DB) checkLogs(files map[string]int64, closed bool) error {
	var logs []string
	for name := range files {
		if filepath.Ext(name) == ".log" {
			logs = append(logs, name)
		}
	}
	slices.Sort(logs)
	for i, name := range logs {
		// An older one may still have the end that a crash or a full disk gave it.
		if err := db.checkLog(filepath.Join(db.cfg.Path, name), closed && i == len(logs)-1); err != nil {
			return err
		}
	}
	return nil
}
