package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// load loads text as a file, apart from the environment of the test's process.
func load(t testing.TB, text string, environ, set []string) (*Config, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "graviton.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(Options{Path: path, Environ: append([]string{"HOME=/home/someone"}, environ...), Set: set})
}

func mustLoad(t testing.TB, text string, environ, set []string) *Config {
	t.Helper()
	c, err := load(t, text, environ, set)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func asUser(t testing.TB, uid int) {
	old := geteuid
	geteuid = func() int { return uid }
	t.Cleanup(func() { geteuid = old })
}

func want(t testing.TB, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestSpecificationBlocks(t *testing.T) {
	load := func(name string, environ ...string) *Config {
		c, err := Load(Options{Path: "testdata/seed-" + name + ".conf", Environ: append(environ, "HOME=/home/someone")})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	r := load("rocksdb")
	want(t, "backend", r.Backend, BackendRocksDB)
	want(t, "rocksdb", r.Rocksdb, Rocksdb{Path: "/var/lib/graviton/rocksdb", MaxOpenFiles: 1000, WriteBufferSize: 64 * MiB,
		MaxWriteBufferNumber: 3, Compression: "lz4", BlockCacheSize: 256 * MiB, BloomFilterBitsPerKey: 10,
		MaxBackgroundJobs: 4, Level0FileNumCompactionTrigger: 4, Reserve: 64 * MiB})
	p := load("postgres", `GRAVITON_PG_PASSWORD=12ab#x {"y"} $z`)
	want(t, "backend", p.Backend, BackendPostgres)
	want(t, "password", p.Postgres.Password.Reveal(), `12ab#x {"y"} $z`)
	p.Postgres.Password = ""
	want(t, "postgres", p.Postgres, Postgres{URL: "jdbc:postgresql://localhost:5432/graviton", Username: "graviton", Schema: "public",
		Pool: Pool{5, 20, 30 * time.Second}, BlobStorage: BlobStoragePG, UseLargeObjects: true, ChunkSize: MiB})
	wantS3 := S3{Bucket: "graviton-blobs", Region: "us-east-1", KeyPrefix: "blobs/", StorageClass: "STANDARD",
		Multipart: Multipart{5 * MiB, 10000, time.Hour}, Concurrency: 8,
		NamespaceBackup: 5 * time.Minute, NamespaceBackups: 5, SingleWriter: SingleWriterLease,
		Prices: Prices{Write: 0.005, Read: 0.0004, Stored: 0.023}}
	want(t, "s3", load("s3").S3, wantS3)
	wantS3.AccessKeyID, wantS3.SecretAccessKey, wantS3.Endpoint = "AKIA", "s3cret", "http://localhost:9000"
	want(t, "s3", load("s3", "AWS_ACCESS_KEY_ID=AKIA", "AWS_SECRET_ACCESS_KEY=s3cret", "S3_ENDPOINT=http://localhost:9000").S3, wantS3)
}

// A key that is left out has the specification's value, but for those that the documentation lists.
func TestDefaultsAreTheSpecification(t *testing.T) {
	asUser(t, 0)
	d := mustLoad(t, "", nil, nil)
	for _, name := range []string{"rocksdb", "postgres", "s3"} {
		c, err := Load(Options{Path: "testdata/seed-" + name + ".conf", Environ: []string{"GRAVITON_PG_PASSWORD="}})
		if err != nil {
			t.Fatal(err)
		}
		c.Backend, c.S3.Bucket, c.Postgres.UseLargeObjects = BackendRocksDB, "", false
		c.source, c.origins = d.source, d.origins
		want(t, name, c, d)
	}
}

func TestDefaults(t *testing.T) {
	asUser(t, 0)
	c := mustLoad(t, "", nil, nil)
	want(t, "state-dir", c.StateDir, "/var/lib/graviton")
	want(t, "path", c.Rocksdb.Path, "/var/lib/graviton/rocksdb")
	want(t, "io-timeout", c.IOTimeout, time.Minute)
	want(t, "cache", c.Cache, Cache{512 * MiB, 256 * MiB})
	want(t, "stage, inline", []Size{c.StageMax, c.InlineMax}, []Size{MiB, 16 * KiB})
	want(t, "gc", c.GC, GC{time.Minute, 5 * time.Second})
	want(t, "tiered", c.Tiered, Tiered{Namespace: "rocksdb", Warm: "s3", HotCapacity: 50 * GiB, Rules: []Rule{},
		Cold: Cold{"GLACIER", "start", "Standard", 7}})

	asUser(t, 1000)
	want(t, "state-dir", mustLoad(t, "", nil, nil).StateDir, "/home/someone/.local/state/graviton")
	c = mustLoad(t, "", []string{"XDG_STATE_HOME=/xdg"}, nil)
	want(t, "state-dir", c.StateDir, "/xdg/graviton")
	want(t, "path", c.Rocksdb.Path, "/xdg/graviton/rocksdb")
}

func TestDesignExample(t *testing.T) {
	c := mustLoad(t, `
graviton {
  backend   = "rocksdb"               # rocksdb | postgres | s3 | tiered
  state-dir = "/var/lib/graviton"     # sockets, "logs'; `+"`"+`
  metrics-listen = ""                 # for example "127.0.0.1:9567"; off by default `+"`"+`
  cache { memory = 512MB, dirty = 128MB }
  stage-max = 2MB, inline-max = 32KB
  rocksdb  { path = ${graviton.state-dir}"/rocksdb" }
  tiered   { namespace = "rocksdb", warm = "s3", hot-capacity = 50GB, write-back = true,
             upload-delay = 3s,
             cold { storage-class = "GLACIER", restore = "start", restore-tier = "Standard", restore-days = 7 },
             rules = [ { path = "/backups/**", age = 30d, tier = "cold" },
                       { path = "/tmp/**", tier = hot }
                       { path = "/**", age = "1 hour", tier = warm } ] }
}`, nil, []string{"state-dir=/elsewhere"})
	want(t, "path", c.Rocksdb.Path, "/elsewhere/rocksdb")
	want(t, "dirty", c.Cache.Dirty, 128*MiB)
	want(t, "sizes", []Size{c.StageMax, c.InlineMax}, []Size{2 * MiB, 32 * KiB})
	want(t, "rules", c.Tiered.Rules, []Rule{{"/backups/**", 30 * 24 * time.Hour, "cold"}, {"/tmp/**", 0, "hot"}, {"/**", time.Hour, "warm"}})
}

func TestSyntax(t *testing.T) {
	for _, text := range []string{
		"graviton.rocksdb.compression = zstd",
		"graviton.rocksdb { compression: zstd }",
		"{ graviton: { \"rocksdb\": { \"compression\": \"zstd\" } } }",
		"graviton\n{\n  rocksdb =\n  {\n  compression=zstd } }",
		"\ufeffgraviton {\r\n  rocksdb.compression = zstd // best\r\n}\r\n",
		"graviton.rocksdb { compression = \"\"\"zstd\"\"\" }",
		"graviton.rocksdb { compression = lz4 }\ngraviton.rocksdb.compression = ${?ZSTD}",
		"graviton.rocksdb { compression = z${T}td }",
		"graviton.rocksdb { compression = ${?UNSET}zstd, }",
		"graviton.rocksdb { compression = zstd }\ngraviton.rocksdb { compression = ${?UNSET} }",
		"graviton.rocksdb { compression = \"zst\\u0064\" }",
	} {
		c, err := load(t, text, []string{"ZSTD=zstd", "T=s"}, nil)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		want(t, text, c.Rocksdb.Compression, "zstd")
	}
	c := mustLoad(t, "graviton.postgres.password = \"a\\\"b\\\\\"\ngraviton.postgres.username = a b  # c", nil, nil)
	want(t, "password", c.Postgres.Password.Reveal(), `a"b\`)
	want(t, "username", c.Postgres.Username, "a b")
}

func TestPrecedence(t *testing.T) {
	file := "graviton { cache { memory = 100MB }, stage-max = 3MB, tiered.rules = [] }"
	environ := []string{"GRAVITON_CACHE_MEMORY=200MB", "GRAVITON_CACHE_DIRTY=50MB", "GRAVITON_SERVICE_HOST=10.0.0.1"}
	set := []string{"graviton.cache.memory=1GB", "cache.memory=300MB", `rocksdb.compression="zstd"`, `tiered.rules=[{path="/a",tier=hot}]`}
	c := mustLoad(t, file, environ, set)
	want(t, "memory", c.Cache.Memory, 300*MiB)
	want(t, "dirty", c.Cache.Dirty, 50*MiB)
	want(t, "stage-max", c.StageMax, 3*MiB)
	want(t, "compression", c.Rocksdb.Compression, "zstd")
	want(t, "rules", c.Tiered.Rules, []Rule{{Path: "/a", Tier: "hot"}})
	want(t, "memory", mustLoad(t, file, environ, nil).Cache.Memory, 200*MiB)
	want(t, "memory", mustLoad(t, file, nil, nil).Cache.Memory, 100*MiB)
}

// A required variable is needed only where its value is used.
func TestOverriddenVariable(t *testing.T) {
	c := mustLoad(t, "graviton.postgres.password = ${NOT_SET}", []string{"GRAVITON_POSTGRES_PASSWORD=a"}, nil)
	want(t, "password", c.Postgres.Password.Reveal(), "a")
}

func TestLookup(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	write := func(path, level string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("graviton.log.level = "+level), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	environ := []string{"HOME=" + dir}
	check := func(opts Options, source, level string) {
		t.Helper()
		opts.Environ = append(environ, opts.Environ...)
		c, err := Load(opts)
		if err != nil {
			t.Fatal(err)
		}
		want(t, "source", c.Source(), source)
		want(t, "level", c.Log.Level, level)
	}
	if _, err := os.Stat("/etc/graviton/graviton.conf"); err != nil {
		check(Options{}, "", "info")
	}
	home := filepath.Join(dir, ".config/graviton/graviton.conf")
	write(home, "warn")
	check(Options{}, home, "warn")
	xdg := filepath.Join(dir, "xdg/graviton/graviton.conf")
	write(xdg, "error")
	check(Options{Environ: []string{"XDG_CONFIG_HOME=" + dir + "/xdg"}}, xdg, "error")
	write("graviton.conf", "debug")
	check(Options{}, "graviton.conf", "debug")
	check(Options{Environ: []string{"GRAVITON_CONFIG=" + xdg}}, xdg, "error")
	check(Options{Path: home, Environ: []string{"GRAVITON_CONFIG=" + xdg}}, home, "warn")
}

func TestShowLoadsAgain(t *testing.T) {
	text := `graviton {
  backend = tiered, s3.bucket = b, cache.dirty = 10000001, io-timeout = 90s
  postgres { username = "a\"b\\<c>${x}", password = topsecret }
  s3 { access-key-id = id, secret-access-key = hidden }
  tiered { write-back = on, upload-delay = 1.5h, rules = [{ path = "/a \"b\"/**", age = 30d, tier = cold }] }
}`
	c := mustLoad(t, text, []string{"x=y"}, []string{"log.level=debug"})
	var b bytes.Buffer
	if err := c.Show(&b); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"topsecret", "hidden"} {
		if strings.Contains(b.String(), secret) {
			t.Errorf("shows a secret:\n%s", &b)
		}
	}
	for _, line := range []string{`  # password = "******"`, `level = "debug"  # --set graviton.log.level`, "upload-delay = 1h30m"} {
		if !strings.Contains(b.String(), line) {
			t.Errorf("lacks %s:\n%s", line, &b)
		}
	}
	again := mustLoad(t, b.String(), nil, []string{"postgres.password=topsecret", "s3.secret-access-key=hidden"})
	again.source, again.origins, c.source, c.origins = "", nil, "", nil
	want(t, "loaded again", again, c)
}

func TestSecret(t *testing.T) {
	s := struct{ P Secret }{"topsecret"}
	j, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "p", s.P, "s", s)
	out := fmt.Sprintf("%v %+v %#v %s %q %x %d", s, s, s, s, s, s, s) + string(j) + log.String() +
		fmt.Sprintf("%x %X %v", s.P, s.P, &s)
	if strings.Contains(out, "topsecret") || strings.Contains(strings.ToLower(out), "746f70") || strings.Contains(out, "116 111 112") {
		t.Errorf("shows the secret: %s", out)
	}
	want(t, "revealed", s.P.Reveal(), "topsecret")
}

func TestSizes(t *testing.T) {
	for text, n := range map[string]Size{"0": 0, "4096": 4096, "5MB": 5 << 20, "5MiB": 5 << 20, "16 kb": 16384, "1.5GB": 3 << 29, "2t": 2 * TiB,
		"7B": 7, "1k": 1024} {
		got, err := ParseSize(text)
		if err != nil || got != n {
			t.Errorf("%s: %d, %v", text, got, err)
		}
		if back, err := ParseSize(got.String()); err != nil || back != n {
			t.Errorf("%s is shown as %s", text, got)
		}
	}
	for _, text := range []string{"", "MB", "-1", "5XB", "5 M B", "99999999TB", "1e9", "0x10", "99999999999999999999"} {
		if n, err := ParseSize(text); err == nil {
			t.Errorf("%q: %d", text, n)
		}
	}
	want(t, "shown", fmt.Sprint(512*MiB, 1536*KiB, Size(1001)), "512MB 1536KB 1001B")
}

func TestDurations(t *testing.T) {
	for text, d := range map[string]time.Duration{"0": 0, "30s": 30 * time.Second, "1m": time.Minute, "30d": 720 * time.Hour,
		"500ms": 500 * time.Millisecond, "1 hour": time.Hour, "2 days": 48 * time.Hour, "1.5h": 90 * time.Minute, "1h30m": 90 * time.Minute,
		"5 seconds": 5 * time.Second, "10us": 10 * time.Microsecond, "3 millis": 3 * time.Millisecond} {
		got, err := ParseDuration(text)
		if err != nil || got != d {
			t.Errorf("%s: %v, %v", text, got, err)
		}
		if back, err := ParseDuration(formatDuration(got)); err != nil || back != d {
			t.Errorf("%s is shown as %s", text, formatDuration(got))
		}
	}
	for _, text := range []string{"", "30", "s", "-1s", "1x", "1ds", "1 fortnight", "9999999999h"} {
		if d, err := ParseDuration(text); err == nil {
			t.Errorf("%q: %v", text, d)
		}
	}
}

func TestPostgresURLs(t *testing.T) {
	for url, ok := range map[string]bool{
		"jdbc:postgresql://localhost:5432/graviton":                 true,
		"jdbc:postgresql:graviton":                                  true,
		"postgresql://a:5432,b:5433/x?target_session_attrs=primary": true,
		"postgres:///x?host=/run/postgresql":                        true,
		"host=/run/postgresql dbname=x":                             true,
		"postgresql://u:secret@h/x":                                 false,
		"jdbc:postgresql://h/x?user=u&password=secret":              false,
		"host=h password=secret":                                    false,
		"password = secret host=h":                                  false,
		"jdbc:postgresql://h/x?sslpassword=secret":                  false,
		"jdbc:postgresql://h/x?user=u&password=sec%ret":             false,
		"jdbc:postgresql://h/x?user=u&password=secret;x=y":          false,
		"postgresql://h/x?p%61ssword=secret":                        false,
		"postgresql://h/x?PassWord =secret":                         false,
		"postgresql://h/x?user=u%zz&user=secret":                    false,
		"postgresql://h/x#?password=secret":                         false,
		"host=h sslpassword=secret":                                 false,
		"host='h'password='secret'":                                 false,
		"host=h password\v= secret":                                 false,
		"mysql://h/x":                                               false,
		"somewhere":                                                 false,
	} {
		err := postgresURL(url)
		if (err == nil) != ok {
			t.Errorf("%s: %v", url, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v holds the password", url, err)
		}
	}
}
