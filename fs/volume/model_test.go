package volume_test

import (
	"errors"
	"maps"
	"os"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/backend/rocks"
	"github.com/graviton-fs/graviton/fs/volume"
)

// TestModel compares the volume with a model of a POSIX tree in memory, over random sequences of operations with crashes
// in between. -rapid.checks makes it longer.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(t)
		defer m.end()
		t.Repeat(m.actions())
		m.t = t
		m.compare()
		m.reopen()
		m.compare()
	})
}

// object is an inode as the model has it.
type object struct {
	ino      namespace.Ino
	mode     uint32
	uid, gid uint32
	nlink    uint32
	target   string
	attrs    map[string]string
	entries  map[string]*object // of a directory
	parent   *object            // of a directory
	data     []byte
	// versions are the contents that a crash may leave: the one last committed and all since. The last is data.
	versions [][]byte
	fresh    bool // a crash may make it as if it had never been created
	opens    int
}

func (o *object) kind() uint32 { return o.mode & volume.ModeType }
func (o *object) isDir() bool  { return o.kind() == volume.ModeDir }

// changed says that data is new and in memory only.
func (o *object) changed() { o.versions = append(o.versions, slices.Clone(o.data)) }

// committed says that what is in memory would survive a crash.
func (o *object) committed() {
	o.versions = [][]byte{slices.Clone(o.data)}
	o.fresh = false
}

// file is an open handle.
type file struct {
	h    *volume.Handle
	o    *object
	sync bool
}

// model is the volume under test with its model.
type model struct {
	t     *rapid.T
	db    *rocks.DB
	path  string
	blobs *smallParts
	v     *volume.Volume
	root  *object
	files []*file

	staging bool // small data is committed inline and packed later
}

func newModel(t *rapid.T) *model {
	m := &model{t: t, blobs: newSmallParts()}
	m.staging = rapid.Bool().Draw(t, "staging")
	var err error
	m.path, err = os.MkdirTemp("", "model")
	m.must(err)
	m.db, err = rocks.Open(rocks.Config{Path: m.path, WriteBufferSize: 1 << 20, Reserve: -1, Logger: testConfig().Log})
	m.must(err)
	m.root = &object{ino: root, mode: volume.ModeDir | 0o755, entries: map[string]*object{}, nlink: 2}
	m.root.parent = m.root
	m.open()
	return m
}

func (m *model) open() {
	cfg := testConfig()
	cfg.InlineMax, cfg.Dirty = 512, 64<<10
	if m.staging {
		cfg.StageMax = 6 << 10
	}
	v, err := volume.Open(ctx, m.db.Namespace(), m.blobs, cfg)
	m.must(err)
	v.SmallStreams(smallPart, smallPart/2)
	m.v = v
}

// end drops the volume, whatever state it is in.
func (m *model) end() {
	if m.v != nil {
		m.v.Abandon()
	}
	if m.db != nil {
		_ = m.db.Close()
	}
	_ = os.RemoveAll(m.path)
}

func (m *model) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatalf("unexpected error: %v", err)
	}
}

// expect compares an operation's error with what it should be, and reports whether it succeeded.
func (m *model) expect(err, want error) bool {
	m.t.Helper()
	if !errors.Is(err, want) || want == nil && err != nil {
		m.t.Fatalf("error %v, want %v", err, want)
	}
	return want == nil
}

// objects are all that can be reached: by name, or by a handle.
func (m *model) objects(ok func(*object) bool) []*object {
	seen := map[*object]bool{}
	var list []*object
	add := func(o *object) {
		if !seen[o] && ok(o) {
			list = append(list, o)
		}
		seen[o] = true
	}
	var walk func(o *object)
	walk = func(o *object) {
		add(o)
		for _, name := range slices.Sorted(maps.Keys(o.entries)) {
			walk(o.entries[name])
		}
	}
	walk(m.root)
	for _, f := range m.files {
		add(f.o)
	}
	return list
}

func pick[T any](m *model, list []T, label string) T {
	if len(list) == 0 {
		m.t.Skip()
	}
	return list[rapid.IntRange(0, len(list)-1).Draw(m.t, label)]
}

func (m *model) dir(label string) *object {
	return pick(m, m.objects((*object).isDir), label)
}

func (m *model) any(label string) *object {
	return pick(m, m.objects(func(*object) bool { return true }), label)
}

func (m *model) regular(label string) *object {
	return pick(m, m.objects(func(o *object) bool { return o.kind() == volume.ModeFile }), label)
}

func (m *model) file(label string) *file { return pick(m, m.files, label) }

func (m *model) name(label string) string {
	return rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(m.t, label)
}

// pack moves staged data into blobs.
func (m *model) pack() {
	if !m.staging {
		m.t.Skip()
	}
	m.must(m.v.Pack(ctx))
}

// compact rewrites the extents of a file, as of its last commit.
func (m *model) compact() {
	o := m.regular("compact")
	_, err := m.v.Compact(ctx, o.ino, volume.CompactOptions{
		Eager: rapid.Bool().Draw(m.t, "eager"), DryRun: rapid.IntRange(0, 9).Draw(m.t, "dry") == 0,
	})
	m.must(err)
}

// actions are the steps that rapid draws from. Those that matter most are in it more than once.
func (m *model) actions() map[string]func(*rapid.T) {
	steps := map[string]func(){
		"create": m.create, "createOpen": m.createOpen, "tmpfile": m.tmpfile, "link": m.link, "unlink": m.unlink,
		"rmdir": m.rmdir, "rename": m.rename, "rename2": m.rename, "setattr": m.setattr, "xattr": m.xattr,
		"readdir": m.readdir, "getattr": m.getattr,
		"open": m.openFile, "close": m.closeFile, "fsync": m.fsync, "write": m.write, "write2": m.write,
		"write3": m.write, "stream": m.stream, "read": m.read, "read2": m.read, "truncate": m.truncate,
		"allocate": m.allocate, "copy": m.copyRange, "seek": m.seek, "idle": m.idle, "collect": m.collect, "pack": m.pack,
		"compact": m.compact, "compact2": m.compact,
		"crash": m.crash,
	}
	out := map[string]func(*rapid.T){}
	for name, step := range steps {
		out[name] = func(t *rapid.T) { m.t = t; step() }
	}
	return out
}
