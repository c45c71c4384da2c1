-- Status boards, for PostgreSQL. The pair is sqlite/0011_boards.sql.
-- A board has its message in `cards`, whose plan_id then holds the board's id.

-- One a channel. `shown` stands for what its message was asked to show last, and when: it is edited when that changes.
-- A board that is gone waits for its message to be deleted.
CREATE TABLE boards (
    id         TEXT   NOT NULL PRIMARY KEY,
    guild_id   TEXT   NOT NULL,
    channel_id TEXT   NOT NULL,
    gone       BIGINT NOT NULL DEFAULT 0 CHECK (gone IN (0, 1)),
    shown      TEXT   NOT NULL DEFAULT '',
    asked_ms   BIGINT NOT NULL DEFAULT 0,
    data       TEXT   NOT NULL
);
CREATE UNIQUE INDEX boards_channel ON boards (channel_id) WHERE gone = 0;
