package s3test

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Proxy stands between a client and a server. It records every request, and does to some of them what Inject asked
// for. All methods may be called while requests run.
type Proxy struct {
	server   *Server
	upstream string
	front    *httptest.Server
	back     *http.Transport
	closing  chan struct{}

	mu        sync.Mutex
	requests  []Request
	faults    []*Fault
	latency   time.Duration
	bandwidth int64
	down      bool
	running   int
	parallel  int
}

// NewProxy runs a proxy before a server; it ends with the test.
func NewProxy(tb testing.TB, s *Server) *Proxy { return newProxy(tb, s, (*httptest.Server).Start) }

// NewTLSProxy is NewProxy with a self-signed certificate.
func NewTLSProxy(tb testing.TB, s *Server) *Proxy {
	return newProxy(tb, s, (*httptest.Server).StartTLS)
}

func newProxy(tb testing.TB, s *Server, start func(*httptest.Server)) *Proxy {
	tb.Helper()
	p := &Proxy{
		server: s, upstream: s.Addr(),
		back:    &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64},
		closing: make(chan struct{}),
	}
	p.front = httptest.NewUnstartedServer(p)
	p.front.Config.ErrorLog = log.New(io.Discard, "", 0)
	p.front.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		p.mu.Lock()
		defer p.mu.Unlock()
		if tcp, ok := c.(*net.TCPConn); ok && p.bandwidth > 0 {
			_ = tcp.SetReadBuffer(narrow) // a wish
		}
		return ctx
	}
	start(p.front)
	tb.Cleanup(func() {
		close(p.closing)
		p.front.CloseClientConnections()
		p.front.Close()
		p.back.CloseIdleConnections()
	})
	return p
}

// Endpoint is the proxy's URL, for clients.
func (p *Proxy) Endpoint() string { return p.front.URL }

// Certificate is the proxy's own certificate, if it has one.
func (p *Proxy) Certificate() *tls.Config { return p.front.TLS }

// Inject adds faults. A request is hit by the first that fits.
func (p *Proxy) Inject(faults ...Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range faults {
		p.faults = append(p.faults, &f)
	}
}

// Heal drops all faults.
func (p *Proxy) Heal() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = nil
}

// SetLatency adds a delay to every request.
func (p *Proxy) SetLatency(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.latency = d
}

// narrow is the receive buffer of a connection with a bandwidth, so that the client sees it at once.
const narrow = 64 << 10

// SetBandwidth bounds each request on a new connection, in bytes a second and each way; 0 is no bound.
func (p *Proxy) SetBandwidth(n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bandwidth = n
}

// SetDown makes the proxy reset every connection, as a server that is gone.
func (p *Proxy) SetDown(down bool) {
	p.mu.Lock()
	p.down = down
	p.mu.Unlock()
	if down {
		p.front.CloseClientConnections()
	}
}

// Requests returns what came since the last Forget, in order of arrival.
func (p *Proxy) Requests() []Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.requests)
}

// Count tells how many requests of these operations came; of all with none named.
func (p *Proxy) Count(ops ...string) (n int) {
	for _, r := range p.Requests() {
		if len(ops) == 0 || slices.Contains(ops, r.Op) {
			n++
		}
	}
	return n
}

// Parallel is the most requests that ran at a time since the last Forget.
func (p *Proxy) Parallel() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.parallel
}

// Forget empties the record.
func (p *Proxy) Forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests, p.parallel = nil, p.running
}

// arrive records a request and picks its fault.
func (p *Proxy) arrive(r *http.Request) (i int, f Fault, down bool) {
	op := operation(r)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests = append(p.requests, Request{
		Op: op, Method: r.Method, Path: r.URL.Path, Query: r.URL.RawQuery, Header: r.Header.Clone(), Sent: r.ContentLength,
	})
	p.running++
	p.parallel = max(p.parallel, p.running)
	f.Delay = p.latency
	for _, fault := range p.faults {
		if fault.hits(op, r.Header) {
			f = *fault
			f.Delay += p.latency
			break
		}
	}
	return len(p.requests) - 1, f, p.down
}

func (p *Proxy) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.running--
}

func (p *Proxy) answered(i, status int, got int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i < len(p.requests) { // else forgotten meanwhile
		p.requests[i].Status, p.requests[i].Got = status, got
	}
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i, f, down := p.arrive(r)
	defer p.leave()
	if down {
		reset(w)
		return
	}
	if f.Delay > 0 {
		select {
		case <-time.After(f.Delay):
		case <-p.closing:
		}
	}
	switch {
	case f.Stall:
		select {
		case <-r.Context().Done():
		case <-p.closing:
		}
		reset(w)
	case f.ResetRequest > 0:
		_, _ = io.CopyN(io.Discard, r.Body, f.ResetRequest) // whatever of it comes
		reset(w)
	case f.Code != "" || f.Body != "":
		_, _ = io.Copy(io.Discard, r.Body) // the client may be gone already
		status := f.Status
		if f.ErrorInBody {
			status = http.StatusOK
		}
		p.answered(i, status, 0)
		w.Header().Set("Content-Type", "application/xml")
		w.WriteHeader(status)
		body := f.Body
		if body == "" {
			body = document(f.Code)
		}
		p.writeBody(w, body, f.Endless)
	default:
		p.forward(w, r, i, f)
	}
}

// writeBody sends an answer's body; the client may be gone already.
func (p *Proxy) writeBody(w io.Writer, body string, endless bool) {
	for {
		if _, err := io.WriteString(w, body); err != nil || !endless {
			return
		}
		select {
		case <-p.closing:
			return
		default:
		}
	}
}

func (p *Proxy) forward(w http.ResponseWriter, r *http.Request, i int, f Fault) {
	p.mu.Lock()
	bandwidth := p.bandwidth
	p.mu.Unlock()
	out := r.Clone(r.Context())
	out.URL.Scheme, out.URL.Host, out.RequestURI = "http", p.upstream, ""
	out.Body = struct {
		io.Reader
		io.Closer
	}{&throttle{r: &flipper{r: r.Body, on: f.FlipRequest}, rate: bandwidth}, r.Body}
	if r.ContentLength == 0 {
		out.Body = nil
	}
	out.Header.Del("Expect") // the client has been told to continue by our reading
	if f.Ignore {
		out.Header.Del(f.Header)
		if err := p.server.sign(out); err != nil {
			reset(w)
			return
		}
	}
	resp, err := p.back.RoundTrip(out)
	if err != nil {
		reset(w)
		return
	}
	defer resp.Body.Close()
	if f.LoseAnswer {
		_, _ = io.Copy(io.Discard, resp.Body)
		reset(w)
		return
	}
	if f.ETag != "" {
		resp.Header.Set("Etag", f.ETag)
	}
	if f.CutAnswer > 0 {
		p.answered(i, resp.StatusCode, f.CutAnswer)
		cut(w, resp, f)
		return
	}
	for name, values := range resp.Header {
		w.Header()[name] = values
	}
	if resp.ContentLength >= 0 {
		w.Header().Set("Content-Length", strconv.FormatInt(resp.ContentLength, 10))
	}
	w.WriteHeader(resp.StatusCode)
	n, err := io.Copy(w, &throttle{r: &flipper{r: resp.Body, on: f.FlipAnswer}, rate: bandwidth})
	p.answered(i, resp.StatusCode, n)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
}
