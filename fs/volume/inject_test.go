package volume_test

import (
	"github.com/graviton-fs/graviton/backend/faults"
)

// inject opens the volume again over stores that fail when told to. At the test's end it is opened over the plain ones.
func (e *env) inject() *faults.Injector {
	e.t.Helper()
	in := faults.New()
	ns, bs := e.ns, e.bs
	e.close()
	e.ns, e.bs = faults.Namespace(ns, in), faults.Blobs(bs, in)
	e.open()
	e.buried()
	in.Reset()
	e.t.Cleanup(func() {
		in.Reset()
		e.close()
		e.ns, e.bs = ns, bs
		e.open()
		e.buried()
	})
	return in
}

// failOp lets every call of that name fail.
func failOp(op string) func(faults.Call) error {
	return func(c faults.Call) error {
		if c.Op == op {
			return faults.ErrInjected
		}
		return nil
	}
}
