INSERT INTO forward_leftovers (forward_id, cluster, node, vmid, name, ruled) VALUES
    ('fw_01HF7YAT00000000000000000Z', 'lab', 'pve1', 202, 'web-1', 1);
