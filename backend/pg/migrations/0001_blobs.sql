-- Blobs: what they are, their bytes in chunks, their digests, and where copies are.

CREATE TABLE blobs (
  key BYTEA PRIMARY KEY,
  size BIGINT NOT NULL,
  created_at TIMESTAMPTZ NOT NULL DEFAULT NOW(),
  content_type TEXT,
  attributes JSONB
);

-- A chunk isn't compressed, so that a slice of it is read without the rest.
CREATE TABLE blob_data (
  key BYTEA REFERENCES blobs(key) ON DELETE CASCADE,
  chunk_offset BIGINT NOT NULL,
  chunk_data BYTEA NOT NULL,
  PRIMARY KEY (key, chunk_offset)
){{ if .partitions }} PARTITION BY HASH (key){{ end }};
ALTER TABLE blob_data ALTER COLUMN chunk_data SET STORAGE EXTERNAL;
{{ range $i := until .partitions -}}
CREATE TABLE blob_data_{{ $i }} PARTITION OF blob_data FOR VALUES WITH (MODULUS {{ $.partitions }}, REMAINDER {{ $i }});
{{ end }}
CREATE TABLE manifests (
  key BYTEA PRIMARY KEY REFERENCES blobs(key),
  manifest_data BYTEA NOT NULL,
  version INT NOT NULL DEFAULT 1
);
ALTER TABLE manifests ALTER COLUMN manifest_data SET STORAGE EXTERNAL;

-- range_end is exclusive.
CREATE TABLE replicas (
  key BYTEA REFERENCES blobs(key),
  sector_id TEXT NOT NULL,
  range_start BIGINT NOT NULL,
  range_end BIGINT NOT NULL,
  healthy BOOLEAN NOT NULL DEFAULT TRUE,
  last_verified TIMESTAMPTZ,
  PRIMARY KEY (key, sector_id, range_start)
);

CREATE INDEX idx_blobs_created ON blobs(created_at);
CREATE INDEX idx_blobs_content_type ON blobs(content_type);
CREATE INDEX idx_replicas_sector ON replicas(sector_id);
CREATE INDEX idx_replicas_healthy ON replicas(healthy) WHERE NOT healthy;

-- A blob in the making has its row in blobs already, because its data refer to it; while its key is here, it isn't
-- visible. target is the key that it is going to have: the same, unless something else had taken that.
CREATE TABLE uploads (
  id UUID PRIMARY KEY,
  key BYTEA NOT NULL UNIQUE REFERENCES blobs(key),
  target BYTEA NOT NULL,
  part_size BIGINT NOT NULL,
  started_at TIMESTAMPTZ NOT NULL DEFAULT NOW()
);
CREATE INDEX idx_uploads_target ON uploads(target);

-- A crash of the server empties an unlogged table. So an upload that is still here has lost none of its parts, though
-- their commits didn't wait for the log.
CREATE UNLOGGED TABLE unsynced_uploads (
  id UUID PRIMARY KEY
);

-- The large object that holds a blob's bytes, where it isn't blob_data.
CREATE TABLE large_objects (
  key BYTEA PRIMARY KEY REFERENCES blobs(key),
  oid OID NOT NULL UNIQUE
);
