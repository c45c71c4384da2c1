-- Threads of incidents and what people write about them, for PostgreSQL. The pair is sqlite/0010_incident_threads.sql.

-- The thread on an incident's message. `told` counts the entries of its timeline that stand in it; `telling` is how far
-- a message reaches that may be on its way, so that a kill in between tells nothing twice and leaves nothing out. No
-- thread_id: it could not be opened, or somebody deleted it, and nobody tries again. `tags` are those of a forum's post.
CREATE TABLE incident_threads (
    incident_id TEXT   NOT NULL PRIMARY KEY,
    starter_id  TEXT   NOT NULL,
    thread_id   TEXT,
    told        BIGINT NOT NULL,
    telling     BIGINT NOT NULL,
    tags        TEXT   NOT NULL
);

CREATE TABLE incident_notes (
    id          TEXT   NOT NULL PRIMARY KEY,
    incident_id TEXT   NOT NULL,
    at_ms       BIGINT NOT NULL,
    user_id     TEXT   NOT NULL,
    user_name   TEXT   NOT NULL,
    text        TEXT   NOT NULL,
    told        BIGINT NOT NULL DEFAULT 0 CHECK (told IN (0, 1))
);
CREATE INDEX incident_notes_incident ON incident_notes (incident_id, id);
