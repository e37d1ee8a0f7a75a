package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestFoundFile has a file in the working directory, as another user could put one where root works.
func TestFoundFile(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("needs root, to give a file to another user")
	}
	write := func(file string) error { return os.WriteFile(file, []byte("graviton.log.level = debug\n"), 0o644) }
	for name, tt := range map[string]struct {
		plant func(file string) error
		want  string // in the error; "" for none
	}{
		"root's":         {write, ""},
		"none":           {func(string) error { return nil }, ""},
		"another user's": {func(f string) error { return errors.Join(write(f), os.Chown(f, 65534, 0)) }, "it belongs to user 65534"},
		"everybody's":    {func(f string) error { return errors.Join(write(f), os.Chmod(f, 0o646)) }, "every user may write to it"},
		"FIFO":           {func(f string) error { return syscall.Mkfifo(f, 0o644) }, "not a regular file"},
		"link to no end": {func(f string) error { return os.Symlink("/dev/zero", f) }, "not a regular file"},
		"link to another's": {func(f string) error {
			return errors.Join(write(f+"2"), os.Chown(f+"2", 65534, 0), os.Symlink(f+"2", f))
		}, "it belongs to user 65534"},
		"a directory, there": {func(f string) error { return os.Mkdir(f, 0o755) }, "not a regular file"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if err := tt.plant("graviton.conf"); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			_, err := Load(Options{Environ: []string{"HOME=/nowhere"}})
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%v", err)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("held up for %v", took)
			}
			if tt.want == "" || name == "FIFO" || name == "link to no end" || name == "a directory, there" {
				return
			}
			if _, err := Load(Options{Path: "graviton.conf", Environ: []string{}}); err != nil {
				t.Errorf("the user has named it, and: %v", err)
			}
		})
	}
}

// TestSecretsInReadableFile has a file with and without secrets, of several modes.
func TestSecretsInReadableFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "my.conf")
	for _, tt := range []struct {
		text string
		mode os.FileMode
		want string // "" for no warning
	}{
		{`graviton.postgres.password = hunter2`, 0o644, "every user can read it, and it holds graviton.postgres.password; run 'chmod o-r "},
		{`graviton.postgres.password = hunter2`, 0o640, ""},
		{`graviton.postgres.password = ${SECRET}`, 0o644, ""},
		{`graviton.postgres.password = x${SECRET}`, 0o644, "it holds graviton.postgres.password"},
		{`graviton.postgres.password = ${?NONE}`, 0o644, ""},
		{`graviton.s3 { access-key-id = AKIA, secret-access-key = "hunter2" }`, 0o604, "it holds graviton.s3.secret-access-key"},
		{`graviton.log.level = debug`, 0o644, ""},
	} {
		if err := errors.Join(os.WriteFile(file, []byte(tt.text), 0o600), os.Chmod(file, tt.mode)); err != nil {
			t.Fatal(err)
		}
		c, err := Load(Options{Path: file, Environ: []string{"SECRET=hunter2"}})
		if err != nil {
			t.Fatal(err)
		}
		got := strings.Join(c.Warnings(), "\n")
		if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) || strings.Contains(got, "hunter2") {
			t.Errorf("%s, mode %o: %q", tt.text, tt.mode, got)
		}
	}
}
