package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/graviton-fs/graviton/backend/blob"
	"github.com/graviton-fs/graviton/fs/volume"
	"github.com/graviton-fs/graviton/panics"
)

// Daemon is what the server asks the daemon beside its volume.
type Daemon interface {
	Status(ctx context.Context) (Status, error)
	// Unmount ends the mount: the answer comes when all is flushed and closed, or it can't be done.
	Unmount(ctx context.Context, lazy bool) UnmountResult
}

// Server answers commands on a Unix socket. Only root and the user that runs the daemon may connect.
type Server struct {
	admin  Admin
	daemon Daemon
	log    *slog.Logger
	http   *http.Server
	done   chan struct{}
	work   context.Context // of the requests for the volume
	stop   context.CancelFunc
	busy   sync.RWMutex // held shared by each of them
}

// Serve listens on the socket and answers in the background until Close. With profile it serves pprof too.
func Serve(socket string, admin Admin, daemon Daemon, profile bool, log *slog.Logger) (*Server, error) {
	_ = os.Remove(socket)
	ln, err := net.Listen("unix", socket)
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	if err := os.Chmod(socket, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("control socket: %w", err), ln.Close())
	}
	s := &Server{admin: admin, daemon: daemon, log: log, done: make(chan struct{})}
	s.work, s.stop = context.WithCancel(context.Background())
	mux := http.NewServeMux()
	s.routes(mux, profile)
	s.http = &http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second,
		BaseContext: func(net.Listener) context.Context { return s.work },
	}
	panics.Go(func() {
		defer close(s.done)
		if err := s.http.Serve(peerListener{ln, log}); !errors.Is(err, http.ErrServerClosed) {
			log.Error("control socket failed", "err", err)
		}
	})
	return s, nil
}

// Close waits a moment for the answers under way and stops.
func (s *Server) Close() {
	s.stop()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		_ = s.http.Close()
	}
	<-s.done
}

func (s *Server) routes(mux *http.ServeMux, profile bool) {
	mux.HandleFunc("GET /v1/ping", s.reply(func(*http.Request) (any, error) { return struct{}{}, nil }))
	mux.HandleFunc("GET /v1/status", s.reply(func(r *http.Request) (any, error) {
		return s.daemon.Status(context.WithoutCancel(r.Context())) // it has a time limit
	}))
	mux.HandleFunc("POST /v1/unmount", s.reply(func(r *http.Request) (any, error) {
		return s.daemon.Unmount(context.WithoutCancel(r.Context()), r.FormValue("lazy") == "true"), nil
	}))
	work := func(pattern string, h http.HandlerFunc) { mux.HandleFunc(pattern, s.volumeWork(h)) }
	work("GET /v1/stat", s.reply(func(r *http.Request) (any, error) {
		return s.admin.StatPath(r.Context(), r.FormValue("path"))
	}))
	work("POST /v1/gc", s.reply(func(r *http.Request) (any, error) {
		grace, err := time.ParseDuration(r.FormValue("grace"))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", blob.ErrInvalid, err)
		}
		return s.admin.Collect(r.Context(), grace, r.FormValue("full") == "true")
	}))
	work("POST /v1/fsck", s.fsck)
	work("POST /v1/compact", s.compact)
	work("GET /v1/dump", func(w http.ResponseWriter, r *http.Request) {
		s.bytes(w, r, func(out io.Writer) error { return s.admin.Dump(r.Context(), out) })
	})
	work("GET /v1/blobs", s.listBlobs)
	work("GET /v1/blobs/{key}", s.getBlob)
	work("GET /v1/blobs/{key}/info", s.reply(func(r *http.Request) (any, error) {
		key, err := blob.ParseKey(r.PathValue("key"))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", blob.ErrInvalid, err)
		}
		return s.admin.StatBlob(r.Context(), key)
	}))
	work("DELETE /v1/blobs/{key}", s.reply(func(r *http.Request) (any, error) {
		key, err := blob.ParseKey(r.PathValue("key"))
		if err != nil {
			return nil, fmt.Errorf("%w: %w", blob.ErrInvalid, err)
		}
		return struct{}{}, s.admin.RemoveBlob(r.Context(), key)
	}))
	work("POST /v1/blobs", s.reply(func(r *http.Request) (any, error) {
		var key blob.Key
		if k := r.URL.Query().Get("key"); k != "" {
			var err error
			if key, err = blob.ParseKey(k); err != nil {
				return nil, fmt.Errorf("%w: %w", blob.ErrInvalid, err)
			}
		}
		return s.admin.PutBlob(r.Context(), key, r.Body)
	}))
	if profile {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
}

// failure is an error as the socket carries it.
type failure struct {
	Error string `json:"error"`
	Kind  string `json:"kind,omitempty"`
}

// reply answers with one JSON value.
func (s *Server) reply(fn func(r *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		value, err := fn(r)
		var answer []byte
		if err == nil {
			answer, err = json.Marshal(value)
		}
		w.Header().Set("Content-Type", "application/json")
		if err != nil && !errors.Is(err, errUnmounting) && s.work.Err() != nil {
			err = fmt.Errorf("%w: %w", errUnmounting, err)
		}
		if err != nil {
			w.WriteHeader(http.StatusConflict)
			answer, _ = json.Marshal(failure{err.Error(), kindOf(err)}) // strings, which always can be
		}
		if _, err := w.Write(append(answer, '\n')); err != nil {
			s.log.Debug("control: answer was not taken", "err", err)
		}
	}
}

// line is one line of a streamed answer: an item, the last one with the sum, or an error.
type line[T, S any] struct {
	Item *T       `json:"item,omitempty"`
	Sum  *S       `json:"sum,omitempty"`
	Fail *failure `json:"fail,omitempty"`
}

// stream answers with items as they come, and a sum.
func stream[T, S any](w http.ResponseWriter, run func(emit func(T) error) (S, error)) {
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := json.NewEncoder(w)
	flush := http.NewResponseController(w)
	sum, err := run(func(item T) error {
		if err := out.Encode(line[T, S]{Item: &item}); err != nil {
			return err
		}
		return flush.Flush()
	})
	last := line[T, S]{Sum: &sum}
	if err != nil {
		last = line[T, S]{Fail: &failure{err.Error(), kindOf(err)}}
	}
	_ = out.Encode(last) // a client that went away has no use for it
}

func (s *Server) fsck(w http.ResponseWriter, r *http.Request) {
	stream(w, func(emit func(volume.Finding) error) (volume.Checked, error) {
		return s.admin.Fsck(r.Context(), r.FormValue("data") == "true", func(f volume.Finding) { _ = emit(f) })
	})
}

func (s *Server) compact(w http.ResponseWriter, r *http.Request) {
	stream(w, func(emit func(volume.CompactStep) error) (volume.CompactedPath, error) {
		return s.admin.Compact(r.Context(), r.FormValue("path"), r.FormValue("dry-run") == "true", func(step volume.CompactStep) { _ = emit(step) })
	})
}

func (s *Server) listBlobs(w http.ResponseWriter, r *http.Request) {
	stream(w, func(emit func(BlobInfo) error) (struct{}, error) {
		prefix, err := parsePrefix(r.FormValue("prefix"))
		if err != nil {
			return struct{}{}, err
		}
		return struct{}{}, s.admin.ListBlobs(r.Context(), prefix, emit)
	})
}

// getBlob answers with a blob's bytes.
func (s *Server) getBlob(w http.ResponseWriter, r *http.Request) {
	key, err := blob.ParseKey(r.PathValue("key"))
	off, oerr := strconv.ParseInt(r.FormValue("off"), 10, 64)
	n, nerr := strconv.ParseInt(r.FormValue("n"), 10, 64)
	if err := errors.Join(err, oerr, nerr); err != nil {
		s.reply(func(*http.Request) (any, error) { return nil, fmt.Errorf("%w: %w", blob.ErrInvalid, err) })(w, r)
		return
	}
	s.bytes(w, r, func(out io.Writer) error { return s.admin.GetBlob(r.Context(), key, off, n, out) })
}

// failed is the trailer, behind the bytes of an answer, that says why they are not all.
const failed = "Graviton-Failed"

// bytes answers with what fn writes. An error after the first of it goes into the trailer, for a client that asked for it;
// for another one the connection is broken, so that it never takes a part for the whole.
func (s *Server) bytes(w http.ResponseWriter, r *http.Request, fn func(out io.Writer) error) {
	trailers := r.Header.Get("TE") == "trailers"
	if trailers {
		w.Header().Set("Trailer", failed)
	}
	out := &countingWriter{w: w}
	err := fn(out)
	switch {
	case err == nil:
	case out.n == 0:
		w.Header().Del("Trailer")
		s.reply(func(*http.Request) (any, error) { return nil, err })(w, r)
	case trailers:
		why, _ := json.Marshal(failure{err.Error(), kindOf(err)})
		w.Header().Set(failed, string(why))
	default:
		panic(http.ErrAbortHandler) // net/http's way to break a connection
	}
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil // it would begin the answer
	}
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// peerListener accepts connections from root and from the daemon's own user.
type peerListener struct {
	net.Listener
	log *slog.Logger
}

func (l peerListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if err = checkPeer(conn); err == nil {
			return conn, nil
		}
		l.log.Warn("control: connection refused", "err", err)
		_ = conn.Close()
	}
}
