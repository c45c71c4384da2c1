-- Rows that later migrations find in the tables. The same text runs on both databases.
INSERT INTO boards (id, guild_id, channel_id, gone, shown, asked_ms, data) VALUES
    ('bo_01HF7YAT00000000000000000C', '1', '2', 0, 'abc', 1700000000003, '{}');
