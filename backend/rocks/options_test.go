package rocks

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
)

// optionsFile returns the sections of the newest OPTIONS file: section → key → value.
func optionsFile(t *testing.T, dir string) map[string]map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "OPTIONS-*"))
	check(t, err)
	slices.Sort(files)
	if len(files) == 0 {
		t.Fatal("no OPTIONS file")
	}
	text, err := os.ReadFile(files[len(files)-1])
	check(t, err)
	sections := map[string]map[string]string{}
	section := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			section = line
			sections[section] = map[string]string{}
		} else if k, v, ok := strings.Cut(line, "="); ok {
			sections[section][k] = v
		}
	}
	return sections
}

func TestOptionsTakeEffect(t *testing.T) {
	dir := t.TempDir()
	db := open(t, Config{
		Path: dir, MaxOpenFiles: 123, WriteBufferSize: 5 << 20, MaxWriteBufferNumber: 7, Compression: "zstd",
		BlockCacheSize: 9 << 20, MaxBackgroundJobs: 3, Level0FileNumCompactionTrigger: 6, TotalMemory: 77 << 20,
	})
	file := optionsFile(t, dir)
	want := func(section, key, value string) {
		t.Helper()
		if got := file[section][key]; got != value {
			t.Errorf("%s %s=%s, want %s", section, key, got, value)
		}
	}
	want("[DBOptions]", "max_open_files", "123")
	want("[DBOptions]", "max_background_jobs", "3")
	want("[DBOptions]", "db_write_buffer_size", fmt.Sprint(77<<20))
	want("[DBOptions]", "keep_log_file_num", "4")
	want("[DBOptions]", "max_log_file_size", fmt.Sprint(4<<20))
	want("[DBOptions]", "wal_recovery_mode", "kPointInTimeRecovery")
	for cf, name := range cfNamesOf {
		section := fmt.Sprintf("[CFOptions %q]", name)
		want(section, "write_buffer_size", fmt.Sprint(5<<20))
		want(section, "max_write_buffer_number", "7")
		want(section, "compression", "kZSTD")
		want(section, "level0_file_num_compaction_trigger", "6")
		data := cf == cfBlobs || cf == cfExtents
		want(section, "enable_blob_files", fmt.Sprint(data))
		if data {
			want(section, "blob_compression_type", "kZSTD")
		}
		capacity, ok := db.db.GetIntPropertyCF("rocksdb.block-cache-capacity", db.cfs[cf])
		if !ok || capacity != 9<<20 {
			t.Errorf("block cache of %s has %d bytes, want %d", name, capacity, 9<<20)
		}
	}
}

func TestDefaultsAreTheSeeds(t *testing.T) {
	dir := t.TempDir()
	db := open(t, Config{Path: dir})
	file := optionsFile(t, dir)
	for key, value := range map[string]string{
		"write_buffer_size": fmt.Sprint(64 << 20), "max_write_buffer_number": "3", "compression": "kLZ4Compression",
		"level0_file_num_compaction_trigger": "4", "blob_compression_type": "kLZ4Compression",
	} {
		if got := file[`[CFOptions "blobs"]`][key]; got != value {
			t.Errorf("%s=%s, want %s", key, got, value)
		}
	}
	if got := file["[DBOptions]"]["max_open_files"]; got != "1000" {
		t.Errorf("max_open_files=%s", got)
	}
	if c, _ := db.db.GetIntPropertyCF("rocksdb.block-cache-capacity", db.cfs[cfNames]); c != 256<<20 {
		t.Errorf("block cache has %d bytes", c)
	}
}

// TestSharedCache wants one cache for all column families: its use is the same seen from each.
func TestSharedCache(t *testing.T) {
	db := open(t, Config{})
	fillNames(t, db, 1000)
	check(t, db.flush(cfNames))
	readNames(t, db, 1000)
	a, _ := db.db.GetIntPropertyCF("rocksdb.block-cache-usage", db.cfs[cfNames])
	b, _ := db.db.GetIntPropertyCF("rocksdb.block-cache-usage", db.cfs[cfManifests])
	if a == 0 || a != b {
		t.Errorf("the caches hold %d and %d bytes", a, b)
	}
}

func fillNames(t *testing.T, db *DB, n int) {
	t.Helper()
	check(t, db.Namespace().Update(ctx, namespace.OpID{}, namespace.Want{}, func(tx namespace.Tx) error {
		for i := range n {
			tx.Put(&namespace.Inode{Ino: namespace.Ino(1000 + i), Target: strings.Repeat("target ", 20)})
		}
		return nil
	}))
}

func readNames(t *testing.T, db *DB, n int) {
	t.Helper()
	check(t, db.Namespace().View(ctx, namespace.Want{}, func(tx namespace.Tx) error {
		for i := range n {
			if _, err := tx.Get(namespace.InodeKey{Ino: namespace.Ino(1000 + i)}); err != nil {
				return err
			}
		}
		return nil
	}))
}

// TestBloomBits compares the sizes of the filters of equal tables.
func TestBloomBits(t *testing.T) {
	const keys = 20_000
	size := func(bits int) int {
		db := open(t, Config{BloomBitsPerKey: bits})
		fillNames(t, db, keys)
		check(t, db.flush(cfNames))
		text := db.db.GetPropertyCF("rocksdb.aggregated-table-properties", db.cfs[cfNames])
		_, rest, _ := strings.Cut(text, "filter block size=")
		var n int
		_, _ = fmt.Sscanf(rest, "%d", &n)
		return n
	}
	for bits, want := range map[int]int{-1: 0, 0: 10, 5: 5, 20: 20} {
		got := size(bits) * 8
		if got < want*keys*9/10 || got > want*keys*12/10 {
			t.Errorf("a filter of %d bits a key has %d bits for %d keys", bits, got, keys)
		}
	}
}

// TestCompression compares what equal data takes on disk, in tables and in blob files.
func TestCompression(t *testing.T) {
	text := []byte(strings.Repeat("It was the best of times, it was the worst of times. ", 20))
	for i := range text {
		if i%17 == 0 {
			text[i] = byte('a' + i*i%26) // so that it is no mere repetition
		}
	}
	tables, blobFiles := map[string]int64{}, map[string]int64{}
	for name := range compressions {
		dir := t.TempDir()
		db := open(t, Config{Path: dir, Compression: name})
		for i := range 20 {
			data := bytes.Repeat(text, 300)
			check(t, db.Blobs().Put(ctx, blob.NewKey(1, uint64(i)), bytes.NewReader(data), int64(len(data)), nil))
		}
		fillNames(t, db, 20_000)
		check(t, db.flush(cfBlobs))
		check(t, db.flush(cfNames))
		tables[name], blobFiles[name] = diskUse(t, dir, ".sst"), diskUse(t, dir, ".blob")
		check(t, db.Close())
	}
	t.Logf("tables: %v, blob files: %v", tables, blobFiles)
	for _, sizes := range []map[string]int64{tables, blobFiles} {
		if sizes["none"] == 0 {
			t.Error("nothing was written")
		}
		seen := map[int64]string{}
		for name, n := range sizes {
			if name != "none" && n > sizes["none"]/2 {
				t.Errorf("%s takes %d bytes, none %d", name, n, sizes["none"])
			}
			if other, ok := seen[n]; ok {
				t.Errorf("%s and %s take the same %d bytes", name, other, n)
			}
			seen[n] = name
		}
	}
}

func diskUse(t *testing.T, dir, suffix string) (sum int64) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
	check(t, err)
	for _, f := range files {
		if st, err := os.Stat(f); err == nil {
			sum += st.Size()
		}
	}
	return sum
}

func TestBadConfig(t *testing.T) {
	for _, cfg := range []Config{
		{}, {Path: t.TempDir(), Compression: "rar"}, {Path: t.TempDir(), WriteBufferSize: -1},
		{Path: t.TempDir(), SyncEvery: -time.Second}, {Path: "/dev/null/x"},
	} {
		db, err := Open(cfg)
		if err == nil {
			t.Errorf("%+v was accepted", cfg)
			check(t, db.Close())
		}
	}
}

// TestBackgroundSync waits for the log to be synced by itself.
func TestBackgroundSync(t *testing.T) {
	db := open(t, Config{SyncEvery: 5 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)})
	fillNames(t, db, 1)
	for db.syncer.synced.Load() < db.syncer.written.Load() {
		time.Sleep(time.Millisecond)
	}
}

func TestAfterClose(t *testing.T) {
	db := open(t, Config{})
	check(t, db.Close())
	check(t, db.Close())
	if _, err := db.Blobs().Stat(ctx, blob.NewKey(1, 1)); !isUnavailable(err) {
		t.Errorf("error is %v", err)
	}
	if err := db.Namespace().Sync(ctx); !isUnavailable(err) {
		t.Errorf("error is %v", err)
	}
}
