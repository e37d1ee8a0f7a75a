-- The names of a volume: which directory entry leads to which inode, and which extents of which blobs make its bytes.
-- Names, link targets and attribute names are any bytes, so they are bytea. Times are seconds since 1970 and
-- nanoseconds, because timestamptz would cut them to microseconds and has a smaller range; the view files shows them as
-- timestamptz. There are no foreign keys: each would lock and look up a row for every insert, what they would
-- promise is kept by the transactions of the daemons, and checked by fsck.

CREATE TABLE volume (
  one BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (one),
  format BIGINT NOT NULL,
  id UUID NOT NULL,
  created BIGINT NOT NULL,
  created_ns INT NOT NULL,
  next_id BIGINT NOT NULL
);

CREATE TABLE inodes (
  ino BIGINT PRIMARY KEY,
  mode BIGINT NOT NULL,
  uid BIGINT NOT NULL,
  gid BIGINT NOT NULL,
  nlink BIGINT NOT NULL CHECK (nlink BETWEEN 0 AND 4294967295),
  rdev BIGINT NOT NULL,
  size BIGINT NOT NULL,
  bytes BIGINT NOT NULL,
  atime BIGINT NOT NULL,
  mtime BIGINT NOT NULL,
  ctime BIGINT NOT NULL,
  btime BIGINT NOT NULL,
  atime_ns INT NOT NULL,
  mtime_ns INT NOT NULL,
  ctime_ns INT NOT NULL,
  btime_ns INT NOT NULL,
  parent BIGINT NOT NULL,
  target BYTEA,
  attributes JSONB
) WITH (fillfactor = 90);
CREATE INDEX idx_inodes_attributes ON inodes USING GIN (attributes jsonb_path_ops) WHERE attributes IS NOT NULL;

CREATE TABLE dentries (
  parent BIGINT NOT NULL,
  name BYTEA NOT NULL,
  ino BIGINT NOT NULL,
  type BIGINT NOT NULL,
  cookie BIGINT NOT NULL,
  PRIMARY KEY (parent, name)
);
CREATE INDEX idx_dentries_cookie ON dentries (parent, cookie);
-- The way up: a directory has one name.
CREATE INDEX idx_dentries_directory ON dentries (ino) WHERE type = 16384;

-- An extent is found by the offset behind it, see the port. Up to a page its bytes stay in the row; what is longer goes
-- out of line, and nothing is compressed.
CREATE TABLE extents (
  ino BIGINT NOT NULL,
  end_off BIGINT NOT NULL,
  len BIGINT NOT NULL,
  blob BYTEA,
  blob_off BIGINT NOT NULL,
  inline BYTEA,
  PRIMARY KEY (ino, end_off)
) WITH (toast_tuple_target = 8160);
ALTER TABLE extents ALTER COLUMN inline SET STORAGE EXTERNAL;

CREATE TABLE xattrs (
  ino BIGINT NOT NULL,
  name BYTEA NOT NULL,
  value BYTEA NOT NULL,
  PRIMARY KEY (ino, name)
);

CREATE TABLE blob_refs (
  key BYTEA PRIMARY KEY,
  size BIGINT NOT NULL,
  refs BIGINT NOT NULL CHECK (refs >= 0),
  pinned BOOLEAN NOT NULL,
  since BIGINT NOT NULL,
  since_ns INT NOT NULL
);
CREATE INDEX idx_blob_refs_unreferenced ON blob_refs (since, since_ns, key) WHERE refs = 0 AND NOT pinned;

CREATE TABLE orphans (
  ino BIGINT PRIMARY KEY,
  session BIGINT NOT NULL
);

CREATE TABLE sessions (
  id BIGINT PRIMARY KEY,
  host BYTEA NOT NULL,
  pid BIGINT NOT NULL,
  started BIGINT NOT NULL,
  started_ns INT NOT NULL,
  seen BIGINT NOT NULL,
  seen_ns INT NOT NULL
);

-- A session's usage is the sum over its shards: each connection adds to one of them, so that none waits for another.
CREATE TABLE usage (
  session BIGINT NOT NULL,
  shard INT NOT NULL,
  bytes BIGINT NOT NULL,
  inodes BIGINT NOT NULL,
  PRIMARY KEY (session, shard)
) WITH (fillfactor = 50);

-- One row for each transaction: its operation, by which a commit whose answer was lost is recognised, and what it
-- changed, for the other daemons. origin is the daemon. Old rows are deleted.
CREATE TABLE changes (
  xid XID8 NOT NULL DEFAULT pg_current_xact_id(),
  op UUID NOT NULL,
  origin BIGINT NOT NULL,
  everything BOOLEAN NOT NULL,
  inodes BIGINT[] NOT NULL,
  parents BIGINT[] NOT NULL,
  names BYTEA[] NOT NULL
);
CREATE INDEX idx_changes_xid ON changes (xid);

-- Daemons that have committed without waiting for the disk. A crash of the server empties an unlogged table, and a
-- standby has none of its rows: who doesn't find its own row any more knows that its last commits may be lost.
CREATE UNLOGGED TABLE unsynced (
  origin BIGINT PRIMARY KEY
);
