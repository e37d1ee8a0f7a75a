package pg

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// minVersion is the oldest server that is supported, as server_version_num has it.
const minVersion = 150000

// explainConnect says in one line why there is no connection and what to do about it. Where several hosts were tried,
// it is about what says most.
func explainConnect(cc *pgx.ConnConfig, err error) error {
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		return explainRefusal(cc, pe)
	}
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var host x509.HostnameError
	var record tls.RecordHeaderError
	var dns *net.DNSError
	const tlsFix = "check sslmode and sslrootcert in postgres.url"
	switch {
	case errors.As(err, &unknown), errors.As(err, &invalid), errors.As(err, &host):
		return fmt.Errorf("the server's certificate is not trusted: %w; %s", lastOf(err), tlsFix)
	case errors.As(err, &record):
		return fmt.Errorf("the server doesn't speak TLS: %s", tlsFix)
	case errors.As(err, &dns):
		return fmt.Errorf("the host %q is unknown: check postgres.url", dns.Name)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("connection refused: start the server, or check host and port in postgres.url")
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("there is no such socket: start the server, or check host and port in postgres.url")
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("the socket may not be used by this user: check its permissions")
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return fmt.Errorf("no answer within postgres.pool.connection-timeout, %v: check host and port in postgres.url, and firewalls",
			cc.ConnectTimeout)
	case errors.Is(err, context.Canceled):
		return err
	case wantsTLS(cc):
		return fmt.Errorf("no connection with TLS: %w; if the server has none, %s", lastOf(err), tlsFix)
	case cc.ValidateConnect != nil:
		return fmt.Errorf("no server is what target_session_attrs asks for: %w; check postgres.url, and which server is the primary",
			lastOf(err))
	}
	return fmt.Errorf("no connection: %w; check postgres.url", lastOf(err))
}

// explainRefusal is about a server that answered, and refused.
func explainRefusal(cc *pgx.ConnConfig, pe *pgconn.PgError) error {
	switch pe.Code {
	case codeInvalidPassword:
		if cc.Password == "" {
			return fmt.Errorf("the server wants a password for the role %q: set postgres.password (GRAVITON_PG_PASSWORD) or ~/.pgpass", cc.User)
		}
		return fmt.Errorf("wrong password for the role %q: check postgres.username and postgres.password", cc.User)
	case codeInvalidAuth:
		if !wantsTLS(cc) {
			return fmt.Errorf("the server doesn't let the role %q in: %s; if it asks for TLS (no encryption), add sslmode=require "+
				"to postgres.url, otherwise check pg_hba.conf and that the role exists", cc.User, pe.Message)
		}
		return fmt.Errorf("the server doesn't let the role %q in: %s; check pg_hba.conf and that the role exists", cc.User, pe.Message)
	case codeNoDatabase:
		return fmt.Errorf("there is no database %q: run createdb -O %s %s, or check postgres.url", cc.Database, cc.User, cc.Database)
	case codeNoPrivilege:
		return fmt.Errorf("the role %q may not connect: run as the database's owner: GRANT CONNECT ON DATABASE %s TO %s", cc.User,
			pgx.Identifier{cc.Database}.Sanitize(), pgx.Identifier{cc.User}.Sanitize())
	case codeTooMany:
		return noConnection(pe)
	case codeProtocol:
		return fmt.Errorf("the server refuses the session's parameters: %s; a pooler such as PgBouncer can't be used: give postgres.url "+
			"the server itself", pe.Message)
	case codeNoObject, "22023":
		return fmt.Errorf("the server refuses a parameter in postgres.url: %s", pe.Message)
	case "57P03":
		return fmt.Errorf("the server is starting up or shutting down: %s; try again in a moment", pe.Message)
	}
	return fmt.Errorf("the server refuses the connection: %w", pe)
}

func noConnection(pe *pgconn.PgError) error {
	return fmt.Errorf("the server has no connection left: %s; raise its max_connections, or lower postgres.pool.max-size", pe.Message)
}

// lastOf is the error of the last attempt to connect, in one line and without the parameters of the connection.
func lastOf(err error) error {
	for {
		var next error
		switch e := err.(type) {
		case *pgconn.ConnectError:
			next = e.Unwrap()
		case interface{ Unwrap() []error }:
			if all := e.Unwrap(); len(all) > 0 {
				next = all[len(all)-1]
			}
		}
		if next == nil {
			return err
		}
		err = next
	}
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// wantsTLS reports that no attempt is made without TLS.
func wantsTLS(cc *pgx.ConnConfig) bool {
	if cc.TLSConfig == nil {
		return false
	}
	for _, f := range cc.Fallbacks {
		if f.TLSConfig == nil {
			return false
		}
	}
	return true
}

// checkServer refuses a server that is too old, and a pooler that leaves the session's parameters out.
func checkServer(ctx context.Context, conn *pgx.Conn) error {
	var number int
	var version, path string
	err := conn.QueryRow(ctx, `SELECT current_setting('server_version_num')::INT, current_setting('server_version'),
		current_setting('search_path')`).Scan(&number, &version, &path)
	if err != nil {
		return err
	}
	if want := conn.Config().RuntimeParams["search_path"]; path != want {
		return fmt.Errorf("the session's search_path is %s instead of %s: give postgres.url the server itself, and not a pooler "+
			"that ignores startup parameters", path, want)
	}
	return checkVersion(number, version)
}

func checkVersion(number int, version string) error {
	if number < minVersion {
		return fmt.Errorf("the server is PostgreSQL %s: version %d or newer is needed", version, minVersion/10000)
	}
	return nil
}

// checkPooler refuses a pooler that gives each transaction another session of the server: prepared statements, session
// locks and LISTEN would be lost between two. Such a pooler has a process number of its own, so a server without one is
// known at once. pooled says that there is one that isn't refused.
func checkPooler(ctx context.Context, conn *pgx.Conn, cc *pgx.ConnConfig) (pooled bool, err error) {
	var after uint32
	before, err := askPID(ctx, conn)
	if err != nil || before == conn.PgConn().PID() {
		return false, err
	}
	// While another client's transaction holds the session that served us, we get a different one.
	other, err := pgx.ConnectConfig(ctx, cc)
	if err != nil {
		return false, explainConnect(cc, err)
	}
	defer other.Close(context.WithoutCancel(ctx))
	if _, err := other.Exec(ctx, "BEGIN", pgx.QueryExecModeSimpleProtocol); err == nil {
		if after, err = askPID(ctx, conn); err != nil {
			return false, err
		}
	}
	if before != after {
		return false, fmt.Errorf("there is a pooler in transaction or statement mode (such as PgBouncer) in between, which changes the session " +
			"from one transaction to the next: give postgres.url the server itself")
	}
	return true, nil
}

// serverPID is where a connection through a pooler keeps the number of the server's process.
const serverPID = "server PID"

// keepPID is for the pool of a database behind a pooler.
func keepPID(ctx context.Context, conn *pgx.Conn) error {
	pid, err := askPID(ctx, conn)
	conn.PgConn().CustomData()[serverPID] = pid
	return err
}

func askPID(ctx context.Context, conn *pgx.Conn) (pid uint32, err error) {
	err = conn.QueryRow(ctx, "SELECT pg_backend_pid()", pgx.QueryExecModeSimpleProtocol).Scan(&pid)
	return pid, err
}
