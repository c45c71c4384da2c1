INSERT INTO forwards (id, cluster, node, proto, family, listen_address, listen_port, vmid, name, target_port, created_by, created_ms, port_name) VALUES
    ('fw_01HF7YAT00000000000000000C', 'lab', 'pve2', 'tcp', 'ipv4', '', 8443, 201, 'web-0', 443, 'ada', 1700000000000, 'https');
