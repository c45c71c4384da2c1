-- Rows that later migrations find in the tables. The same text runs on both databases.
-- Written as this migration leaves the tables; never changed afterwards.
INSERT INTO cards (id, plan_id, guild_id, channel_id, message_id, wanted, shown, created_ms) VALUES
    ('ca_01HF7YAT00000000000000000A', 'pl_01HF7YAT00000000000000000A', '1', '2', '3', 4, 3, 1700000000000),
    ('ca_01HF7YAT00000000000000000B', 'pl_01HF7YAT00000000000000000B', '1', '2', NULL, 0, 0, 1700000000001);
INSERT INTO plans (id, card_id, state, why, operation_id, created_ms, expires_ms, data) VALUES
    ('pl_01HF7YAT00000000000000000A', 'ca_01HF7YAT00000000000000000A', 'confirmed', '',
     'op_01HF7YAT00000000000000000A', 1700000000000, 1700000600000, '{}'),
    ('pl_01HF7YAT00000000000000000B', 'ca_01HF7YAT00000000000000000B', 'dropped', 'expired',
     NULL, 1700000000001, 1700000600001, '{}');
INSERT INTO operations (id, plan_id, cluster, vmid, new_vmid, state, created_ms, lease_owner, lease_until_ms, lease_gen, cancel_by, data) VALUES
    ('op_01HF7YAT00000000000000000A', 'pl_01HF7YAT00000000000000000A', 'lab', 201, NULL, 'succeeded',
     1700000000000, 'host-1', 1700000030000, 2, 'ada', '{}');
INSERT INTO audit (id, at_ms, event, user_id, user_name, guild_id, channel_id, verb, target, plan_id, operation_id, detail) VALUES
    ('au_01HF7YAT00000000000000000A', 1700000000000, 'proposed', '7', 'ada', '1', '2', 'guest.stop', 'web-0 (lab/201)',
     'pl_01HF7YAT00000000000000000A', NULL, 'rule 1'),
    ('au_01HF7YAT00000000000000000B', 1700000000002, 'ended', NULL, 'gantry', NULL, NULL, 'guest.stop', 'web-0 (lab/201)',
     'pl_01HF7YAT00000000000000000A', 'op_01HF7YAT00000000000000000A', 'OK');
INSERT INTO interactions (id, seen_ms) VALUES ('1170000000000000001', 1700000000000);
INSERT INTO pods (cluster, vmid, name, operation_id, created_ms, spec) VALUES
    ('lab', 201, 'web-0', 'op_01HF7YAT00000000000000000A', 1700000000000, '{}');
INSERT INTO screens (id, kind, owner_id, data, created_ms, expires_ms) VALUES
    ('sc_01HF7YAT00000000000000000A', 'page', '7', '{}', 1700000000000, 1700003600000);
INSERT INTO settings (key, value, changed_ms) VALUES ('commands-hash', 'abc', 1700000000000);
INSERT INTO counters (key, day, value) VALUES ('identify', 19675, 3);
