-- What several daemons on one volume need: to tell whether a session's process still runs, that a session was taken for
-- dead, that no other session may begin while one lives, and what a session holds of an inode (a file lock, or an inode without a name that it has open). id is made of
-- kind, session, owner and start, so that its order is a byte order, as that of the other names.
ALTER TABLE sessions
  ADD COLUMN process BYTEA NOT NULL DEFAULT '',
  ADD COLUMN dead BOOLEAN NOT NULL DEFAULT FALSE,
  ADD COLUMN exclusive BOOLEAN NOT NULL DEFAULT FALSE;

CREATE TABLE holds (
  ino BIGINT NOT NULL,
  id BYTEA NOT NULL,
  kind BIGINT NOT NULL,
  session BIGINT NOT NULL,
  owner BIGINT NOT NULL,
  start_off BIGINT NOT NULL,
  end_off BIGINT NOT NULL,
  exclusive BOOLEAN NOT NULL,
  pid BIGINT NOT NULL,
  PRIMARY KEY (ino, id)
);
