package s3test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"time"
)

// cut sends a part of the answer and closes the connection.
func cut(w http.ResponseWriter, resp *http.Response, f Fault) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	head, err := httputil.DumpResponse(resp, false)
	if err == nil {
		_, err = conn.Write(head)
	}
	if err == nil {
		_, err = io.CopyN(conn, resp.Body, f.CutAnswer)
	}
	if tcp, ok := conn.(*net.TCPConn); ok && f.Reset {
		// Let what was sent arrive: a reset may overtake it.
		time.Sleep(20 * time.Millisecond)
		_ = tcp.SetLinger(0)
	}
	if cerr := conn.Close(); cerr != nil && !errors.Is(cerr, net.ErrClosed) && err == nil {
		panic(cerr)
	}
}

// reset closes the request's connection with a reset.
func reset(w http.ResponseWriter) {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close() // nothing is left to tell
}

// flipper spoils the first byte that it passes on.
type flipper struct {
	r  io.Reader
	on bool
}

func (f *flipper) Read(b []byte) (int, error) {
	n, err := f.r.Read(b)
	if f.on && n > 0 {
		b[0] ^= 0x01
		f.on = false
	}
	return n, err
}

// throttle passes on rate bytes a second, or all at once for 0.
type throttle struct {
	r    io.Reader
	rate int64
}

func (t *throttle) Read(b []byte) (int, error) {
	if t.rate <= 0 {
		return t.r.Read(b)
	}
	n, err := t.r.Read(b[:min(len(b), 64<<10)])
	time.Sleep(time.Duration(int64(n) * int64(time.Second) / t.rate))
	return n, err
}
