package main

import "testing"

// TestTargetNames has servers whose URLs hold passwords: names are shown, drawn and written to files.
func TestTargetNames(t *testing.T) {
	for arg, want := range map[string]string{
		"/mnt":                             "/mnt",
		"here=/mnt":                        "here",
		"pg=postgresql://u:hunter2@h/db":   "pg",
		"postgresql://u:hunter2@h:5432/db": "postgresql://h:5432/db",
		"postgres://h/db?user=u&password=hunter2":      "postgres://h/db",
		"jdbc:postgresql://h/db?user=u&password=hun@2": "postgresql://h/db",
		"postgresql://u:hun@ter/2@h/db":                "postgresql://h/db",
		"s3://bucket":                                  "s3://bucket",
	} {
		if got := parseTarget(arg, "").Name; got != want {
			t.Errorf("%s is named %s", arg, got)
		}
	}
}
