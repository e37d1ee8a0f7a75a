package differential

import (
	"slices"
	"strings"

	"pgregory.net/rapid"
)

// The values that sequences draw from: few, so that calls meet, and on the edges where
// filesystems break. The first of each list is what shrinking tends to.
var (
	paths = []string{
		"a", "a", "a", "a", "a", "b", "b", "b", "c", "d", "d/a", "d", "e", "d/a", "d/a", "d/b", "d/e", "d/e/a", "e/a", "e/b", "s", "d/s",
		"a/a", "s/a", ".", "d/.", "d/..", "a/", "d/", "", "./a", "d//a", "d/e/../a", "\xff\xfe\x01",
		strings.Repeat("n", 255), strings.Repeat("n", 256), "d/" + strings.Repeat("é", 127),
	}
	targets = []string{"a", "b", "d", "d/a", "../a", "s", "e", "nowhere", "", strings.Repeat("t/", 300) + "t", strings.Repeat("t", 4095)}
	offsets = []int64{
		0, 0, 1, 10, 100, 4095, 4096, 4097, 5000, 8192, 16384, 20000, 65536, 65537, 131072, 200000,
		1 << 20, 1<<20 + 1, 3 << 20, 1 << 30, 1 << 40, -1, -4096,
	}
	lengths = []int64{0, 1, 2, 10, 100, 512, 4095, 4096, 4097, 6000, 8192, 16384, 16385, 65536, 100000, 131072, 131073, 262144, maxIO}
	modes   = []uint32{0o644, 0o755, 0o777, 0o600, 0o666, 0o700, 0, 0o4755, 0o2755, 0o6777, 0o2777, 0o1777, 0o2644, 0o2775, 0o400, 0o200, 0o111, 0o070, 0o022, 0o077}
	moments = []int64{timeNow, timeOmit, 0, 1, 999999999, 1_000_000_000_123_456_789, 1_234_567_890_000_000_000, 4_294_967_296_500_000_000, -1_000_000_000_500_000_000}
	users   = []int{0, 0, 0, 0, 0, 0, 0, 0, other, other, third}
	xnames  = []string{"system.posix_acl_access", "system.posix_acl_default", "user.a", "user.a", "user.a", "user.b", "user.b", "trusted.a", "security.a", "user.", "nonsense", "other.a", "user." + strings.Repeat("x", 250), "user." + strings.Repeat("x", 251)}
)

// opens are useful combinations: single random bits seldom open anything.
var opens = []string{
	"O_RDWR|O_CREAT", "O_RDWR|O_CREAT", "O_RDWR", "O_RDONLY", "O_WRONLY", "O_WRONLY|O_CREAT|O_TRUNC", "O_RDWR|O_CREAT|O_EXCL",
	"O_WRONLY|O_APPEND", "O_RDWR|O_CREAT|O_APPEND", "O_RDWR|O_TRUNC", "O_RDONLY|O_TRUNC", "O_RDWR|O_SYNC", "O_WRONLY|O_DSYNC|O_CREAT",
	"O_RDONLY|O_DIRECTORY", "O_RDWR|O_DIRECTORY", "O_RDONLY|O_NOFOLLOW", "O_PATH", "O_PATH|O_NOFOLLOW", "O_RDONLY|O_CREAT",
	"O_RDONLY|O_NOATIME", "O_RDWR|O_CREAT|O_EXCL|O_NOFOLLOW", "O_RDONLY|O_CREAT|O_DIRECTORY", "O_RDWR|O_CREAT|O_TRUNC|O_APPEND",
}

// preambles start a sequence where the interesting things are.
var preambles = []string{
	"",
	`open slot=0 path="a" flags=O_RDWR|O_CREAT mode=0666
write slot=0 len=6000 seed=1
mkdir path="d" mode=0777`,
	`mkdir path="d" mode=0777
mkdir path="d/e" mode=02777
open slot=0 path="d/a" flags=O_RDWR|O_CREAT mode=0666
pwrite slot=0 off=131072 len=16385 seed=2
link path="d/a" path2="b"
symlink path="d/a" path2="s"
open slot=1 path="b" flags=O_RDONLY mode=0
creat slot=2 path="d/b" mode=04777
write slot=2 len=10 seed=3
setxattr path="b" name="user.a" len=10 seed=1 flags=0`,
}

// theme narrows what one sequence draws from. A sequence of a few calls on a few paths meets
// itself more often than one of everything.
type theme struct {
	calls []string
	paths []string
}

// everything is the theme without a limit.
var everything = theme{calls: callNames(), paths: paths}

// themeGen draws a theme: in most sequences some calls (and those that make files) and some paths.
var themeGen = rapid.Custom(func(t *rapid.T) theme {
	if rapid.IntRange(0, 3).Draw(t, "narrow") == 0 {
		return everything
	}
	some := rapid.SliceOfN(rapid.SampledFrom(everything.calls), 2, 10).Draw(t, "calls")
	return theme{
		calls: append(some, "open", "close"),
		paths: rapid.SliceOfN(rapid.SampledFrom(paths), 1, 4).Draw(t, "paths"),
	}
})

// opGen draws one call.
func (th theme) opGen() *rapid.Generator[Op] {
	return rapid.Custom(th.op)
}

func (th theme) op(t *rapid.T) Op {
	op := Op{Call: rapid.SampledFrom(th.calls).Draw(t, "call")}
	c := calls[op.Call]
	op.As = rapid.SampledFrom(users).Draw(t, "as")
	for _, field := range c.fields {
		switch field {
		case "slot":
			op.Slot = rapid.IntRange(0, slots-1).Draw(t, field)
		case "slot2":
			op.Slot2 = rapid.IntRange(0, slots-1).Draw(t, field)
		case "path":
			op.Path = rapid.SampledFrom(th.pathsFor(op.Call)).Draw(t, field)
		case "path2":
			op.Path2 = rapid.SampledFrom(th.paths).Draw(t, field)
		case "name":
			op.Name = rapid.SampledFrom(xnames).Draw(t, field)
			if op.Call == "setfacl" || op.Call == "fsetfacl" {
				op.Name = xnames[rapid.IntRange(0, 1).Draw(t, field)]
			}
		case "off":
			op.Off = rapid.SampledFrom(offsets).Draw(t, field)
		case "len":
			op.Len = rapid.SampledFrom(lengths).Draw(t, field)
		case "seed":
			op.Seed = rapid.IntRange(0, 24).Draw(t, field)
		case "flags":
			op.Flags = drawFlags(t, op.Call, c)
		case "mode":
			op.Mode = rapid.SampledFrom(modes).Draw(t, field)
		case "times":
			op.Times = [2]int64{rapid.SampledFrom(moments).Draw(t, "atime"), rapid.SampledFrom(moments).Draw(t, "mtime")}
		}
	}
	return op
}

// pathsFor is where a call's first path comes from: a symlink's is its target.
func (th theme) pathsFor(name string) []string {
	if name == "symlink" {
		return targets
	}
	return th.paths
}

// drawFlags draws a call's flags.
func drawFlags(t *rapid.T, name string, c *call) int {
	switch {
	case name == "open" || name == "openat":
		v, err := parseFlags(openFlags, rapid.SampledFrom(opens).Draw(t, "flags"))
		if err != nil {
			panic(err)
		}
		return v
	case c.one:
		return rapid.SampledFrom(c.flags).Draw(t, "flags").value
	}
	v := 0
	for _, f := range c.flags {
		if rapid.Bool().Draw(t, f.name) {
			v |= f.value
		}
	}
	return v
}

// sequenceGen draws a preamble and n/4 to n calls.
func sequenceGen(n int) *rapid.Generator[[]Op] {
	return rapid.Custom(func(t *rapid.T) []Op {
		start, err := ParseTrace(rapid.SampledFrom(preambles).Draw(t, "preamble"))
		if err != nil {
			panic(err)
		}
		th := themeGen.Draw(t, "theme")
		return slices.Concat(start, rapid.SliceOfN(th.opGen(), n/4, n).Draw(t, "ops"))
	})
}
