package main

import (
	"strings"
	"testing"
)

func TestFlagsFirst(t *testing.T) {
	app := newApp()
	for _, tt := range []struct{ args, want string }{
		{"graviton", "graviton"},
		{"graviton --help", "graviton --help"},
		{"graviton mount /mnt", "graviton mount /mnt"},
		{"graviton mount /mnt -o ro", "graviton mount -o ro /mnt"},
		{"graviton mount /mnt -o ro -c file --set a=b", "graviton mount -o ro -c file --set a=b /mnt"},
		{"graviton mount --foreground /mnt -o=ro", "graviton mount --foreground -o=ro /mnt"},
		{"graviton gc /mnt --grace 0s", "graviton gc --grace 0s /mnt"},
		{"graviton umount /mnt --lazy", "graviton umount --lazy /mnt"},
		{"graviton blob put key - --set a=b", "graviton blob put --set a=b key -"},
		{"graviton stat --json -- -file --json", "graviton stat --json -- -file --json"},
		{"graviton bench /a --rounds 1 --against /b", "graviton bench --rounds 1 --against /b /a"},
		{"graviton mount /mnt -o", "graviton mount -o /mnt"},
		{"graviton nothing /mnt -o ro", "graviton nothing /mnt -o ro"},
		{"graviton gc /mnt --generate-bash-completion", "graviton gc /mnt --generate-bash-completion"},
	} {
		if got := strings.Join(flagsFirst(app.Commands, strings.Fields(tt.args)), " "); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.args, got, tt.want)
		}
	}
}
