-- Rows that later migrations find in the tables. The same text runs on both databases.
INSERT INTO sets (cluster, name, version, operation_id, lease_owner, lease_until_ms, lease_gen, created_ms, changed_ms, data) VALUES
    ('lab', 'web', 3, 'op_01HF7YAT00000000000000000C', 'host-1', 1700000030000, 2, 1700000000003, 1700000000004, '{}');
INSERT INTO set_revisions (cluster, name, number, data) VALUES ('lab', 'web', 1, '{}');
INSERT INTO set_ordinals (cluster, name, ordinal, vmid, operation_id, settled_id, data) VALUES
    ('lab', 'web', 0, 700, 'op_01HF7YAT00000000000000000C', NULL, '{}');
