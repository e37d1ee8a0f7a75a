package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/fs/volume"
)

// idle is a daemon that does what it is asked at once, and checks what it is asked.
type idle struct{ t *testing.T }

func (i idle) StatPath(_ context.Context, path string) (FileInfo, error) {
	return FileInfo{Path: path}, nil
}
func (i idle) ListBlobs(_ context.Context, _ []byte, fn func(BlobInfo) error) error {
	return fn(BlobInfo{Key: "00"})
}

func (i idle) key(key blob.Key) error {
	if err := key.Validate(); err != nil {
		i.t.Errorf("asked for %s: %v", key, err)
	}
	return nil
}

func (i idle) StatBlob(_ context.Context, key blob.Key) (BlobInfo, error) {
	return BlobInfo{}, i.key(key)
}
func (i idle) GetBlob(_ context.Context, key blob.Key, _, _ int64, w io.Writer) error {
	_, err := io.WriteString(w, "part")
	return errors.Join(err, i.key(key), blob.ErrCorrupt)
}

func (i idle) PutBlob(_ context.Context, key blob.Key, r io.Reader) (BlobInfo, error) {
	_, err := io.Copy(io.Discard, r)
	if key != "" {
		err = errors.Join(err, i.key(key))
	}
	return BlobInfo{}, err
}
func (i idle) RemoveBlob(_ context.Context, key blob.Key) error { return i.key(key) }
func (i idle) Collect(context.Context, time.Duration, bool) (volume.Collected, error) {
	return volume.Collected{}, nil
}

func (i idle) Compact(_ context.Context, path string, _ bool, step func(volume.CompactStep)) (volume.CompactedPath, error) {
	step(volume.CompactStep{Path: path})
	return volume.CompactedPath{}, nil
}

func (i idle) Fsck(_ context.Context, _ bool, found func(volume.Finding)) (volume.Checked, error) {
	found(volume.Finding{})
	return volume.Checked{}, nil
}
func (i idle) Dump(_ context.Context, w io.Writer) error {
	_, err := io.WriteString(w, "dump")
	return err
}
func (i idle) Status(context.Context) (Status, error) { return Status{}, nil }
func (i idle) Unmount(context.Context, bool) UnmountResult {
	return UnmountResult{Done: true}
}

// FuzzRequest sends anything as a request to the socket: it is answered, in whole, or the connection is broken on purpose.
func FuzzRequest(f *testing.F) {
	for _, target := range []string{
		"/v1/ping", "/v1/status", "/v1/stat?path=/a/../b", "/v1/dump", "/v1/blobs?prefix=00", "/v1/blobs/00010000000000000000000000000001?off=0&n=-1",
		"/v1/blobs/zz/info", "//v1//x",
	} {
		f.Add("GET", target, "", []byte{})
	}
	f.Add("POST", "/v1/gc", "application/x-www-form-urlencoded", []byte("grace=1h&full=true"))
	f.Add("POST", "/v1/unmount?lazy=true", "", []byte{})
	f.Add("POST", "/v1/compact?path=x", "multipart/form-data; boundary=x", []byte("--x\r\n\r\n"))
	f.Add("POST", "/v1/fsck?data=%zz", "", []byte{})
	f.Add("POST", "/v1/blobs?key=0001", "", []byte("blob"))
	f.Add("DELETE", "/v1/blobs/00010000000000000000000000000001", "", []byte{})
	f.Fuzz(func(t *testing.T, method, target, kind string, body []byte) {
		r, err := http.NewRequestWithContext(t.Context(), method, "http://graviton"+target, bytes.NewReader(body))
		if err != nil {
			return
		}
		r.Header.Set("Content-Type", kind)
		s := &Server{admin: idle{t}, daemon: idle{t}, log: slog.New(slog.DiscardHandler), work: context.Background()}
		mux := http.NewServeMux()
		s.routes(mux, false)
		w := httptest.NewRecorder()
		defer func() {
			if v := recover(); v != nil && v != http.ErrAbortHandler {
				panic(v)
			}
		}()
		mux.ServeHTTP(w, r)
		if w.Code == http.StatusOK && w.Header().Get("Content-Type") == "application/json" && !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s %s is answered with %q", method, target, w.Body)
		}
	})
}

// FuzzReply reads anything as what a daemon answers.
func FuzzReply(f *testing.F) {
	f.Add([]byte(`{"item":{"code":"x"}}` + "\n" + `{"sum":{"inodes":5}}`))
	f.Add([]byte(`{"fail":{"error":"x","kind":"y"}}`))
	f.Add([]byte(`{"item":null}`))
	f.Add([]byte(``))
	f.Add([]byte(`{"path":"/","mtime":"@5.000000000","size":1e400}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		items := 0
		_, err := receive[volume.Finding, volume.Checked](bytes.NewReader(b), func(volume.Finding) error { items++; return nil })
		if items > len(b) || err == nil && len(b) == 0 {
			t.Errorf("%d items, %v", items, err)
		}
		var info FileInfo
		if json.Unmarshal(b, &info) == nil {
			if _, err := json.Marshal(info); err != nil {
				t.Errorf("%+v can't be written: %v", info, err)
			}
		}
		var rec Record
		_ = json.Unmarshal(b, &rec)
	})
}
