-- Alerts, for PostgreSQL: what fires, in which incident, what mutes it, what was seen last. The pair is sqlite/0008_alerts.sql.
-- An incident has its message in `cards`, whose plan_id then holds the incident's id.

-- One row for each alert of a server that is not simply good: pending, held back, firing, or over a moment ago.
CREATE TABLE alerts (
    guild_id    TEXT   NOT NULL,
    rule        TEXT   NOT NULL,
    subject     TEXT   NOT NULL,
    cluster     TEXT   NOT NULL,
    phase       TEXT   NOT NULL CHECK (phase IN ('pending', 'held', 'firing', 'over')),
    incident_id TEXT,
    changed_ms  BIGINT NOT NULL,
    data        TEXT   NOT NULL,
    PRIMARY KEY (guild_id, rule, subject)
);
CREATE INDEX alerts_incident ON alerts (incident_id) WHERE incident_id IS NOT NULL;

-- Alerts that belong together. `data` is the alert desk's, the acked columns are people's, so that neither overwrites
-- the other.
CREATE TABLE incidents (
    id          TEXT   NOT NULL PRIMARY KEY,
    guild_id    TEXT   NOT NULL,
    cluster     TEXT,
    rule        TEXT   NOT NULL,
    kind        TEXT   NOT NULL CHECK (kind IN ('alerts', 'catch-up', 'overflow')),
    severity    TEXT   NOT NULL CHECK (severity IN ('info', 'warning', 'error', 'critical')),
    opened_ms   BIGINT NOT NULL,
    resolved_ms BIGINT,
    acked_by    TEXT,
    acked_name  TEXT,
    acked_ms    BIGINT,
    data        TEXT   NOT NULL
);
CREATE INDEX incidents_guild ON incidents (guild_id, opened_ms, id);
CREATE INDEX incidents_open ON incidents (guild_id) WHERE resolved_ms IS NULL;

-- Silences and maintenance windows.
CREATE TABLE alert_mutes (
    id       TEXT   NOT NULL PRIMARY KEY,
    guild_id TEXT   NOT NULL,
    kind     TEXT   NOT NULL CHECK (kind IN ('silence', 'maintenance')),
    until_ms BIGINT NOT NULL,
    data     TEXT   NOT NULL
);
CREATE INDEX alert_mutes_until ON alert_mutes (guild_id, until_ms);

-- What people of a server made of a rule.
CREATE TABLE alert_overrides (
    guild_id TEXT   NOT NULL,
    rule     TEXT   NOT NULL,
    selector TEXT   NOT NULL,
    at_ms    BIGINT NOT NULL,
    data     TEXT   NOT NULL,
    PRIMARY KEY (guild_id, rule, selector)
);

-- Who stands in on call.
CREATE TABLE alert_shifts (
    guild_id TEXT   NOT NULL,
    from_ms  BIGINT NOT NULL,
    until_ms BIGINT NOT NULL,
    at_ms    BIGINT NOT NULL,
    data     TEXT   NOT NULL,
    PRIMARY KEY (guild_id, at_ms)
);

-- What is remembered of each cluster between two looks, and who looks.
CREATE TABLE alert_looks (
    cluster TEXT   NOT NULL PRIMARY KEY,
    at_ms   BIGINT NOT NULL,
    data    TEXT   NOT NULL
);
CREATE TABLE alert_lead (
    name           TEXT   NOT NULL PRIMARY KEY,
    lease_owner    TEXT   NOT NULL,
    lease_until_ms BIGINT NOT NULL,
    lease_gen      BIGINT NOT NULL
);
