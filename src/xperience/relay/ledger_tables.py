"""The tables of the ledger and the questions that are SQL alone."""

SCHEMA_VERSION = 2


TABLES = """
CREATE TABLE job (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE file (
  path TEXT PRIMARY KEY, position INTEGER NOT NULL, batch INTEGER NOT NULL, size_bytes INTEGER NOT NULL,
  hub_sha256 TEXT, hub_git_sha1 TEXT, state TEXT NOT NULL,
  sha256 TEXT, md5 TEXT, multipart_etag TEXT, digest_part_bytes INTEGER,
  execute_id TEXT, job_id INTEGER,
  verified_how TEXT, etag TEXT, part_bytes INTEGER, version_id TEXT,
  downloads INTEGER NOT NULL DEFAULT 0, sends INTEGER NOT NULL DEFAULT 0,
  download_started_at REAL, downloaded_at REAL, send_started_at REAL, verified_at REAL
) STRICT;
CREATE INDEX file_by_state ON file (state, position);
"""
# A running relay asks for its totals many times a second: counted anew that is 18 ms each time over 100,000 files.
TOTALS = (
    "CREATE TABLE total (state TEXT PRIMARY KEY, files INTEGER NOT NULL, size_bytes INTEGER NOT NULL) STRICT",
    "INSERT INTO total SELECT state, count(*), sum(size_bytes) FROM file GROUP BY state",
    "CREATE TRIGGER file_comes AFTER INSERT ON file BEGIN"
    " INSERT INTO total VALUES (new.state, 1, new.size_bytes) ON CONFLICT (state) DO UPDATE"
    " SET files = files + 1, size_bytes = size_bytes + excluded.size_bytes; END",
    "CREATE TRIGGER file_goes AFTER DELETE ON file BEGIN"
    " UPDATE total SET files = files - 1, size_bytes = size_bytes - old.size_bytes WHERE state = old.state; END",
    "CREATE TRIGGER file_moves AFTER UPDATE OF state ON file BEGIN"
    " UPDATE total SET files = files - 1, size_bytes = size_bytes - old.size_bytes WHERE state = old.state;"
    " INSERT INTO total VALUES (new.state, 1, new.size_bytes) ON CONFLICT (state) DO UPDATE"
    " SET files = files + 1, size_bytes = size_bytes + excluded.size_bytes; END",
)
BATCHES = """
SELECT batch, count(*), sum(size_bytes), sum(state IN ('verified', 'released')),
  min(download_started_at), iif(count(downloaded_at) = count(*), max(downloaded_at), NULL),
  min(send_started_at), iif(count(verified_at) = count(*), max(verified_at), NULL)
FROM file GROUP BY batch ORDER BY batch
"""
# One statement, so that another process's commit in between is no difference.
DIFFERENT_TOTALS = """
SELECT count(*) FROM (
  SELECT state, count(*), sum(size_bytes) FROM file GROUP BY state
  EXCEPT SELECT state, files, size_bytes FROM total WHERE files <> 0
) UNION ALL SELECT count(*) FROM (
  SELECT state, files, size_bytes FROM total WHERE files <> 0
  EXCEPT SELECT state, count(*), sum(size_bytes) FROM file GROUP BY state
)
"""
