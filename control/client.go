package control

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/fs/volume"
)

// Client is an Admin of the volume that a daemon has open.
type Client struct {
	http *http.Client
}

var _ Admin = (*Client)(nil)

// dial connects to a socket that the effective user or root listens at.
func dial(socket string) (net.Conn, error) {
	conn, err := net.DialTimeout("unix", socket, 2*time.Second)
	if err != nil {
		return nil, err
	}
	if err := checkPeer(conn); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", socket, err), conn.Close())
	}
	return conn, nil
}

// NewClient talks to the daemon at a socket. It connects with the first call. A daemon of another user than the effective
// one and root is refused.
func NewClient(socket string) *Client {
	return &Client{http: &http.Client{Transport: &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) { return dial(socket) },
	}}}
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// remoteError is an error of the daemon. It is the sentinel that it was there, for errors.Is.
type remoteError struct {
	text string
	kind error
}

func (e *remoteError) Error() string { return e.text }
func (e *remoteError) Unwrap() error { return e.kind }

func (f failure) err() error { return &remoteError{f.Error, kinds[f.Kind]} }

// send makes a request and returns the answer's body if all is well.
func (c *Client) send(ctx context.Context, method, path string, query url.Values, body io.Reader) (io.ReadCloser, error) {
	res, err := c.get(ctx, method, path, query, body)
	if err != nil {
		return nil, err
	}
	return res.Body, nil
}

// get is send for who looks at the answer's trailer, too.
func (c *Client) get(ctx context.Context, method, path string, query url.Values, body io.Reader) (*http.Response, error) {
	u := url.URL{Scheme: "http", Host: "graviton", Path: path, RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("TE", "trailers")
	res, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("the daemon did not answer: %w", err)
	}
	if res.StatusCode == http.StatusOK {
		return res, nil
	}
	defer res.Body.Close()
	var f failure
	if err := json.NewDecoder(res.Body).Decode(&f); err != nil || f.Error == "" {
		return nil, fmt.Errorf("the daemon answered %s", res.Status)
	}
	return nil, f.err()
}

// copyTo makes a request whose answer is bytes, and copies them to w. After an error w has a part of them.
func (c *Client) copyTo(ctx context.Context, w io.Writer, path string, query url.Values) error {
	res, err := c.get(ctx, http.MethodGet, path, query, nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if _, err := io.Copy(w, res.Body); err != nil {
		return err
	}
	why := res.Trailer.Get(failed)
	if why == "" {
		return nil
	}
	var f failure
	if err := json.Unmarshal([]byte(why), &f); err != nil {
		return fmt.Errorf("the daemon's answer: %w", err)
	}
	return f.err()
}

// call makes a request whose answer is one JSON value.
func (c *Client) call(ctx context.Context, method, path string, query url.Values, body io.Reader, out any) error {
	res, err := c.send(ctx, method, path, query, body)
	if err != nil {
		return err
	}
	defer res.Close()
	return json.NewDecoder(res).Decode(out)
}

// receive reads a streamed answer.
func receive[T, S any](r io.Reader, fn func(T) error) (S, error) {
	in := json.NewDecoder(r)
	for {
		var l line[T, S]
		err := in.Decode(&l)
		switch {
		case errors.Is(err, io.EOF):
			return *new(S), fmt.Errorf("the daemon's answer broke off: %w", io.ErrUnexpectedEOF)
		case err != nil:
			return *new(S), fmt.Errorf("the daemon's answer: %w", err)
		case l.Fail != nil:
			return *new(S), l.Fail.err()
		case l.Sum != nil:
			return *l.Sum, nil
		case l.Item != nil:
			if err := fn(*l.Item); err != nil {
				return *new(S), err
			}
		}
	}
}

// Status asks what the daemon is doing.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	return s, c.call(ctx, http.MethodGet, "/v1/status", nil, nil, &s)
}

// Unmount asks the daemon to end its mount, and waits until it has.
func (c *Client) Unmount(ctx context.Context, lazy bool) (UnmountResult, error) {
	var r UnmountResult
	q := url.Values{"lazy": {strconv.FormatBool(lazy)}}
	return r, c.call(ctx, http.MethodPost, "/v1/unmount", q, nil, &r)
}

// StatPath implements Admin.
func (c *Client) StatPath(ctx context.Context, path string) (FileInfo, error) {
	var f FileInfo
	return f, c.call(ctx, http.MethodGet, "/v1/stat", url.Values{"path": {path}}, nil, &f)
}

// ListBlobs implements Admin.
func (c *Client) ListBlobs(ctx context.Context, prefix []byte, fn func(BlobInfo) error) error {
	q := url.Values{"prefix": {hex.EncodeToString(prefix)}}
	res, err := c.send(ctx, http.MethodGet, "/v1/blobs", q, nil)
	if err != nil {
		return err
	}
	defer res.Close()
	_, err = receive[BlobInfo, struct{}](res, fn)
	return err
}

func parsePrefix(s string) ([]byte, error) {
	p, err := hex.DecodeString(s)
	if err != nil {
		return nil, fmt.Errorf("%w: prefix %q is not hexadecimal", blob.ErrInvalid, s)
	}
	return p, nil
}

// StatBlob implements Admin.
func (c *Client) StatBlob(ctx context.Context, key blob.Key) (BlobInfo, error) {
	var b BlobInfo
	return b, c.call(ctx, http.MethodGet, "/v1/blobs/"+key.String()+"/info", nil, nil, &b)
}

// GetBlob implements Admin.
func (c *Client) GetBlob(ctx context.Context, key blob.Key, off, n int64, w io.Writer) error {
	q := url.Values{"off": {strconv.FormatInt(off, 10)}, "n": {strconv.FormatInt(n, 10)}}
	return c.copyTo(ctx, w, "/v1/blobs/"+key.String(), q)
}

// Dump implements Admin.
func (c *Client) Dump(ctx context.Context, w io.Writer) error {
	return c.copyTo(ctx, w, "/v1/dump", nil)
}

// PutBlob implements Admin.
func (c *Client) PutBlob(ctx context.Context, key blob.Key, r io.Reader) (BlobInfo, error) {
	q := url.Values{}
	if key != "" {
		q.Set("key", key.String())
	}
	var b BlobInfo
	return b, c.call(ctx, http.MethodPost, "/v1/blobs", q, io.NopCloser(r), &b)
}

// RemoveBlob implements Admin.
func (c *Client) RemoveBlob(ctx context.Context, key blob.Key) error {
	var none struct{}
	return c.call(ctx, http.MethodDelete, "/v1/blobs/"+key.String(), nil, nil, &none)
}

// Collect implements Admin.
func (c *Client) Collect(ctx context.Context, grace time.Duration, full bool) (volume.Collected, error) {
	var sum volume.Collected
	q := url.Values{"grace": {grace.String()}, "full": {strconv.FormatBool(full)}}
	return sum, c.call(ctx, http.MethodPost, "/v1/gc", q, nil, &sum)
}

// Fsck implements Admin.
func (c *Client) Fsck(ctx context.Context, data bool, found func(volume.Finding)) (volume.Checked, error) {
	q := url.Values{"data": {strconv.FormatBool(data)}}
	res, err := c.send(ctx, http.MethodPost, "/v1/fsck", q, nil)
	if err != nil {
		return volume.Checked{}, err
	}
	defer res.Close()
	return receive[volume.Finding, volume.Checked](res, func(f volume.Finding) error { found(f); return nil })
}

// Compact implements Admin.
func (c *Client) Compact(ctx context.Context, path string, dryRun bool, step func(volume.CompactStep)) (volume.CompactedPath, error) {
	q := url.Values{"path": {path}, "dry-run": {strconv.FormatBool(dryRun)}}
	res, err := c.send(ctx, http.MethodPost, "/v1/compact", q, nil)
	if err != nil {
		return volume.CompactedPath{}, err
	}
	defer res.Close()
	return receive[volume.CompactStep, volume.CompactedPath](res, func(s volume.CompactStep) error { step(s); return nil })
}
