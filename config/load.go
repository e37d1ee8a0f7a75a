package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// Options says where the configuration comes from.
type Options struct {
	// Path is the file; empty to look for it: $GRAVITON_CONFIG, ./graviton.conf,
	// $XDG_CONFIG_HOME/graviton/graviton.conf, /etc/graviton/graviton.conf. It is no error if there is none.
	Path string
	// Set holds KEY=VALUE that override all else; the KEY's leading "graviton." may be left out.
	Set []string
	// Environ is the environment as NAME=VALUE; nil for the process's own.
	Environ []string
}

// rootStateDir is where state is kept when the daemon runs as root.
const rootStateDir = "/var/lib/graviton"

// localFile is looked for in the working directory, which may be another user's.
const localFile = "graviton.conf"

// maxFile bounds a configuration file; a larger one is something else.
const maxFile = 1 << 20

// Load reads the configuration: Set over environment over file over defaults. It touches nothing but the file.
// The error joins one *Error for each thing that is wrong.
func Load(opts Options) (*Config, error) {
	if opts.Environ == nil {
		opts.Environ = os.Environ()
	}
	env := environment(opts.Environ)
	path, text, mode, err := readFile(opts.Path, env)
	if err != nil {
		return nil, err
	}
	return loadText(path, text, mode, opts.Set, env)
}

// loadText is Load with the text and the mode of the file.
func loadText(path, text string, mode fs.FileMode, set []string, env map[string]string) (*Config, error) {
	layers := make([]map[string]setting, 4)
	var errs, e []error
	layers[0] = defaults(env)
	layers[1], e = parse(text, "file "+path, env)
	errs = append(errs, e...)
	layers[2], e = fromEnvironment(env)
	errs = append(errs, e...)
	layers[3], e = fromFlags(set)
	errs = append(errs, e...)

	merged := map[string]setting{}
	for _, layer := range layers {
		if err := unknownKeys(layer); err != nil {
			errs = append(errs, err)
		}
		maps.Copy(merged, layer)
	}
	c := &Config{source: path, origins: map[string]string{}, warnings: readableSecrets(path, mode, layers[1])}
	if err := c.assign(merged); err != nil {
		errs = append(errs, err)
	}
	if len(errs) == 0 { // relations between values make sense only if each value does
		errs = append(errs, c.Validate())
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return c, nil
}

// environment turns NAME=VALUE into a map; as in a shell, the last of two wins.
func environment(environ []string) map[string]string {
	env := map[string]string{}
	for _, e := range environ {
		if name, value, ok := strings.Cut(e, "="); ok {
			env[name] = value
		}
	}
	return env
}

// readFile finds the file and returns its path, text and mode, all empty if there is none.
func readFile(path string, env map[string]string) (string, string, fs.FileMode, error) {
	origin := "-c " + path
	if path == "" && env["GRAVITON_CONFIG"] != "" {
		path, origin = env["GRAVITON_CONFIG"], "environment GRAVITON_CONFIG="+env["GRAVITON_CONFIG"]
	}
	if path != "" {
		text, mode, err := readText(path, false)
		if err != nil {
			return "", "", 0, &Error{Origin: origin, Problem: "cannot read the configuration: " + reason(err),
				Fix: "name a file that exists and that you may read"}
		}
		return path, text, mode, nil
	}
	candidates := []string{localFile}
	if dir := xdg(env, "XDG_CONFIG_HOME", ".config"); dir != "" {
		candidates = append(candidates, filepath.Join(dir, "graviton", "graviton.conf"))
	}
	for _, path := range append(candidates, "/etc/graviton/graviton.conf") {
		text, mode, err := readText(path, path == localFile)
		switch {
		case err == nil:
			return path, text, mode, nil
		case errors.Is(err, errNotMeant):
			return "", "", 0, &Error{Origin: "file " + path, Problem: err.Error(), Fix: "name it with -c if it is meant"}
		case !errors.Is(err, fs.ErrNotExist):
			return "", "", 0, &Error{Origin: "file " + path, Problem: "cannot read the configuration: " + reason(err),
				Fix: "make it readable, or name another with -c"}
		}
	}
	return "", "", 0, nil
}

// readText reads a file. With check it refuses one that another user may have put there.
func readText(path string, check bool) (string, fs.FileMode, error) {
	flags := os.O_RDONLY
	if check {
		flags |= syscall.O_NONBLOCK // a FIFO is no configuration, and must not be waited for
	}
	f, err := os.OpenFile(path, flags, 0)
	if err != nil {
		return "", 0, err
	}
	defer func() { _ = f.Close() }() // it was only read
	st, err := f.Stat()
	if err == nil && check {
		err = checkMeant(st)
	}
	if err != nil {
		return "", 0, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(text) > maxFile {
		err = fmt.Errorf("larger than %s", Size(maxFile))
	}
	return string(text), st.Mode(), err
}

// reason is an error without what the message says already.
func reason(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}

// xdg is a base directory of the XDG specification, by which a relative one is ignored.
// It is empty if there is no home directory either.
func xdg(env map[string]string, variable, below string) string {
	if dir := env[variable]; filepath.IsAbs(dir) {
		return dir
	}
	if home := env["HOME"]; filepath.IsAbs(home) {
		return filepath.Join(home, below)
	}
	return ""
}

// geteuid is replaced by tests.
var geteuid = os.Geteuid

func defaultStateDir(env map[string]string) string {
	if geteuid() == 0 {
		return rootStateDir
	}
	if dir := xdg(env, "XDG_STATE_HOME", ".local/state"); dir != "" {
		return filepath.Join(dir, "graviton")
	}
	return ""
}

// defaults parses the table's defaults as a file would be.
func defaults(env map[string]string) map[string]setting {
	var b strings.Builder
	for i := range keys {
		fmt.Fprintf(&b, "%s = %s\n", keys[i].name(), keys[i].def)
	}
	settings, errs := parse(b.String(), "default", env)
	if len(errs) > 0 {
		panic(errors.Join(errs...)) // the table itself is wrong; a test would have shown it
	}
	settings["graviton.state-dir"] = setting{parts: []part{{text: defaultStateDir(env)}}}
	for name, s := range settings {
		s.origin = "default"
		settings[name] = s
	}
	return settings
}

// fromEnvironment reads GRAVITON_<KEY>. Other variables of that prefix belong to someone else (an orchestrator sets
// GRAVITON_SERVICE_HOST for a service of this name), unless they are almost one of ours.
func fromEnvironment(env map[string]string) (map[string]setting, []error) {
	settings := map[string]setting{}
	var errs []error
	names := make([]string, len(keys))
	known := map[string]bool{"GRAVITON_CONFIG": true, "GRAVITON_PG_PASSWORD": true}
	for i := range keys {
		names[i] = keys[i].env()
		known[names[i]] = true
		value, ok := env[names[i]]
		if !ok {
			continue
		}
		s, err := literal(&keys[i], value, "environment "+names[i])
		if err != nil {
			errs = append(errs, err...)
			continue
		}
		settings[keys[i].name()] = s
	}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if known[name] || !strings.HasPrefix(name, "GRAVITON_") {
			continue
		}
		if n := closeTo(name, names, 2); n != "" {
			errs = append(errs, &Error{Origin: "environment " + name, Problem: "sets no key", Fix: "did you mean " + n + "?"})
		}
	}
	return settings, errs
}

// fromFlags reads KEY=VALUE; of two for one key the last wins.
func fromFlags(set []string) (map[string]setting, []error) {
	settings := map[string]setting{}
	var errs []error
	for _, flag := range set {
		name, value, ok := strings.Cut(flag, "=")
		name = strings.TrimSpace(name)
		origin := "--set " + name
		if !ok || name == "" {
			errs = append(errs, &Error{Origin: cmp.Or(strings.TrimSpace(origin), "--set"), Problem: "no value",
				Fix: "write --set graviton.cache.memory=1GB"})
			continue
		}
		full := root + "." + strings.TrimPrefix(name, root+".")
		s := setting{origin: "--set " + full}
		if k := keyNamed(full); k != nil {
			if unquoted, ok := strings.CutPrefix(value, `"`); ok && len(unquoted) > 0 { // as in the file
				value = strings.TrimSuffix(unquoted, `"`)
			}
			var e []error
			if s, e = literal(k, value, s.origin); e != nil {
				errs = append(errs, e...)
				continue
			}
		}
		settings[full] = s
	}
	return settings, errs
}

// literal is a value from outside a file: the text itself, without quotes and substitutions; HOCON for a list.
func literal(k *key, value, origin string) (setting, []error) {
	if !k.isList() {
		return setting{origin: origin, parts: []part{{text: value}}}, nil
	}
	settings, errs := parse(k.name()+" = "+value, origin, nil)
	for _, err := range errs {
		err.(*Error).Origin = origin // a line means nothing here
	}
	s := settings[k.name()]
	s.origin = origin
	return s, errs
}
