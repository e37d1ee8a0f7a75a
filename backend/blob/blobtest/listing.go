package blobtest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/graviton-fs/graviton/backend/blob"
)

func keysOf(infos []blob.Info) (keys []blob.Key) {
	for _, info := range infos {
		keys = append(keys, info.Key)
	}
	return keys
}

func testList(t *testing.T, s blob.Store) {
	base := string(newKey())
	var want []blob.Key
	for _, tail := range []string{"", "\x00", "\x00z", "a", "a0", "ab", "b\xff", "\xff", "\xff\xff", "\xff\xff\xff"} {
		want = append(want, blob.Key(base+tail))
	}
	for i := len(want) - 1; i >= 0; i-- {
		put(t, s, want[i], make([]byte, i))
	}
	for _, prefix := range []string{
		base, base[:8], base + "a", base + "\xff", base + "\xff\xff", base + "\x00", base + "c", base + strings.Repeat("x", 100),
	} {
		var match []blob.Key
		for _, key := range want {
			if strings.HasPrefix(string(key), prefix) {
				match = append(match, key)
			}
		}
		got := list(t, s, []byte(prefix))
		if len(prefix) == 8 { // the session's: other tests' blobs are there as well on a shared store
			got = slices.DeleteFunc(got, func(i blob.Info) bool { return !slices.Contains(want, i.Key) })
		}
		if !slices.Equal(keysOf(got), match) {
			t.Errorf("List(%x) yields %v, want %v", prefix, keysOf(got), match)
		}
		for _, info := range got {
			stat, err := s.Stat(ctx, info.Key)
			check(t, err)
			if info.Size != stat.Size || !info.Created.Equal(stat.Created) {
				t.Errorf("List yields %+v, Stat %+v", info, stat)
			}
		}
	}
	if !slices.IsSorted(keysOf(list(t, s, nil))) {
		t.Error("List of everything is not in key order")
	}
	n := 0
	for _, err := range s.List(ctx, []byte(base)) {
		check(t, err)
		if n++; n == 3 {
			break // a caller may stop
		}
	}
}

func testListMany(t *testing.T, s blob.Store) {
	base := string(newKey())
	const n = 2345 // several pages, on S3 as well
	var want []blob.Key
	var g errgroup.Group
	g.SetLimit(16)
	for i := range n {
		key := blob.Key(fmt.Sprintf("%s%06d", base, i))
		g.Go(func() error { return s.Put(ctx, key, bytes.NewReader(nil), 0, nil) })
		want = append(want, key)
	}
	check(t, g.Wait())
	if got := keysOf(list(t, s, []byte(base))); !slices.Equal(got, want) {
		t.Errorf("List yields %d keys, want %d", len(got), len(want))
	}
}

// testListWhileChanging wants what stays to be listed exactly once.
func testListWhileChanging(t *testing.T, s blob.Store) {
	base := string(newKey())
	stays := map[blob.Key]int{}
	for i := range 600 {
		key := blob.Key(fmt.Sprintf("%s%04d", base, i))
		put(t, s, key, nil)
		if i%2 == 0 {
			stays[key] = 0
		}
	}
	i := 0
	for info, err := range s.List(ctx, []byte(base)) {
		check(t, err)
		if _, ok := stays[info.Key]; ok {
			stays[info.Key]++
		}
		// The store may be used while it is listed.
		check(t, s.Delete(ctx, blob.Key(fmt.Sprintf("%s%04d", base, 599-i/2*2))))
		put(t, s, blob.Key(fmt.Sprintf("%s%04d-new", base, i)), nil)
		if i++; i > 3000 {
			t.Fatal("List doesn't end")
		}
	}
	for key, n := range stays {
		if n != 1 {
			t.Errorf("%s was listed %d times", key, n)
		}
	}
}

func testUploads(t *testing.T, s blob.Store) {
	us, ok := s.(blob.Uploads)
	if !ok {
		t.Skip("the store has no Uploads")
	}
	base := string(newKey())
	var want []blob.Key
	for i, tail := range []string{"", "\x00", "\x00\x01", "a", "\xff"} {
		key := blob.Key(base + tail)
		u, err := s.NewUpload(ctx, key, nil)
		check(t, err)
		if i > 0 {
			check(t, u.PutPart(ctx, 1, random(200<<10+i)))
		}
		want = append(want, key)
	}
	put(t, s, blob.Key(base+"done"), nil)
	got := uploads(t, us, []byte(base))
	if !slices.Equal(keysOf(got), want) {
		t.Fatalf("open uploads are %v, want %v", keysOf(got), want)
	}
	for i, info := range got {
		if size := int64(200<<10+i) * int64(min(i, 1)); info.Size != size {
			t.Errorf("upload %d has %d bytes, want %d", i, info.Size, size)
		}
		if !recent(info.Created) {
			t.Errorf("Created is %v", info.Created)
		}
	}
	if got := uploads(t, us, []byte(base+"a")); len(got) != 1 {
		t.Errorf("%d uploads with the prefix, want 1", len(got))
	}
	check(t, us.AbortUpload(ctx, want[0]))
	check(t, us.AbortUpload(ctx, want[2]))
	check(t, us.AbortUpload(ctx, want[2]))
	check(t, us.AbortUpload(ctx, newKey()))
	want = []blob.Key{want[1], want[3], want[4]}
	if got := keysOf(uploads(t, us, []byte(base))); !slices.Equal(got, want) {
		t.Errorf("open uploads are %v, want %v", got, want)
	}
	for _, key := range want {
		check(t, us.AbortUpload(ctx, key))
	}
	fails(t, us.AbortUpload(ctx, "short"), blob.ErrInvalid)
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	for _, err := range us.ListUploads(cancelled, nil) {
		fails(t, err, context.Canceled)
	}
}
