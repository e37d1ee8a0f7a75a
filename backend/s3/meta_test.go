package s3

import (
	"bytes"
	"errors"
	"testing"

	"github.com/graviton-fs/graviton/backend/blob"
)

// TestMeta keeps objects beside the blobs, and they aren't blobs.
func TestMeta(t *testing.T) {
	ctx := t.Context()
	cfg := config(t, nil)
	cfg.VolumeID, cfg.StorageClass = "", "STANDARD_IA"
	s := open(t, cfg)
	if owner, err := s.Owner(ctx); err != nil || owner != "" {
		t.Errorf("owner of an empty prefix: %q, %v", owner, err)
	}
	check(t, s.Claim(ctx, "volume-9"))
	if owner, err := s.Owner(ctx); err != nil || owner != "volume-9" {
		t.Errorf("owner: %q, %v", owner, err)
	}
	check(t, s.PutMeta(ctx, "namespace/1", bytes.NewReader([]byte("one"))))
	if err := s.PutMeta(ctx, "namespace/1", bytes.NewReader([]byte("two"))); !errors.Is(err, blob.ErrExists) {
		t.Errorf("put again: %v", err)
	}
	var out bytes.Buffer
	check(t, s.GetMeta(ctx, "namespace/1", &out))
	list, err := s.ListMeta(ctx, "namespace/")
	check(t, err)
	if out.String() != "one" || len(list) != 1 || list[0].Name != "namespace/1" || list[0].Size != 3 {
		t.Errorf("got %q, list %+v", out.String(), list)
	}
	for info, err := range s.List(ctx, nil) {
		t.Errorf("a blob: %+v, %v", info, err)
	}
	var v map[string]int
	if found, err := s.ReadMeta(ctx, "current", &v); err != nil || found {
		t.Errorf("missing: %v, %v", found, err)
	}
	for n := range 2 {
		check(t, s.WriteMeta(ctx, "current", map[string]int{"n": n}))
	}
	if found, err := s.ReadMeta(ctx, "current", &v); err != nil || !found || v["n"] != 1 {
		t.Errorf("read %v, %v, %v", v, found, err)
	}
	check(t, s.DeleteMeta(ctx, "namespace/1"))
	check(t, s.DeleteMeta(ctx, "namespace/1"))
	if err := s.GetMeta(ctx, "namespace/1", &out); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("get after delete: %v", err)
	}

	cfg.VolumeID = "volume-8"
	if _, err := Open(ctx, cfg); !errors.Is(err, ErrForeign) {
		t.Errorf("another volume: %v", err)
	}
	cfg.VolumeID, cfg.ReadOnly = "", true
	ro := open(t, cfg)
	if err := ro.WriteMeta(ctx, "current", v); !errors.Is(err, blob.ErrReadOnly) {
		t.Errorf("write on a read-only store: %v", err)
	}
}
