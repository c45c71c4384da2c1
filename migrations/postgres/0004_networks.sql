-- Changes of networks with the way back, and port forwards. The pair is sqlite/0004_networks.sql.

-- What a network was before an operation changed it, and what became of the change. `former` is the
-- configuration; `until_ms` the moment at which it is put back unless somebody has pressed Keep.
CREATE TABLE network_changes (
    operation_id TEXT   NOT NULL PRIMARY KEY REFERENCES operations (id),
    cluster      TEXT   NOT NULL,
    scope        TEXT   NOT NULL,
    former       TEXT   NOT NULL,
    until_ms     BIGINT,
    decision     TEXT   CHECK (decision IN ('keep', 'put-back', 'lapsed', 'failed')),
    decided_by   TEXT   NOT NULL DEFAULT '',
    decided_ms   BIGINT,
    created_ms   BIGINT NOT NULL,
    CHECK ((decision IS NULL) = (decided_ms IS NULL))
);

-- Which ports of which node lead to which guest. One listening port leads to one place.
CREATE TABLE forwards (
    id             TEXT   NOT NULL PRIMARY KEY,
    cluster        TEXT   NOT NULL,
    node           TEXT   NOT NULL,
    proto          TEXT   NOT NULL CHECK (proto IN ('tcp', 'udp')),
    family         TEXT   NOT NULL CHECK (family IN ('ipv4', 'ipv6')),
    listen_address TEXT   NOT NULL,
    listen_port    BIGINT NOT NULL CHECK (listen_port BETWEEN 1 AND 65535),
    vmid           BIGINT NOT NULL,
    name           TEXT   NOT NULL,
    target_port    BIGINT NOT NULL CHECK (target_port BETWEEN 1 AND 65535),
    created_by     TEXT   NOT NULL,
    created_ms     BIGINT NOT NULL,
    UNIQUE (cluster, node, proto, family, listen_address, listen_port)
);
CREATE INDEX forwards_guest ON forwards (cluster, vmid);
