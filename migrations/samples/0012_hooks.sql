-- Rows that later migrations find in the tables. The same text runs on both databases.
INSERT INTO hook_events (id, hook, seq, again, taken_ms, data) VALUES ('a1', 'prom', 1700000000003000, 1, NULL, '{}');
INSERT INTO alert_mirrors (id, mute_id, hook, state, silence_id, until_ms, attempts, due_ms, last_error, data) VALUES
    ('si_01HF7YAT00000000000000000C-0', 'si_01HF7YAT00000000000000000C', 'prom', 'made', 'x', 1700000030000, 1, 0, NULL, '{}');
