-- Sets: what each shall be, who leads it, its revisions and who its ordinals are. The pair is postgres/0003_sets.sql.

-- `version` counts changes of what the set shall be; `lease_gen` fences the process that brings its pods there.
CREATE TABLE sets (
    cluster        TEXT   NOT NULL,
    name           TEXT   NOT NULL,
    version        BIGINT NOT NULL,
    operation_id   TEXT   NOT NULL,
    lease_owner    TEXT,
    lease_until_ms BIGINT NOT NULL DEFAULT 0,
    lease_gen      BIGINT NOT NULL DEFAULT 0,
    created_ms     BIGINT NOT NULL,
    changed_ms     BIGINT NOT NULL,
    data           TEXT   NOT NULL,
    PRIMARY KEY (cluster, name)
);

CREATE TABLE set_revisions (
    cluster TEXT   NOT NULL,
    name    TEXT   NOT NULL,
    number  BIGINT NOT NULL,
    data    TEXT   NOT NULL,
    PRIMARY KEY (cluster, name, number)
);

-- Who an ordinal is, what its pod was made from, and what was decided about its drift. `settled_id` is the operation
-- whose end was taken notice of; while it is another one than `operation_id`, the ordinal is being worked on.
CREATE TABLE set_ordinals (
    cluster      TEXT   NOT NULL,
    name         TEXT   NOT NULL,
    ordinal      BIGINT NOT NULL,
    vmid         BIGINT NOT NULL,
    operation_id TEXT,
    settled_id   TEXT,
    data         TEXT   NOT NULL,
    PRIMARY KEY (cluster, name, ordinal)
);
-- No number is given to two ordinals.
CREATE UNIQUE INDEX set_ordinals_vmid ON set_ordinals (cluster, vmid);
