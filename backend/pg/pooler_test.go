package pg

import (
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/graviton-fs/graviton/backend/pg/pgtest"
)

// pooler speaks as PgBouncer does: it lets any client in under a process number of its own, and takes a session of the
// server for each transaction, or for each client.
type pooler struct {
	t        *testing.T
	listener net.Listener
	session  bool // mode; transaction mode if not
	bg       sync.WaitGroup

	mu    sync.Mutex
	url   string
	spare []*pgconn.PgConn // sessions of the server, the last used one last
}

func newPooler(t *testing.T, url string, session bool) *pooler {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	p := &pooler{t: t, listener: l, url: url, session: session}
	p.bg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p.bg.Go(func() { p.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.bg.Wait()
		for _, s := range p.spare {
			check(t, s.Close(ctx))
		}
	})
	return p
}

func (p *pooler) take() *pgconn.PgConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.spare); n > 0 {
		s := p.spare[n-1]
		p.spare = p.spare[:n-1]
		return s
	}
	s, err := pgconn.Connect(ctx, p.url)
	if err != nil {
		p.t.Error(err)
		return nil
	}
	return s
}

func (p *pooler) give(s *pgconn.PgConn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spare = append(p.spare, s)
}

// serve answers one client's simple queries.
func (p *pooler) serve(conn net.Conn) {
	defer conn.Close()
	b := pgproto3.NewBackend(conn, conn)
	for {
		m, err := b.ReceiveStartupMessage()
		if err != nil {
			return
		}
		if _, ok := m.(*pgproto3.StartupMessage); ok {
			break
		}
		if _, err := conn.Write([]byte("N")); err != nil { // no TLS
			return
		}
	}
	b.Send(&pgproto3.AuthenticationOk{})
	b.Send(&pgproto3.ParameterStatus{Name: "standard_conforming_strings", Value: "on"})
	b.Send(&pgproto3.ParameterStatus{Name: "client_encoding", Value: "UTF8"})
	b.Send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{0, 0, 0, 1}})
	b.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	if b.Flush() != nil {
		return
	}
	var s *pgconn.PgConn
	defer func() {
		if s != nil {
			if s.TxStatus() != 'I' {
				_, _ = s.Exec(ctx, "ROLLBACK").ReadAll()
			}
			p.give(s)
		}
	}()
	for {
		m, err := b.Receive()
		q, ok := m.(*pgproto3.Query)
		if err != nil || !ok {
			return // a prepared statement: only reached by a client that wasn't refused
		}
		if s == nil {
			if s = p.take(); s == nil {
				return
			}
		}
		p.answer(b, s, q.String)
		if s.TxStatus() == 'I' && !p.session {
			p.give(s)
			s = nil
		}
		if b.Flush() != nil {
			return
		}
	}
}

func (p *pooler) answer(b *pgproto3.Backend, s *pgconn.PgConn, sql string) {
	results, err := s.Exec(ctx, sql).ReadAll()
	if err != nil {
		b.Send(&pgproto3.ErrorResponse{Severity: "ERROR", Code: codeOf(err), Message: err.Error()})
	}
	for _, r := range results {
		if len(r.FieldDescriptions) > 0 {
			var d pgproto3.RowDescription
			for _, f := range r.FieldDescriptions {
				d.Fields = append(d.Fields, pgproto3.FieldDescription{Name: []byte(f.Name), DataTypeOID: f.DataTypeOID,
					DataTypeSize: f.DataTypeSize, TypeModifier: f.TypeModifier, Format: f.Format})
			}
			b.Send(&d)
		}
		for _, row := range r.Rows {
			b.Send(&pgproto3.DataRow{Values: row})
		}
		b.Send(&pgproto3.CommandComplete{CommandTag: []byte(r.CommandTag.String())})
	}
	b.Send(&pgproto3.ReadyForQuery{TxStatus: s.TxStatus()})
}

func TestPoolerInTransactionMode(t *testing.T) {
	d := pgtest.Shared(t).Database(t)
	p := newPooler(t, d.URL(), false)
	refused(t, Config{URL: d.At(p.listener.Addr().(*net.TCPAddr).Port)}, "transaction or statement mode", "PgBouncer", "the server itself")
}

// TestPoolerInSessionMode reaches what comes after the check: this pooler knows no prepared statements.
func TestPoolerInSessionMode(t *testing.T) {
	d := pgtest.Shared(t).Database(t)
	p := newPooler(t, d.URL(), true)
	_, err := Open(ctx, Config{URL: d.At(p.listener.Addr().(*net.TCPAddr).Port)})
	if err == nil || strings.Contains(err.Error(), "mode") {
		t.Errorf("error is %v, want one of a statement", err)
	}
}
