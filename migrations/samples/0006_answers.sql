INSERT INTO audit (id, at_ms, event, user_id, user_name, guild_id, channel_id, verb, target, plan_id, operation_id, detail) VALUES
    ('au_01HF7YAT00000000000000000C', 1700000000003, 'answered', '7', 'ada', NULL, NULL, 'bridge.secure', 'vmbr5 on pve1 (lab)',
     NULL, NULL, 'pve1 over SSH, bridge-set vmbr5 stp on: done');
