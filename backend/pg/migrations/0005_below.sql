-- The files of one directory and of all directories below it: the rows of the view files, found by looks at indexes
-- from that directory down. A condition on files.path alone makes the path of every file of the volume first. OFFSET 0 has the
-- planner go from directory to directory instead of reading whole tables.
CREATE FUNCTION files_below(dir TEXT) RETURNS SETOF files LANGUAGE sql STABLE ROWS 1000
BEGIN ATOMIC
  WITH RECURSIVE dirs (ino) AS (
    SELECT file_at(dir)
    UNION ALL
    SELECT sub.ino FROM dirs CROSS JOIN LATERAL (
      SELECT d.ino FROM dentries d WHERE d.parent = dirs.ino AND d.type = 16384 OFFSET 0) AS sub
  )
  SELECT f.* FROM dirs CROSS JOIN LATERAL (SELECT * FROM files WHERE files.parent = dirs.ino OFFSET 0) AS f;
END;
