package volume_test

import (
	"slices"
	"testing"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
	"github.com/graviton-fs/graviton/fs/volume"
)

// patient is the volume that each damage is done to: /d, /d/f (of one blob), /small (inline), /link (to small).
type patient struct {
	*env
	d, f, small namespace.Ino
	blob        blob.Key
}

func newPatient(t *testing.T) *patient {
	e := newEnv(t)
	p := &patient{env: e, d: e.mkdir(root, "d")}
	rec, h := e.createIn(p.d, "f")
	e.write(h, 0, pattern(100<<10, 1))
	e.done(h)
	p.f = rec.Ino
	p.small = e.put("small", pattern(1000, 2))
	_, err := e.v.Link(ctx, p.small, root, "link")
	must(t, err)
	must(t, e.v.SetXattr(ctx, p.small, "user.a", []byte("b"), volume.XattrAny))
	list, err := e.v.Extents(ctx, p.f)
	must(t, err)
	p.blob = list[0].Blob
	return p
}

// edit changes a record.
func edit[R namespace.Record](key namespace.Key, fn func(R)) func(namespace.Tx) error {
	return func(tx namespace.Tx) error {
		rec, err := namespace.Get[R](tx, key)
		if err == nil {
			fn(rec)
			tx.Put(rec)
		}
		return err
	}
}

func put(rec namespace.Record) func(namespace.Tx) error {
	return func(tx namespace.Tx) error { tx.Put(rec); return nil }
}

func remove(key namespace.Key) func(namespace.Tx) error {
	return func(tx namespace.Tx) error { tx.Delete(key); return nil }
}

// damages do what each code is for. Some cannot be done without breaking something else too.
var damages = map[volume.Code]func(p *patient) func(tx namespace.Tx) error{
	volume.CodeNoVolume: func(*patient) func(namespace.Tx) error { return remove(namespace.VolumeKey{}) },
	volume.CodeNoRoot:   func(*patient) func(namespace.Tx) error { return remove(namespace.InodeKey{Ino: root}) },
	volume.CodeDangling: func(*patient) func(namespace.Tx) error {
		return put(&namespace.Dentry{Parent: root, Name: "x", Ino: 15, Type: volume.ModeFile, Cookie: 15})
	},
	volume.CodeNoParent: func(p *patient) func(namespace.Tx) error {
		return put(&namespace.Dentry{Parent: p.small, Name: "x", Ino: p.f, Type: volume.ModeFile, Cookie: 15})
	},
	volume.CodeType: func(p *patient) func(namespace.Tx) error {
		return edit(namespace.DentryKey{Parent: p.d, Name: "f"}, func(r *namespace.Dentry) { r.Type = volume.ModeDir })
	},
	volume.CodeUnreachable: func(p *patient) func(namespace.Tx) error {
		return remove(namespace.DentryKey{Parent: p.d, Name: "f"})
	},
	volume.CodeNlink: func(p *patient) func(namespace.Tx) error {
		return edit(namespace.InodeKey{Ino: p.small}, func(r *namespace.Inode) { r.Nlink = 1 })
	},
	volume.CodeParent: func(p *patient) func(namespace.Tx) error {
		return edit(namespace.InodeKey{Ino: p.d}, func(r *namespace.Inode) { r.Parent = p.d })
	},
	volume.CodeCookie: func(p *patient) func(namespace.Tx) error {
		return func(tx namespace.Tx) error {
			small, err := namespace.Get[*namespace.Dentry](tx, namespace.DentryKey{Parent: root, Name: "small"})
			if err != nil {
				return err
			}
			return edit(namespace.DentryKey{Parent: root, Name: "link"}, func(r *namespace.Dentry) {
				r.Cookie = small.Cookie
			})(tx)
		}
	},
	volume.CodeLostExtent: func(*patient) func(namespace.Tx) error {
		return put(&namespace.Extent{Ino: 15, Len: 1, Inline: []byte{1}})
	},
	volume.CodeOverlap: func(p *patient) func(namespace.Tx) error {
		return put(&namespace.Extent{Ino: p.small, Off: 500, Len: 1, Inline: []byte{1}})
	},
	volume.CodeExtent: func(p *patient) func(namespace.Tx) error {
		return put(&namespace.Extent{Ino: p.small, Off: 1000, Len: 1, Inline: []byte{1}}) // behind the file's end
	},
	volume.CodeNoBlob: func(p *patient) func(namespace.Tx) error {
		return func(namespace.Tx) error { return p.bs.Delete(ctx, p.blob) }
	},
	volume.CodeShortBlob: func(p *patient) func(namespace.Tx) error {
		return edit(namespace.ExtentKey{Ino: p.f, End: 100 << 10}, func(r *namespace.Extent) { r.BlobOff = 1 })
	},
	volume.CodeBadBlob: nil, // see TestFsckReadsData
	volume.CodeNoBlobRecord: func(p *patient) func(namespace.Tx) error {
		return remove(namespace.BlobKey{Blob: p.blob})
	},
	volume.CodeRefs: func(p *patient) func(namespace.Tx) error {
		return edit(namespace.BlobKey{Blob: p.blob}, func(r *namespace.Blob) { r.Refs = 2 })
	},
	volume.CodeFlags: func(p *patient) func(namespace.Tx) error {
		return edit(namespace.InodeKey{Ino: p.small}, func(r *namespace.Inode) { r.Flags |= namespace.FlagNoXattrs })
	},
	volume.CodeLostXattr: func(*patient) func(namespace.Tx) error {
		return put(&namespace.Xattr{Ino: 15, Name: "user.a"})
	},
	volume.CodeLostOrphan: func(*patient) func(namespace.Tx) error { return put(&namespace.Orphan{Ino: 15}) },
	volume.CodeBytes: func(p *patient) func(namespace.Tx) error {
		return edit(namespace.InodeKey{Ino: p.small}, func(r *namespace.Inode) { r.Bytes = 5 })
	},
	volume.CodeUsage: func(*patient) func(namespace.Tx) error {
		return func(tx namespace.Tx) error {
			tx.Apply(namespace.UsageKey{}, namespace.Delta{Bytes: 1})
			return nil
		}
	},
	volume.CodeDamaged: nil, // see TestDamagedRows
	volume.CodeName: func(p *patient) func(namespace.Tx) error {
		return put(&namespace.Dentry{Parent: root, Name: "a/b", Ino: p.small, Type: volume.ModeFile, Cookie: 15})
	},
	volume.CodeCycle: func(p *patient) func(namespace.Tx) error { return makeCycle(p.d, p.d) },
	volume.CodeIno: func(p *patient) func(namespace.Tx) error {
		return edit(namespace.VolumeKey{}, func(r *namespace.Volume) { r.NextID = uint64(p.f) })
	},
}

func TestFsck(t *testing.T) {
	for _, code := range volume.Codes {
		damage, ok := damages[code]
		if !ok {
			t.Errorf("no test does the damage that is %s", code)
		}
		if damage == nil {
			continue
		}
		t.Run(string(code), func(t *testing.T) {
			p := newPatient(t)
			p.sound()
			change(t, p.ns, damage(p))
			found := p.fsck()
			if !slices.ContainsFunc(found, func(f volume.Finding) bool { return f.Code == code }) {
				t.Errorf("found %+v", found)
			}
			for _, f := range found {
				if f.Path == "" || f.Detail == "" {
					t.Errorf("finding without a path or words: %+v", f)
				}
			}
			p.v.Abandon() // it is beyond closing
			p.v = nil
		})
	}
}

// TestFsckReadsData finds a blob that can't be read.
func TestFsckReadsData(t *testing.T) {
	p := newPatient(t)
	in := p.inject()
	in.FailIf(failOp("read"))
	found := p.fsck()
	if len(found) != 1 || found[0].Code != volume.CodeBadBlob || found[0].Path != "/d/f" {
		t.Errorf("found %+v", found)
	}
}

// TestFsckWhileInUse finds nothing while files are written, replaced and removed.
func TestFsckWhileInUse(t *testing.T) {
	e := newEnv(t)
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; ; i++ {
			select {
			case <-quit:
				return
			default:
			}
			e.put("new", pattern(20_000+i, byte(i)))
			must(t, e.v.Rename(ctx, root, "new", root, "f", 0))
			if _, err := e.v.Collect(ctx, 0, false); err != nil {
				t.Error(err)
			}
		}
	}()
	for range 30 {
		e.sound()
	}
	close(quit)
	<-done
}
