-- One more event in the audit log: what a node answered over SSH. The pair is postgres/0006_answers.sql.

-- SQLite changes no CHECK: the table is made anew.
CREATE TABLE audit_next (
    id           TEXT   NOT NULL PRIMARY KEY,
    at_ms        BIGINT NOT NULL,
    event        TEXT   NOT NULL CHECK (event IN
        ('denied', 'proposed', 'confirmed', 'press-denied', 'dropped', 'about-to', 'answered', 'cancel-asked', 'ended')),
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
INSERT INTO audit_next (id, at_ms, event, user_id, user_name, guild_id, channel_id, verb, target, plan_id, operation_id, detail)
    SELECT id, at_ms, event, user_id, user_name, guild_id, channel_id, verb, target, plan_id, operation_id, detail FROM audit;
DROP TABLE audit;
ALTER TABLE audit_next RENAME TO audit;
CREATE INDEX audit_new ON audit (at_ms, id);
CREATE INDEX audit_user ON audit (user_id, at_ms);
CREATE INDEX audit_plan ON audit (plan_id) WHERE plan_id IS NOT NULL;
CREATE INDEX audit_operation ON audit (operation_id) WHERE operation_id IS NOT NULL;
