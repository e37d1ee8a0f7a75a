package pgtest

import (
	"bytes"
	"strings"
	"sync"
	"time"
)

// link is how a proxy's bytes travel.
type link struct {
	mu    sync.Mutex
	held  chan struct{} // closed when bytes pass again; nil while they do
	delay time.Duration // of each piece
	rate  int           // bytes a second, in each direction of each connection; 0 for any
	texts [][2][]byte   // what is replaced in what clients send, each by something as long
}

// Hold makes the network a black hole until Release: no byte passes in either direction, connections stay as they are,
// and neither side learns that the other closed one.
func (p *Proxy) Hold() {
	p.link.mu.Lock()
	defer p.link.mu.Unlock()
	if p.link.held == nil {
		p.link.held = make(chan struct{})
	}
}

// Release ends Hold. What was sent meanwhile arrives.
func (p *Proxy) Release() {
	p.link.mu.Lock()
	defer p.link.mu.Unlock()
	if p.link.held != nil {
		close(p.link.held)
		p.link.held = nil
	}
}

// Slow has every piece of up to 64 KiB wait for a time, and limits the bytes a second of each connection and direction;
// 0 lifts either.
func (p *Proxy) Slow(delay time.Duration, rate int) {
	p.link.mu.Lock()
	defer p.link.mu.Unlock()
	p.link.delay, p.link.rate = delay, rate
}

// carry waits as long as n bytes travel. It returns false if their connection is gone before they arrive.
func (l *link) carry(n int, gone <-chan struct{}) bool {
	l.mu.Lock()
	wait := l.delay
	if l.rate > 0 {
		wait += time.Duration(n) * time.Second / time.Duration(l.rate)
	}
	l.mu.Unlock()
	if wait > 0 {
		select {
		case <-gone:
			return false
		case <-time.After(wait):
		}
	}
	for {
		l.mu.Lock()
		held := l.held
		l.mu.Unlock()
		if held == nil {
			return true
		}
		select {
		case <-gone:
			return false
		case <-held:
		}
	}
}

// Rewrite replaces a text in what clients send from now on by one that isn't longer.
func (p *Proxy) Rewrite(from, to string) {
	p.link.mu.Lock()
	defer p.link.mu.Unlock()
	to += strings.Repeat(" ", len(from)-len(to))
	p.link.texts = append(p.link.texts, [2][]byte{[]byte(from), []byte(to)})
}

func (l *link) rewrite(piece []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.texts {
		copy(piece, bytes.ReplaceAll(piece, t[0], t[1]))
	}
}
