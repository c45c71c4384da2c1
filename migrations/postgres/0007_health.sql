-- How pods are, and who asks them, for PostgreSQL. The pair is sqlite/0007_health.sql.
-- One process at a time holds a watch; `lease_gen` fences what it writes.
CREATE TABLE watches (
    what           TEXT   NOT NULL PRIMARY KEY,
    lease_owner    TEXT   NOT NULL,
    lease_until_ms BIGINT NOT NULL,
    lease_gen      BIGINT NOT NULL
);

-- What a pod's health check was answered, as JSON. Kept so that a restart, and other processes, know it.
CREATE TABLE health (
    cluster TEXT   NOT NULL,
    vmid    BIGINT NOT NULL,
    data    TEXT   NOT NULL,
    PRIMARY KEY (cluster, vmid)
);
