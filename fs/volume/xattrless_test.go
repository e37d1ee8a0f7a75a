package volume

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// TestXattrlessAfterSlowRead notes a record that was read before an attribute was set here, long after that.
func TestXattrlessAfterSlowRead(t *testing.T) {
	for name, shared := range map[string]bool{"alone": false, "shared": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var x xattrless
				x.init(shared)
				before := &namespace.Inode{Ino: 20, Flags: namespace.FlagNoXattrs}
				x.note(before)
				if !x.has(20) {
					t.Error("what was read isn't remembered")
				}
				x.changed(20)
				time.Sleep(3 * time.Second) // the transaction, or the answer to who reads, takes long
				x.note(before)
				if x.has(20) {
					t.Error("an attribute that was set here isn't seen")
				}
			})
		})
	}
}
