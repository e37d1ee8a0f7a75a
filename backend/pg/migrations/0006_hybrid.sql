-- Blobs whose bytes are in another store than the database: blobs.attributes ->> 'storageBackend' names it.

-- Which stores those are, so that no host takes another place for it. volume is whose they are.
CREATE TABLE blob_stores (
  name TEXT PRIMARY KEY,
  location TEXT NOT NULL,
  volume UUID NOT NULL,
  since TIMESTAMPTZ NOT NULL DEFAULT NOW()
);

-- Objects of such a store that were found without a row in blobs. While a key is here it gets no row, and the object is
-- removed after a while.
CREATE TABLE stray_objects (
  key BYTEA PRIMARY KEY,
  marked_at TIMESTAMPTZ NOT NULL DEFAULT NOW()
);
CREATE INDEX idx_stray_objects_marked ON stray_objects(marked_at);
