-- Rows that later migrations find in the tables. The same text runs on both databases.
INSERT INTO watches (what, lease_owner, lease_until_ms, lease_gen) VALUES ('health lab', 'host-1', 1700000030000, 2);
INSERT INTO health (cluster, vmid, data) VALUES ('lab', 201, '{}');
