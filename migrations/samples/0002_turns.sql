-- Rows that later migrations find in the tables. The same text runs on both databases.
INSERT INTO cards (id, plan_id, guild_id, channel_id, message_id, wanted, shown, created_ms) VALUES
    ('ca_01HF7YAT00000000000000000C', 'pl_01HF7YAT00000000000000000C', '1', '2', '4', 1, 0, 1700000000003);
INSERT INTO plans (id, card_id, state, why, operation_id, created_ms, expires_ms, data) VALUES
    ('pl_01HF7YAT00000000000000000C', 'ca_01HF7YAT00000000000000000C', 'confirmed', '',
     'op_01HF7YAT00000000000000000C', 1700000000003, 1700000600003, '{}');
INSERT INTO operations (id, plan_id, cluster, vmid, new_vmid, state, created_ms, lease_owner, lease_until_ms, lease_gen, cancel_by, data, turn) VALUES
    ('op_01HF7YAT00000000000000000C', 'pl_01HF7YAT00000000000000000C', 'lab', 202, NULL, 'running',
     1700000000003, 'host-1', 1700000030000, 1, NULL, '{}', 'guest lab/202');
