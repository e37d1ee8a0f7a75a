package control

import (
	"errors"
	"net/http"
	"time"

	"github.com/graviton-fs/graviton/panics"
)

// stopPatience is how long Stop waits for commands that are told to end.
const stopPatience = 10 * time.Second

// Stop ends the commands that work with the volume, which is about to be closed, and refuses others. The daemon still
// answers for itself.
func (s *Server) Stop() {
	s.stop()
	ended := make(chan struct{})
	panics.Go(func() {
		s.busy.Lock() // for good
		close(ended)
	})
	select {
	case <-ended:
	case <-time.After(stopPatience):
		s.log.Warn("a command goes on while the volume is closed")
	}
}

var errUnmounting = errors.New("the volume is being unmounted")

// volumeWork passes requests on until Stop.
func (s *Server) volumeWork(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.work.Err() == nil && s.busy.TryRLock() {
			defer s.busy.RUnlock()
			next(w, r)
			return
		}
		s.reply(func(*http.Request) (any, error) { return nil, errUnmounting })(w, r)
	}
}
