INSERT INTO forwards (id, cluster, node, proto, family, listen_address, listen_port, vmid, name, target_port, created_by, created_ms, port_name, pinned) VALUES
    ('fw_01HF7YAT00000000000000000D', 'lab', 'pve2', 'udp', 'ipv4', '', 5353, 201, 'web-0', 53, 'ada', 1700000000000, NULL, '10.9.0.7');
