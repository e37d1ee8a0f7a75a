package pgtest

import (
	"bytes"
	"sync"
)

// lostCommit is a commit whose answer is to be lost.
type lostCommit struct {
	mu   sync.Mutex
	name []byte // nil if none is
	lost int
}

// LoseCommit has the next transaction that writes, and names the given text in what is sent with its commit, done and
// its connection cut instead of passing the answer back.
func (p *Proxy) LoseCommit(name string) {
	p.commit.mu.Lock()
	defer p.commit.mu.Unlock()
	p.commit.name = []byte(name)
}

// LostCommits counts the commits whose answers LoseCommit has lost.
func (p *Proxy) LostCommits() int {
	p.commit.mu.Lock()
	defer p.commit.mu.Unlock()
	return p.commit.lost
}

// isNamed says whether a client's bytes hold the text.
func (l *lostCommit) isNamed(piece []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.name != nil && bytes.Contains(piece, l.name)
}

var (
	inserted = []byte("INSERT 0 1\x00")           // the tag of an INSERT, with which every transaction that writes begins
	idle     = []byte{'Z', 0, 0, 0, 5, byte('I')} // ReadyForQuery, outside of a transaction: it is committed
)

// takes says whether an answer is the one to be lost, and remembers that it was.
func (l *lostCommit) takes(piece []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.name == nil || !bytes.Contains(piece, inserted) || !bytes.HasSuffix(piece, idle) {
		return false
	}
	l.name = nil
	l.lost++
	return true
}
