-- inodes.mode holds an inode's flags above the lower 16 bits, which are st_mode. inodes.bytes counts allocated blocks of
-- 4096 bytes. An extent whose blob is empty, and not null, is unwritten: space that fallocate(2) allocated, which reads as
-- zeros.

-- Part of file handles: another one where inode numbers may be given out anew.
ALTER TABLE volume ADD COLUMN generation BIGINT NOT NULL DEFAULT 1;

CREATE OR REPLACE VIEW files AS
SELECT
  file_path(d.parent, d.name) AS path,
  name_text(d.name) AS name,
  CASE d.type
    WHEN 32768 THEN 'file' WHEN 16384 THEN 'directory' WHEN 40960 THEN 'symlink' WHEN 4096 THEN 'fifo'
    WHEN 49152 THEN 'socket' WHEN 8192 THEN 'character device' WHEN 24576 THEN 'block device'
  END AS type,
  i.ino, d.parent, i.size, i.bytes,
  (i.mode >> 9 & 7)::TEXT || (i.mode >> 6 & 7)::TEXT || (i.mode >> 3 & 7)::TEXT || (i.mode & 7)::TEXT AS mode,
  i.uid, i.gid, i.nlink AS links,
  file_time(i.atime, i.atime_ns) AS atime,
  file_time(i.mtime, i.mtime_ns) AS mtime,
  file_time(i.ctime, i.ctime_ns) AS ctime,
  file_time(i.btime, i.btime_ns) AS btime,
  name_text(i.target) AS target,
  (SELECT b.content_type FROM extents e JOIN blobs b ON b.key = e.blob
    WHERE e.ino = i.ino ORDER BY e.end_off LIMIT 1) AS content_type,
  i.attributes,
  ARRAY(SELECT DISTINCT encode(e.blob, 'hex') FROM extents e WHERE e.ino = i.ino AND length(e.blob) > 0) AS blobs,
  (SELECT coalesce(sum(e.len), 0) FROM extents e WHERE e.ino = i.ino AND e.blob IS NULL)::BIGINT AS inline_bytes
FROM dentries d JOIN inodes i ON i.ino = d.ino;
