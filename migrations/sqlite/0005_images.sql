-- Images that gantry fetched, for SQLite. The pair is postgres/0005_images.sql.
-- One row a file: on a storage that all nodes share, `owner` is *, else the node. Who uses an image is read from
-- what uses it; no count is kept. `data` is the record; the columns are what queries need.
CREATE TABLE images (
    cluster      TEXT   NOT NULL,
    owner        TEXT   NOT NULL,
    volid        TEXT   NOT NULL,
    digest       TEXT,
    bytes        BIGINT NOT NULL,
    prepared_ms  BIGINT NOT NULL,
    last_used_ms BIGINT NOT NULL DEFAULT 0,
    data         TEXT   NOT NULL,
    PRIMARY KEY (cluster, owner, volid)
);
