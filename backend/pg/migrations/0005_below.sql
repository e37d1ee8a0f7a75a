-- The files of one directory and of all directories below it: the rows of the view files, found by looks at indexes
-- from that directory down. A condition on files.path alone makes the path of every file of the volume first.
CREATE FUNCTION files_below(dir TEXT) RETURNS SETOF files LANGUAGE sql STABLE ROWS 1000
BEGIN ATOMIC
  WITH RECURSIVE dirs (ino) AS (
    SELECT file_at(dir)
    UNION ALL
    SELECT d.ino FROM dirs JOIN dentries d ON d.parent = dirs.ino AND d.type = 16384
  )
  SELECT f.* FROM dirs JOIN files f ON f.parent = dirs.ino;
END;
