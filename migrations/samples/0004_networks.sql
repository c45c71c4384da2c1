-- Rows that later migrations find in the tables. The same text runs on both databases.
INSERT INTO network_changes (operation_id, cluster, scope, former, until_ms, decision, decided_by, decided_ms, created_ms) VALUES
    ('op_01HF7YAT00000000000000000A', 'lab', 'pve1', '{}', 1700000300000, 'keep', 'ada', 1700000100000, 1700000000000),
    ('op_01HF7YAT00000000000000000C', 'lab', 'pve2', '{}', NULL, NULL, '', NULL, 1700000000003);
INSERT INTO forwards (id, cluster, node, proto, family, listen_address, listen_port, vmid, name, target_port, created_by, created_ms) VALUES
    ('fw_01HF7YAT00000000000000000A', 'lab', 'pve1', 'tcp', 'ipv4', '0.0.0.0', 8080, 201, 'web-0', 80, 'ada', 1700000000000);
