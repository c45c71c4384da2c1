-- Forwards that come from a pod's specification name their port there. The pair is postgres/0009_forward_ports.sql.

ALTER TABLE forwards ADD COLUMN port_name TEXT;
