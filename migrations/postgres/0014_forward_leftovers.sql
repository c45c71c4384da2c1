-- What removed forwards have left on nodes and in firewalls, until it is gone there as well, and since when the firewall rule
-- of a forward is there. The pair is sqlite/0014_forward_leftovers.sql.

-- NULL: its rule is still to be put in, once.
ALTER TABLE forwards ADD COLUMN ruled_ms BIGINT;

-- A row goes when the node's table is right without it. `ruled`: its guest's firewall still has its rule.
CREATE TABLE forward_leftovers (
    forward_id TEXT   NOT NULL,
    cluster    TEXT   NOT NULL,
    node       TEXT   NOT NULL,
    vmid       BIGINT NOT NULL,
    name       TEXT   NOT NULL,
    ruled      BIGINT NOT NULL CHECK (ruled IN (0, 1)),
    PRIMARY KEY (forward_id, node)
);
CREATE INDEX forward_leftovers_node ON forward_leftovers (cluster, node);
