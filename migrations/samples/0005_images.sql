-- Rows that later migrations find in the tables. The same text runs on both databases.
INSERT INTO images (cluster, owner, volid, digest, bytes, prepared_ms, last_used_ms, data) VALUES
    ('lab', 'pve1', 'local:vztmpl/alpine_3.tar', 'sha256:00', 3221225, 1700000000000, 1700000600000, '{}'),
    ('lab', '*', 'nas:iso/debian-12.iso', NULL, 661651456, 1700000000001, 0, '{}');
