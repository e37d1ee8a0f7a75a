package pg

import (
	"context"
	"errors"

	"github.com/graviton-fs/graviton/backend/namespace"
)

// What compares a guess with what is there: it divides by zero if they differ. An inode that isn't going to be written
// may be changed meanwhile by deltas, as one that was read could be: of it only what they don't change is compared, and
// that it is linked.
const (
	checkInode = "SELECT 1 / count(*) FROM inodes WHERE ino = $1 AND mode = $2 AND uid = $3 AND gid = $4 AND rdev = $6 " +
		"AND size = $7 AND bytes = $8 AND parent = $9 AND target IS NOT DISTINCT FROM $18 " +
		"AND CASE WHEN $19::BOOLEAN THEN nlink = $5 AND (atime, atime_ns) = ($10, $11) AND (mtime, mtime_ns) = ($12, $13) " +
		"AND (ctime, ctime_ns) = ($14, $15) AND (btime, btime_ns) = ($16, $17) ELSE (nlink = 0) = ($5 = 0) END"
	checkEntry = "SELECT 1 / count(*) FROM dentries WHERE parent = $1 AND name = $2 AND ino = $3 AND type = $4 AND cookie = $5"
	checkFree  = "SELECT 1 / (count(*) = 0)::INT FROM dentries WHERE parent = $1 AND name = $2"
	checkBare  = "SELECT 1 / (count(*) = 0)::INT FROM xattrs WHERE ino = $1"
	checkEmpty = "SELECT 1 / (count(*) = 0)::INT FROM extents WHERE ino = $1"
	// Their blobs may be null, which is equal to null within arrays. Of no extents the arrays are null, not empty.
	checkExtents = "SELECT 1 / coalesce((array_agg(end_off ORDER BY end_off), array_agg(len ORDER BY end_off), " +
		"array_agg(blob ORDER BY end_off), array_agg(blob_off ORDER BY end_off)) = " +
		"($2::BIGINT[], $3::BIGINT[], $4::BYTEA[], $5::BIGINT[]), FALSE)::INT FROM extents WHERE ino = $1"
)

// errWrongGuess says that the transaction ran on a guess that was wrong, and was rolled back.
var errWrongGuess = errors.New("what the transaction began with has changed")

// check returns the statement that compares what the transaction was told.
func (t *tx) check(c *told) statement {
	st := statement{zero: errWrongGuess}
	switch {
	case c.key[0] == kindXattr:
		st.sql, st.args = checkBare, []any{int64(c.ino)}
	case c.extents != nil:
		st.sql, st.args = checkEmpty, []any{int64(c.ino)}
		if len(c.extents) > 0 {
			st.sql, st.args = checkExtents, extentArrays(c.ino, c.extents)
		}
	case c.rec == nil:
		k := t.over.get(c.key).key.(namespace.DentryKey)
		st.sql, st.args = checkFree, []any{int64(k.Parent), []byte(k.Name)}
	case c.key[0] == kindDentry:
		put := writePut(c.rec)
		st.sql, st.args = checkEntry, put[0].args
	default:
		put := writePut(c.rec)
		e := t.over.get(c.key)
		exact := e.state >= stored || t.held.covers(lock{t.s.locks.inode(c.rec.(*namespace.Inode).Ino), true})
		st.sql, st.args = checkInode, append(put[0].args, exact)
	}
	return st
}

func extentArrays(ino namespace.Ino, list []namespace.Record) []any {
	ends, lens, offs := make([]int64, len(list)), make([]int64, len(list)), make([]int64, len(list))
	blobs := make([][]byte, len(list))
	for i, rec := range list {
		e := rec.(*namespace.Extent)
		ends[i], lens[i], offs[i] = int64(e.End()), int64(e.Len), int64(e.BlobOff)
		if e.Blob != "" || e.Unwritten {
			blobs[i] = []byte(e.Blob)
		}
	}
	return []any{int64(ino), ends, lens, blobs, offs}
}

// guess runs fn on what is remembered. It returns the transaction if it can be committed, with all that it was told
// compared; otherwise it has to be run on what is read. An error of fn may come from what was wrong.
func (u *update) guess(ctx context.Context) *tx {
	if isEmpty(u.want) || u.guessed || u.s.memory.pausing() {
		return nil
	}
	u.guessed = true
	t := u.newTx(ctx, nil)
	if !t.tell(u.want) || u.call(t) != nil || t.again || t.err != nil || t.over.writes == 0 {
		u.s.memory.leave(t.look)
		return nil
	}
	t.held.addAll(t.lacking())
	if len(t.held) > maxLocks {
		u.s.memory.leave(t.look)
		return nil
	}
	return t
}

// commitGuess commits a transaction that ran on a guess in one exchange, which the server makes one transaction of. It
// waits for no lock: fn may have taken something that who has that lock waits for.
func (u *update) commitGuess(ctx context.Context, t *tx, conn *session) error {
	t.conn = conn
	if err := ctx.Err(); err != nil {
		return err
	}
	u.s.stats.guessed.Add(1)
	list := []statement{u.changesOf(t, t.held)}
	for i := range t.told {
		list = append(list, t.check(&t.told[i]))
	}
	list = append(list, u.conditions(t)...)
	err := u.send(ctx, t, append(list, t.flush(u.s.shard(conn))...))
	if errors.Is(err, errConflict) {
		u.s.stats.wrong.Add(1)
		if !t.again {
			u.s.memory.wrong(t)
		}
	}
	return err
}
