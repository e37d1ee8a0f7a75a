package volume_test

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/fs/volume"
)

// same compares an inode's attributes.
func (m *model) same(o *object, rec *namespace.Inode) {
	m.t.Helper()
	size := len(o.data)
	if o.target != "" {
		size = len(o.target)
	}
	if rec.Ino != o.ino || rec.Mode != o.mode || rec.UID != o.uid || rec.GID != o.gid || rec.Nlink != o.nlink ||
		rec.Size != uint64(size) || rec.Target != o.target {
		m.t.Fatalf("inode is %+v, want number %d, mode %o, owner %d:%d, %d links, size %d, target %q", *rec, o.ino,
			o.mode, o.uid, o.gid, o.nlink, size, o.target)
	}
}

// compare walks the whole tree, and runs fsck.
func (m *model) compare() {
	for _, f := range m.files {
		m.readAt(f.h, f.o, 0, len(f.o.data)+1)
	}
	m.compareDir(m.root)
	_, err := m.v.Fsck(ctx, true, func(f volume.Finding) { m.t.Fatalf("fsck found %+v", f) })
	m.must(err)
}

func (m *model) compareDir(dir *object) {
	rec, err := m.v.GetAttr(ctx, dir.ino)
	m.must(err)
	m.same(dir, rec)
	m.compareAttrs(dir)
	left := maps.Clone(dir.entries)
	m.must(m.v.ReadDir(ctx, dir.ino, 0, true, func(e volume.Entry) bool {
		o := left[e.Name]
		if o == nil {
			m.t.Fatalf("%q is in directory %d, and not in the model", e.Name, dir.ino)
		}
		delete(left, e.Name)
		m.same(o, e.Inode)
		return true
	}))
	for name := range left {
		m.t.Fatalf("%q is missing in directory %d", name, dir.ino)
	}
	for _, name := range slices.Sorted(maps.Keys(dir.entries)) {
		switch o := dir.entries[name]; o.kind() {
		case volume.ModeDir:
			m.compareDir(o)
		case volume.ModeFile:
			m.compareAttrs(o)
			h := m.reader(o)
			m.readAt(h, o, 0, len(o.data)+1)
			h.Release(ctx)
		}
	}
}

// reader opens a file for reading.
func (m *model) reader(o *object) *volume.Handle {
	h, err := m.v.Open(ctx, o.ino, volume.OpenFlags{Read: true})
	m.must(err)
	return h
}

func (m *model) compareAttrs(o *object) {
	names, err := m.v.ListXattr(ctx, o.ino)
	m.must(err)
	if want := slices.Sorted(maps.Keys(o.attrs)); !slices.Equal(names, want) {
		m.t.Fatalf("inode %d has the attributes %q, want %q", o.ino, names, want)
	}
	for _, name := range names {
		value, err := m.v.GetXattr(ctx, o.ino, name)
		m.must(err)
		if string(value) != o.attrs[name] {
			m.t.Fatalf("attribute %q is %q, want %q", name, value, o.attrs[name])
		}
	}
}

// idle has the background commit everything.
func (m *model) idle() {
	m.must(m.v.SyncAll(ctx))
	for _, f := range m.files {
		f.o.committed()
	}
}

func (m *model) collect() {
	_, err := m.v.Collect(ctx, 0, true)
	m.must(err)
}

// reopen closes all files and the volume, and opens it again.
func (m *model) reopen() {
	for len(m.files) > 0 {
		m.release(m.files[0])
	}
	v := m.v
	m.v = nil
	m.must(v.Close(ctx))
	m.noWaste()
	m.open()
}

// crash kills the volume. What each file has then must be one of its versions; orphans are gone.
func (m *model) crash() {
	m.v.Abandon()
	m.v = nil
	m.files = nil
	m.open()
	m.stillborn()
	for _, o := range m.objects(func(o *object) bool { return o.kind() == volume.ModeFile }) {
		o.opens = 0
		h := m.reader(o)
		got := make([]byte, 2*far)
		n, err := h.Read(ctx, got, 0)
		m.must(err)
		h.Release(ctx)
		got = got[:n]
		if !slices.ContainsFunc(o.versions, func(v []byte) bool { return bytes.Equal(v, got) }) {
			last := o.versions[len(o.versions)-1]
			m.t.Fatalf("after a crash inode %d has %d bytes that it never had, nor was left with: last %d, differs at %d; "+
				"%d versions", o.ino, n, len(last), diffAt(last, got), len(o.versions))
		}
		o.data = slices.Clone(got)
		o.committed()
	}
	m.buried()
	m.collect()
	m.noWaste()
	m.compare()
}

// stillborn takes the files out of the model that were never closed since they were created, and are not there.
func (m *model) stillborn() {
	for _, dir := range m.objects((*object).isDir) {
		for name, o := range dir.entries {
			if !o.fresh {
				continue
			}
			_, err := m.v.Lookup(ctx, dir.ino, name)
			switch {
			case errors.Is(err, volume.ErrNotFound) && o.nlink == 1:
				delete(dir.entries, name)
			default:
				m.must(err)
				o.fresh = false
			}
		}
	}
}

// buried waits until the dead session was cleaned up after.
func (m *model) buried() {
	for n := 0; n != 1; time.Sleep(time.Millisecond) {
		m.must(m.db.Namespace().View(ctx, namespace.Want{}, func(tx namespace.Tx) error {
			n = 0
			for _, err := range tx.Scan(namespace.SessionKey{}, 0) {
				if err != nil {
					return err
				}
				n++
			}
			return nil
		}))
	}
}

// noWaste checks that no upload is open, and that every blob in the store has a record.
func (m *model) noWaste() {
	m.blobs.mu.Lock()
	defer m.blobs.mu.Unlock()
	if len(m.blobs.uploads) > 0 {
		m.t.Fatalf("%d uploads are open", len(m.blobs.uploads))
	}
	m.must(m.db.Namespace().View(ctx, namespace.Want{}, func(tx namespace.Tx) error {
		for key := range m.blobs.blobs {
			if _, err := tx.Get(namespace.BlobKey{Blob: key}); err != nil {
				return err
			}
		}
		return nil
	}))
}
