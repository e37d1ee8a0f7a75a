package pg

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"syscall"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/backend/namespace"
)

// kind is what an error of the server or of the way to it means to us.
type kind uint8

const (
	kindOther       kind = iota // anything not named below
	kindLost                    // the server can't be reached, or went away: it may come back
	kindFull                    // it has no connection left for another session; those there are stay
	kindUnavailable             // it is there and doesn't serve us
	kindConflict                // the transaction was rolled back for another's sake
	kindReadOnly
	kindNoSpace
	kindCorrupt
)

// SQLSTATEs that this package tells apart, see appendix A of PostgreSQL's manual.
const (
	codeUniqueViolation     = "23505"
	codeForeignKeyViolation = "23503"
	codeInvalidAuth         = "28000"
	codeInvalidPassword     = "28P01"
	codeNoDatabase          = "3D000"
	codeNoSchema            = "3F000"
	codeReadOnly            = "25006"
	codeNoPrivilege         = "42501"
	codeNoTable             = "42P01"
	codeNoObject            = "42704"
	codeDiskFull            = "53100"
	codeTooMany             = "53300"
	codeCancelled           = "57014"
	codeProtocol            = "08P01"
	codeOutOfRange          = "22003" // a stored number leads to one that is none of its type
)

var kindOfCode = map[string]kind{
	codeProtocol: kindOther,
	"57P01":      kindLost, "57P02": kindLost, "57P03": kindLost, "57P05": kindLost, // shutdown, crash, starting, idle
	"25P03":     kindLost, // idle in transaction
	codeTooMany: kindFull, "53400": kindLost, "53200": kindLost, "53000": kindLost,
	"40001": kindConflict, "40P01": kindConflict, "55P03": kindConflict,
	"40003":        kindLost, // a commit of which nobody knows
	codeReadOnly:   kindReadOnly,
	codeDiskFull:   kindNoSpace,
	codeCancelled:  kindUnavailable,
	"57P04":        kindUnavailable, // the database was dropped
	codeNoDatabase: kindUnavailable, codeInvalidAuth: kindUnavailable, codeInvalidPassword: kindUnavailable,
	codeOutOfRange: kindCorrupt, "23514": kindCorrupt, // a CHECK of a table
	"XX001": kindCorrupt, "XX002": kindCorrupt,
}

// serverError is an error of the client library that means something to the ports.
type serverError struct {
	kind kind
	err  error
}

func (e *serverError) Error() string { return e.err.Error() }
func (e *serverError) Unwrap() error { return e.err }

// Is lets errors.Is see the sentinels of both ports.
func (e *serverError) Is(target error) bool {
	switch e.kind {
	case kindLost, kindFull, kindUnavailable:
		return target == blob.ErrUnavailable || target == namespace.ErrUnavailable
	case kindConflict:
		return target == namespace.ErrConflict || target == blob.ErrUnavailable
	case kindReadOnly:
		return target == blob.ErrReadOnly || target == namespace.ErrReadOnly
	case kindNoSpace:
		return target == blob.ErrNoSpace || target == namespace.ErrNoSpace
	case kindCorrupt:
		return target == blob.ErrCorrupt || target == namespace.ErrCorrupt
	}
	return false
}

// translate gives an error of pgx the meaning that it has for the ports, by SQLSTATE or type. Nil, and what has its
// meaning already, stay as they are.
func (db *DB) translate(err error) error {
	if err == nil {
		return nil
	}
	if se := (*serverError)(nil); errors.As(err, &se) {
		return err
	}
	if k := kindOf(err); k != kindOther {
		return &serverError{k, err}
	}
	return err
}

func kindOf(err error) kind {
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		if k, ok := kindOfCode[pe.Code]; ok {
			return k
		}
		if len(pe.Code) == 5 && pe.Code[:2] == "08" {
			return kindLost
		}
		return kindOther
	}
	var ce *pgconn.ConnectError
	switch {
	case errors.Is(err, context.Canceled):
		return kindOther // the caller's
	case errors.As(err, &ce):
		return kindLost // a connection has a time limit of its own
	case errors.Is(err, context.DeadlineExceeded):
		return kindOther // the caller's, or retry's own
	}
	var ne net.Error
	var npe *pgconn.NotPreferredError
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return kindOther
	case errors.As(err, &ne), errors.As(err, &npe),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, syscall.ECONNREFUSED),
		errors.Is(err, pgconn.ErrConnClosed), pgconn.SafeToRetry(err):
		return kindLost
	}
	return kindOther
}

// codeOf is the SQLSTATE of an error, or "".
func codeOf(err error) string {
	var pe *pgconn.PgError
	if errors.As(err, &pe) {
		return pe.Code
	}
	return ""
}

// transient reports an error after which the same may succeed a moment later.
func transient(err error) bool {
	return isKind(err, kindLost, kindFull, kindConflict)
}

// lost reports an error after which the connections of the pool may be dead.
func lost(err error) bool { return isKind(err, kindLost) }

// full reports that the server has no connection left.
func full(err error) bool { return isKind(err, kindFull) }

func isKind(err error, kinds ...kind) bool {
	var se *serverError
	return errors.As(err, &se) && slices.Contains(kinds, se.kind)
}
