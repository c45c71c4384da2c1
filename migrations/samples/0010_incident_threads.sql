-- Rows that later migrations find in the tables. The same text runs on both databases.
INSERT INTO incident_threads (incident_id, starter_id, thread_id, told, telling, tags) VALUES
    ('in_01HF7YAT00000000000000000C', '55', '55', 2, 3, 'warning open');
INSERT INTO incident_notes (id, incident_id, at_ms, user_id, user_name, text) VALUES
    ('nt_01HF7YAT00000000000000000C', 'in_01HF7YAT00000000000000000C', 1700000000005, '7', 'olga', 'a disk is on its way');
