-- The view files: a volume's files for people who ask in SQL.

-- Text of a name: as it is where it is UTF-8, otherwise with \nnn for the bytes that are not ASCII.
CREATE FUNCTION name_text(name BYTEA) RETURNS TEXT LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
  escaped TEXT := encode(name, 'escape');
BEGIN
  IF strpos(escaped, '\') = 0 THEN
    RETURN escaped;
  END IF;
  BEGIN
    RETURN convert_from(name, 'UTF8');
  EXCEPTION WHEN character_not_in_repertoire OR untranslatable_character THEN
    RETURN escaped;
  END;
END $$;

-- A file time as timestamptz, within what that can hold.
CREATE FUNCTION file_time(sec BIGINT, ns INT) RETURNS TIMESTAMPTZ LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
  SELECT to_timestamp(least(greatest(sec, -210000000000), 9000000000000)) + ns / 1000 * INTERVAL '1 microsecond'
$$;

-- The path of the entry name in a directory, or null if the way up is broken.
CREATE FUNCTION file_path(dir BIGINT, name BYTEA) RETURNS TEXT LANGUAGE plpgsql STABLE STRICT COST 1000
  SET search_path FROM CURRENT AS $$
DECLARE
  path TEXT := '/' || name_text(name);
  up dentries%ROWTYPE;
BEGIN
  WHILE dir <> 1 LOOP
    SELECT * INTO up FROM dentries WHERE ino = dir AND type = 16384 LIMIT 1;
    IF NOT FOUND OR length(path) > 65536 THEN
      RETURN NULL;
    END IF;
    path := '/' || name_text(up.name) || path;
    dir := up.parent;
  END LOOP;
  RETURN path;
END $$;

-- The inode at a path from the root, or null. It takes one look at an index for each name.
CREATE FUNCTION file_at(path TEXT) RETURNS BIGINT LANGUAGE plpgsql STABLE STRICT
  SET search_path FROM CURRENT AS $$
DECLARE
  at BIGINT := 1;
  part TEXT;
BEGIN
  FOREACH part IN ARRAY string_to_array(path, '/') LOOP
    IF part <> '' THEN
      SELECT d.ino INTO at FROM dentries d WHERE d.parent = at AND d.name = convert_to(part, 'UTF8');
      IF NOT FOUND THEN
        RETURN NULL;
      END IF;
    END IF;
  END LOOP;
  RETURN at;
END $$;

CREATE VIEW files AS
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
  ARRAY(SELECT DISTINCT encode(e.blob, 'hex') FROM extents e WHERE e.ino = i.ino AND e.blob IS NOT NULL) AS blobs,
  (SELECT coalesce(sum(e.len), 0) FROM extents e WHERE e.ino = i.ino AND e.blob IS NULL)::BIGINT AS inline_bytes
FROM dentries d JOIN inodes i ON i.ino = d.ino;

-- User attributes: an extended attribute user.graviton.attr.NAME is also the member NAME of the inode's attributes.
CREATE FUNCTION xattr_attribute() RETURNS TRIGGER LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
  prefix CONSTANT INT := length('user.graviton.attr.');
BEGIN
  IF TG_OP = 'DELETE' THEN
    UPDATE inodes SET attributes = nullif(attributes - name_text(substring(OLD.name FROM prefix + 1)), '{}'::JSONB)
      WHERE ino = OLD.ino;
    RETURN OLD;
  END IF;
  UPDATE inodes SET attributes = coalesce(attributes, '{}'::JSONB)
      || jsonb_build_object(name_text(substring(NEW.name FROM prefix + 1)), name_text(NEW.value))
    WHERE ino = NEW.ino;
  RETURN NEW;
END $$;

CREATE TRIGGER xattr_attribute_put AFTER INSERT OR UPDATE ON xattrs FOR EACH ROW
  WHEN (substring(NEW.name FOR 19) = 'user.graviton.attr.'::BYTEA) EXECUTE FUNCTION xattr_attribute();
CREATE TRIGGER xattr_attribute_deleted AFTER DELETE ON xattrs FOR EACH ROW
  WHEN (substring(OLD.name FOR 19) = 'user.graviton.attr.'::BYTEA) EXECUTE FUNCTION xattr_attribute();
