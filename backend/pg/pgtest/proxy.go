package pgtest

import (
	"bytes"
	"io"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
)

// Proxy is the network between a client and the server: it counts round trips, loses answers, and can be cut, slow or a
// black hole. Its methods may be called concurrently.
type Proxy struct {
	listener net.Listener
	target   string
	trips    atomic.Int64
	news     atomic.Int64
	prepares atomic.Int64
	conns    atomic.Int64
	lose     atomic.Bool
	commit   lostCommit
	link     link

	mu   sync.Mutex
	open map[*tunnel]struct{}
	bg   sync.WaitGroup
}

// tunnel is one connection through the proxy.
type tunnel struct {
	client, server net.Conn
	gone           chan struct{} // closed with it
	once           sync.Once
}

func (t *tunnel) close() {
	t.once.Do(func() {
		close(t.gone)
		_ = t.client.Close()
		_ = t.server.Close()
	})
}

// NewProxy begins to listen in front of the server; it ends with the test.
func (s *Server) NewProxy(t testing.TB) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{listener: l, target: net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)), open: map[*tunnel]struct{}{}}
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

// News counts the round trips by which daemons notify each other of commits and look at those of others, and pings of pooled
// connections that were idle for a second, which the notifications use: nobody waits for them, and they fall into the time of any
// operation. They are among Trips.
func (p *Proxy) News() int64 { return p.news.Load() }

// Prepares counts the round trips that prepare statements, which each connection does once for each. They are among Trips.
func (p *Proxy) Prepares() int64 { return p.prepares.Load() }

// Conns counts the connections that were made.
func (p *Proxy) Conns() int64 { return p.conns.Load() }

// LoseAnswer passes on what a client sends next and cuts its connection instead of passing the answer back.
func (p *Proxy) LoseAnswer() { p.lose.Store(true) }

// CutAll cuts all connections, at both ends.
func (p *Proxy) CutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for t := range p.open {
		t.close()
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
	t := &tunnel{client: client, server: server, gone: make(chan struct{})}
	p.mu.Lock()
	p.open[t] = struct{}{}
	p.mu.Unlock()
	end := func() {
		t.close()
		p.mu.Lock()
		delete(p.open, t)
		p.mu.Unlock()
	}
	var asked, losing, named atomic.Bool
	watches := false
	p.bg.Go(func() {
		defer end()
		p.pass(t, server, client, func(piece []byte) bool {
			if !asked.Swap(true) {
				watches = watches || bytes.Contains(piece, []byte("LISTEN "))
				p.count(piece, watches)
				named.Store(false)
			}
			if p.lose.CompareAndSwap(true, false) {
				losing.Store(true)
			}
			p.link.rewrite(piece)
			if p.commit.isNamed(piece) {
				named.Store(true)
			}
			return true
		})
	})
	p.bg.Go(func() {
		defer end()
		p.pass(t, client, server, func(piece []byte) bool {
			asked.Store(false)
			return !losing.Load() && (!named.Load() || !p.commit.takes(piece))
		})
	})
}

// count counts a round trip by the first bytes of it; watches says that the connection is one that waits for notifications.
func (p *Proxy) count(piece []byte, watches bool) {
	p.trips.Add(1)
	has := func(text string) bool { return bytes.Contains(piece, []byte(text)) }
	switch {
	case watches || has("pg_notify") || has("graviton_public") || has("-- ping"): // the channel is an argument of what was prepared
		p.news.Add(1)
	case len(piece) > 5 && piece[0] == 'P' && bytes.HasPrefix(piece[5:], []byte("stmtcache_")):
		p.prepares.Add(1) // a Parse message with a name: see PostgreSQL's protocol
	}
}

// pass copies as long as ok says so of each piece. What the link holds back is a connection's end, too: the other side
// doesn't learn of it.
func (p *Proxy) pass(t *tunnel, dst io.Writer, src io.Reader, ok func(piece []byte) bool) {
	buf := make([]byte, 64<<10)
	for {
		n, err := src.Read(buf)
		if !p.link.carry(n, t.gone) {
			return
		}
		if n > 0 {
			if !ok(buf[:n]) {
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
