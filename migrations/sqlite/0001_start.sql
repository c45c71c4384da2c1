-- The first tables, for SQLite. The pair is postgres/0001_start.sql.

-- What people see: one message a card, kept up to date by the courier. The last wanted version wins.
CREATE TABLE cards (
    id             TEXT   NOT NULL PRIMARY KEY,
    plan_id        TEXT   NOT NULL UNIQUE,
    guild_id       TEXT   NOT NULL,
    channel_id     TEXT   NOT NULL,
    message_id     TEXT,
    wanted         BIGINT NOT NULL DEFAULT 0,
    shown          BIGINT NOT NULL DEFAULT 0,
    attempts       BIGINT NOT NULL DEFAULT 0,
    due_ms         BIGINT NOT NULL DEFAULT 0,
    created_ms     BIGINT NOT NULL,
    lease_owner    TEXT,
    lease_until_ms BIGINT NOT NULL DEFAULT 0,
    last_error     TEXT,
    given_up       BIGINT NOT NULL DEFAULT 0 CHECK (given_up IN (0, 1))
);
CREATE INDEX cards_due ON cards (due_ms, id) WHERE wanted > shown AND given_up = 0;

-- What would happen, as it was shown. `data` is the plan; the columns are what queries and constraints need.
CREATE TABLE plans (
    id           TEXT   NOT NULL PRIMARY KEY,
    card_id      TEXT   NOT NULL REFERENCES cards (id),
    state        TEXT   NOT NULL CHECK (state IN ('open', 'confirmed', 'dropped')),
    why          TEXT   NOT NULL DEFAULT '',
    operation_id TEXT   UNIQUE,
    created_ms   BIGINT NOT NULL,
    expires_ms   BIGINT NOT NULL,
    data         TEXT   NOT NULL,
    CHECK ((state = 'confirmed') = (operation_id IS NOT NULL))
);
CREATE INDEX plans_open ON plans (expires_ms, id) WHERE state = 'open';
CREATE INDEX plans_card ON plans (card_id);

-- What is carried out. One plan gives one operation: `plan_id` is unique.
-- `vmid` is the guest it is about; `new_vmid` the number a pod being created has reserved.
CREATE TABLE operations (
    id             TEXT   NOT NULL PRIMARY KEY,
    plan_id        TEXT   NOT NULL UNIQUE REFERENCES plans (id),
    cluster        TEXT   NOT NULL,
    vmid           BIGINT,
    new_vmid       BIGINT,
    state          TEXT   NOT NULL CHECK (state IN
        ('queued', 'running', 'succeeded', 'warned', 'failed', 'cancelled', 'unknown')),
    created_ms     BIGINT NOT NULL,
    lease_owner    TEXT,
    lease_until_ms BIGINT NOT NULL DEFAULT 0,
    lease_gen      BIGINT NOT NULL DEFAULT 0,
    cancel_by      TEXT,
    data           TEXT   NOT NULL
);
CREATE INDEX operations_open ON operations (created_ms, id) WHERE state IN ('queued', 'running');
CREATE INDEX operations_new ON operations (created_ms, id);
CREATE INDEX operations_guest ON operations (cluster, vmid, created_ms);
-- Two open operations never reserve the same number.
CREATE UNIQUE INDEX operations_reserved ON operations (cluster, new_vmid)
    WHERE new_vmid IS NOT NULL AND state IN ('queued', 'running');

-- Who asked for what, which rule decided, what came of it. Rows are only ever added.
CREATE TABLE audit (
    id           TEXT   NOT NULL PRIMARY KEY,
    at_ms        BIGINT NOT NULL,
    event        TEXT   NOT NULL CHECK (event IN
        ('denied', 'proposed', 'confirmed', 'press-denied', 'dropped', 'about-to', 'cancel-asked', 'ended')),
    user_id      TEXT,
    user_name    TEXT   NOT NULL,
    guild_id     TEXT,
    channel_id   TEXT,
    verb         TEXT   NOT NULL,
    target       TEXT   NOT NULL,
    plan_id      TEXT,
    operation_id TEXT,
    detail       TEXT   NOT NULL
);
CREATE INDEX audit_new ON audit (at_ms, id);
CREATE INDEX audit_user ON audit (user_id, at_ms);
CREATE INDEX audit_plan ON audit (plan_id) WHERE plan_id IS NOT NULL;
CREATE INDEX audit_operation ON audit (operation_id) WHERE operation_id IS NOT NULL;

-- Interactions already answered: Discord may deliver one twice.
CREATE TABLE interactions (
    id      TEXT   NOT NULL PRIMARY KEY,
    seen_ms BIGINT NOT NULL
);
CREATE INDEX interactions_seen ON interactions (seen_ms);

-- Containers that gantry owns, with what they shall be.
CREATE TABLE pods (
    cluster      TEXT   NOT NULL,
    vmid         BIGINT NOT NULL,
    name         TEXT   NOT NULL,
    operation_id TEXT   NOT NULL,
    created_ms   BIGINT NOT NULL,
    spec         TEXT   NOT NULL,
    PRIMARY KEY (cluster, vmid)
);

-- What stands behind buttons that page, pick or fill in; the button carries only the id.
CREATE TABLE screens (
    id         TEXT   NOT NULL PRIMARY KEY,
    kind       TEXT   NOT NULL,
    owner_id   TEXT   NOT NULL,
    data       TEXT   NOT NULL,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL
);
CREATE INDEX screens_expires ON screens (expires_ms);

-- Small facts of gantry's own, such as the hash of the commands registered last.
CREATE TABLE settings (
    key        TEXT   NOT NULL PRIMARY KEY,
    value      TEXT   NOT NULL,
    changed_ms BIGINT NOT NULL
);

-- Counts a day, such as gateway identifies.
CREATE TABLE counters (
    key   TEXT   NOT NULL,
    day   BIGINT NOT NULL,
    value BIGINT NOT NULL,
    PRIMARY KEY (key, day)
);
