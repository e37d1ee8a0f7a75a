package pgtest

import (
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

// Proxy stands between a client and the server, counts round trips and loses answers.
type Proxy struct {
	listener net.Listener
	target   string
	trips    atomic.Int64
	conns    atomic.Int64
	lose     atomic.Bool

	mu   sync.Mutex
	open map[net.Conn]struct{}
	bg   sync.WaitGroup
}

// NewProxy begins to listen in front of the server; it ends with the test.
func (s *Server) NewProxy(t testing.TB) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{listener: l, target: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)), open: map[net.Conn]struct{}{}}
	p.bg.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.CutAll()
		p.bg.Wait()
	})
	return p
}

// Port is where the proxy listens.
func (p *Proxy) Port() int { return p.listener.Addr().(*net.TCPAddr).Port }

// Trips counts how often a client sent something after the server had answered: the round trips of all connections.
func (p *Proxy) Trips() int64 { return p.trips.Load() }

// Conns counts the connections that were made.
func (p *Proxy) Conns() int64 { return p.conns.Load() }

// LoseAnswer passes on what a client sends next and cuts its connection instead of passing the answer back.
func (p *Proxy) LoseAnswer() { p.lose.Store(true) }

// CutAll cuts all connections.
func (p *Proxy) CutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		_ = c.Close()
	}
}

func (p *Proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.conns.Add(1)
		p.serve(client, server)
	}
}

func (p *Proxy) serve(client, server net.Conn) {
	p.mu.Lock()
	p.open[client], p.open[server] = struct{}{}, struct{}{}
	p.mu.Unlock()
	end := func() {
		_ = client.Close()
		_ = server.Close()
		p.mu.Lock()
		delete(p.open, client)
		delete(p.open, server)
		p.mu.Unlock()
	}
	var asked, losing atomic.Bool
	p.bg.Go(func() {
		defer end()
		pass(server, client, func() bool {
			if !asked.Swap(true) {
				p.trips.Add(1)
			}
			if p.lose.CompareAndSwap(true, false) {
				losing.Store(true)
			}
			return true
		})
	})
	p.bg.Go(func() {
		defer end()
		pass(client, server, func() bool {
			asked.Store(false)
			return !losing.Load()
		})
	})
}

// pass copies as long as ok says so of each piece.
func pass(dst io.Writer, src io.Reader, ok func() bool) {
	buf := make([]byte, 64<<10)
	for {
		n, err := src.Read(buf)
		if n > 0 {
			if !ok() {
				return
			}
			if _, werr := dst.Write(buf[:n]); werr != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
