package s3

import (
	"bytes"
	"errors"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/s3/s3test"
)

// wantCorrupt wants every word in the error of something.
func wantCorrupt(t *testing.T, what string, err error, words ...string) {
	t.Helper()
	if !errors.Is(err, blob.ErrCorrupt) {
		t.Errorf("%s: %v, want ErrCorrupt", what, err)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: %q doesn't say %q", what, err, w)
		}
	}
}

// TestReplaced has another program put an object of the same size in the place of a blob: nothing of it is taken for the
// blob's, and no copy of it becomes ours.
func TestReplaced(t *testing.T) {
	t.Parallel()
	s, proxy, cfg := proxied(t, nil)
	for what, md := range map[string]map[string]string{
		"plain": nil, "of another volume": {metaWrite: "1", metaVolume: "volume-2"},
	} {
		for _, size := range []int{1000, 5<<20 + 1000} {
			key := put(t, s, random(size))
			_, err := server.Client().PutObject(t.Context(), &s3.PutObjectInput{
				Bucket: &cfg.Bucket, Key: s.object(key), Body: bytes.NewReader(random(size)), Metadata: md,
			})
			check(t, err)
			words := []string{key.String(), "replaced by another program"}
			_, err = s.Stat(t.Context(), key)
			wantCorrupt(t, what+", Stat", err, words...)
			_, err = read(s, key)
			wantCorrupt(t, what+", Open", err, words...)
			_, err = s.ReadInto(t.Context(), key, make([]byte, 10), 100)
			wantCorrupt(t, what+", ReadInto", err, words...)
			u, err := s.NewUpload(t.Context(), newKey(), nil)
			check(t, err)
			err = u.(blob.PartCopier).CopyPart(t.Context(), 1, key, 0, 1000)
			wantCorrupt(t, what+", CopyPart", err, "replaced by another program")
			check(t, u.Abort(t.Context()))
		}
	}
	if n := proxy.Count("UploadPartCopy"); n != 0 {
		t.Errorf("%d copies of what isn't ours", n)
	}
}

// TestReplacedAtCopy replaces a blob between the look at it and the copy of it.
func TestReplacedAtCopy(t *testing.T) {
	t.Parallel()
	s, _, cfg := proxied(t, nil)
	key := put(t, s, random(1000))
	u, err := s.NewUpload(t.Context(), newKey(), nil)
	check(t, err)
	c := u.(blob.PartCopier)
	check(t, c.CopyPart(t.Context(), 1, key, 0, 500))
	_, err = server.Client().PutObject(t.Context(), &s3.PutObjectInput{Bucket: &cfg.Bucket, Key: s.object(key), Body: bytes.NewReader(random(1000))})
	check(t, err)
	wantCorrupt(t, "CopyPart", c.CopyPart(t.Context(), 1, key, 500, 500), "replaced by another program")
}

// copied makes a blob of all parts of another one, and a tail.
func copied(t *testing.T, s *Store, from blob.Key, size int64) blob.Key {
	t.Helper()
	key := newKey()
	u, err := s.NewUpload(t.Context(), key, nil)
	check(t, err)
	n := 0
	for off := int64(0); off < size; off += u.PartSize() {
		n++
		check(t, u.(blob.PartCopier).CopyPart(t.Context(), n, from, off, u.PartSize()))
	}
	check(t, u.PutPart(t.Context(), n+1, []byte("tail")))
	check(t, u.Complete(t.Context(), n+1, size+4))
	return key
}

// spoil changes a byte of an object on the server, which keeps all that it knows of it.
func spoil(t *testing.T, s *Store, key blob.Key, off int64) {
	t.Helper()
	f, err := os.OpenFile(server.Object(s.cfg.Bucket, *s.object(key)), os.O_RDWR, 0)
	check(t, err)
	var b [1]byte
	_, err = f.ReadAt(b[:], off)
	check(t, err)
	b[0] ^= 0x10
	_, err = f.WriteAt(b[:], off)
	check(t, errors.Join(err, f.Close()))
}

// TestSpoiledParts finds a byte that changed on the server in blobs that are made of parts, by the checksum that the server
// has of the whole: the parts' joined, or its own of parts that it copied.
func TestSpoiledParts(t *testing.T) {
	t.Parallel()
	s, _, _ := proxied(t, nil)
	data := random(10 << 20)
	sent := put(t, s, data)
	for what, tt := range map[string]struct {
		key  blob.Key
		name string
		want []byte
	}{
		"sent":         {put(t, s, data[:7<<20]), "CRC-32C", data[:7<<20]},
		"copied":       {copied(t, s, sent, 10<<20), "CRC-64/NVME", append(bytes.Clone(data), "tail"...)},
		"copied again": {copied(t, s, copied(t, s, sent, 10<<20), 10<<20), "CRC-64/NVME", append(bytes.Clone(data), "tail"...)},
	} {
		expect(t, s, tt.key, tt.want)
		spoil(t, s, tt.key, 6<<20)
		_, err := read(s, tt.key)
		wantCorrupt(t, what, err, tt.key.String(), tt.name)
	}
}

// TestCompositeChecksums is a server that has only checksums of parts, and what earlier versions wrote on any: blobs are
// written and read, and what changed is found all the same.
func TestCompositeChecksums(t *testing.T) {
	t.Parallel()
	proxy := s3test.NewProxy(t, server)
	cfg := config(t, proxy)
	proxy.Inject(s3test.Fault{Times: -1, Header: "X-Amz-Checksum-Type", Ignore: true})
	s := open(t, cfg)
	if c := s.Capabilities(); !c.Checksums || c.ObjectChecksums {
		t.Errorf("%+v", c)
	}
	proxy.Forget()
	data := random(12 << 20)
	key, even := put(t, s, data), put(t, s, data[:10<<20])
	for _, r := range proxy.Requests() {
		if r.Op == "UploadPart" && r.Header.Get("X-Amz-Checksum-Crc32c") == "" {
			t.Error("a part was sent without a checksum")
		}
	}
	expect(t, s, key, data)
	proxy.Heal()
	s = open(t, cfg)
	expect(t, s, key, data)
	expect(t, s, even, data[:10<<20])
	spoil(t, s, key, 11<<20)
	_, err := read(s, key)
	wantCorrupt(t, "read", err, "parts' CRC-32Cs")
	spoil(t, s, even, 4000)
	_, err = read(s, even)
	wantCorrupt(t, "read", err, "parts' CRC-32Cs")
}

func TestJoinCRC(t *testing.T) {
	for range 100 {
		data := random(rand.IntN(5000))
		cut := rand.IntN(len(data) + 1)
		first, last := crc32.Checksum(data[:cut], castagnoli), crc32.Checksum(data[cut:], castagnoli)
		if got, want := joinCRC(first, last, int64(len(data)-cut)), crc32.Checksum(data, castagnoli); got != want {
			t.Fatalf("%d and %d bytes: %08x, want %08x", cut, len(data)-cut, got, want)
		}
	}
}
