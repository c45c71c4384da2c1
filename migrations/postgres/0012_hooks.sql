-- What others tell through webhooks, and silences mirrored to where alerts come from.

-- One row for each thing that was said; the sender is answered once it is here. The alert desks take it in.
CREATE TABLE hook_events (
    id       TEXT   NOT NULL PRIMARY KEY,
    hook     TEXT   NOT NULL,
    seq      BIGINT NOT NULL,
    again    BIGINT NOT NULL DEFAULT 0,
    taken_ms BIGINT,
    data     TEXT   NOT NULL
);
CREATE INDEX hook_events_waiting ON hook_events (seq, id) WHERE taken_ms IS NULL;
CREATE INDEX hook_events_taken ON hook_events (taken_ms) WHERE taken_ms IS NOT NULL;

-- Silences at Alertmanager that stand for one of gantry's. `id` stands in the comment there, so that one whose answer
-- was lost is found again.
CREATE TABLE alert_mirrors (
    id         TEXT   NOT NULL PRIMARY KEY,
    mute_id    TEXT   NOT NULL,
    hook       TEXT   NOT NULL,
    state      TEXT   NOT NULL CHECK (state IN ('wanted', 'made', 'ending', 'ended', 'given-up')),
    silence_id TEXT,
    until_ms   BIGINT NOT NULL,
    attempts   BIGINT NOT NULL DEFAULT 0,
    due_ms     BIGINT NOT NULL DEFAULT 0,
    last_error TEXT,
    data       TEXT   NOT NULL
);
CREATE INDEX alert_mirrors_due ON alert_mirrors (due_ms, id) WHERE state IN ('wanted', 'ending');
CREATE INDEX alert_mirrors_mute ON alert_mirrors (mute_id);
