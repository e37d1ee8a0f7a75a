package volume_test

import (
	"strconv"
	"testing"
)

// TestCompactWorn has the background compact what commits made pieces of, once nobody writes to it any more.
func TestCompactWorn(t *testing.T) {
	e, _ := small(t)
	e.fragments("few", 20, 600)
	all := e.fragments("f", 70, 520)
	h := e.openFile("f")
	e.v.CompactWorn(ctx)
	if n := len(e.extents("f")); n != 70 {
		t.Errorf("a file that is open for writing has %d extents", n)
	}
	e.done(h)
	e.v.CompactWorn(ctx)
	if n := len(e.extents("f")); n != 1 {
		t.Errorf("%d extents", n)
	}
	if n := len(e.extents("few")); n != 20 {
		t.Errorf("a file of few extents has %d", n)
	}
	e.wantFile("f", all)
	if s := e.v.Stats().Compacted; s.Files != 1 || s.Before != 70 || s.After != 1 {
		t.Errorf("counted %+v", s)
	}
	e.v.CompactWorn(ctx)
	if s := e.v.Stats().Compacted; s.Files != 1 {
		t.Errorf("compacted again: %+v", s)
	}

	// Overwriting is wear, too.
	big := pattern(1200_000, 3)
	e.put("big", big)
	h = e.openFile("big")
	e.write(h, 0, big[:1100_000])
	e.done(h)
	before := len(e.extents("big"))
	e.v.CompactWorn(ctx)
	if s := e.v.Stats().Compacted; s.Files != 2 || s.Freed < 1200_000 {
		t.Errorf("%d extents before, counted %+v", before, s)
	}
	e.wantFile("big", big)
}

// TestCompactAll finds what earlier sessions left in pieces.
func TestCompactAll(t *testing.T) {
	e, _ := small(t)
	all := e.fragments("f", 70, 520)
	for i := range 300 { // more than one batch of inodes
		e.mkdir(root, strconv.Itoa(i))
	}
	late := e.fragments("late", 70, 520)
	e.reopen()
	e.v.SmallStreams(smallPart, smallPart/2)
	e.v.CompactWorn(ctx)
	if n := len(e.extents("f")); n != 70 {
		t.Fatalf("%d extents", n)
	}
	must(t, e.v.CompactAll(ctx))
	if n := len(e.extents("f")); n != 1 {
		t.Errorf("%d extents", n)
	}
	if n := len(e.extents("late")); n != 1 {
		t.Errorf("%d extents", n)
	}
	e.wantFile("f", all)
	e.wantFile("late", late)
}

// TestCompactClose ends a compaction that is under way when the volume is closed.
func TestCompactClose(t *testing.T) {
	e, mem := small(t)
	all := e.fragments("f", 100, 1000)
	e.close()
	closed := make(chan error, 1)
	e.bs = &midway{Store: mem, Uploads: mem, fn: func() {
		go func() { closed <- e.v.Close(ctx) }()
		<-e.v.Closing()
	}}
	e.open()
	e.v.SmallStreams(smallPart, smallPart/2)
	if c, err := e.v.Compact(ctx, e.lookup("f").Ino, eagerly); err == nil || c.Files != 0 {
		t.Errorf("compacted %+v", c)
	}
	must(t, <-closed)
	e.bs = mem
	e.open()
	e.buried()
	e.wantBlobs(100)
	e.wantFile("f", all)
}
