package volume_test

import (
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/graviton-fs/graviton/backend/pg/pgtest"
)

// serving stops the shared PostgreSQL after the tests, before goleak looks.
type serving struct{ m *testing.M }

func (s serving) Run() int {
	code := s.m.Run()
	if err := pgtest.StopShared(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(serving{m}) }
