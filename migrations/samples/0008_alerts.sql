-- Rows that later migrations find in the tables. The same text runs on both databases.
INSERT INTO alerts (guild_id, rule, subject, cluster, phase, incident_id, changed_ms, data) VALUES
    ('1', 'storage-full', 'lab/storage/local@pve1', 'lab', 'firing', 'in_01HF7YAT00000000000000000C', 1700000000003, '{}');
INSERT INTO incidents (id, guild_id, cluster, rule, kind, severity, opened_ms, resolved_ms, acked_by, acked_name, acked_ms, data) VALUES
    ('in_01HF7YAT00000000000000000C', '1', 'lab', 'storage-full', 'alerts', 'warning', 1700000000003, NULL, '7', 'olga', 1700000000004, '{}');
INSERT INTO alert_mutes (id, guild_id, kind, until_ms, data) VALUES
    ('si_01HF7YAT00000000000000000C', '1', 'silence', 1700000030000, '{}');
INSERT INTO alert_overrides (guild_id, rule, selector, at_ms, data) VALUES ('1', 'storage-full', '*', 1700000000003, '{}');
INSERT INTO alert_shifts (guild_id, from_ms, until_ms, at_ms, data) VALUES ('1', 1, 2, 3, '{}');
INSERT INTO alert_looks (cluster, at_ms, data) VALUES ('lab', 1700000000003, '{}');
INSERT INTO alert_lead (name, lease_owner, lease_until_ms, lease_gen) VALUES ('alerts', 'host-1', 1700000030000, 2);
