package pg

import (
	"fmt"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// blobsStored divides by zero unless all of $2 blobs are there.
const blobsStored = "SELECT 1 / (count(*) = $2)::INT FROM blobs b WHERE b.key = ANY($1) AND" + visible

var errBlobLost = fmt.Errorf("commit: a blob that was stored is gone: %w", namespace.ErrLost)

// checkBlobs returns the statement that looks whether the blobs of which the transaction puts records are there. They
// were stored by transactions before it, whose commits didn't wait for the log: a crash of the server in between would
// have this one name data that are lost, or of which only the end of the upload is.
func (t *tx) checkBlobs() []statement {
	var keys [][]byte
	t.over.m.Ascend(string(rune(kindBlob)), func(k string, e *entry) bool {
		if k[0] != kindBlob {
			return false
		}
		if r, ok := e.rec.(*namespace.Blob); ok && e.state == stored {
			keys = append(keys, []byte(r.Blob))
		}
		return true
	})
	if len(keys) == 0 {
		return nil
	}
	return []statement{{sql: blobsStored, args: []any{keys, int64(len(keys))}, zero: errBlobLost}}
}
