//! Every SQL text of gantry, named. A test prepares each of them on both databases.
//!
//! Rules: `$1` parameters, never text pasted together from outside; `now` is a parameter, never the
//! database's clock; every list has a LIMIT.

use crate::dialect::{Text, claiming, holding};

/// SQLite only: the first thing that is wrong with the file, or `ok`.
pub(crate) const QUICK_CHECK: Text = Text::same("PRAGMA quick_check(1)");

macro_rules! texts {
    ($($name:ident = $text:expr;)*) => {
        $(pub(crate) const $name: Text = $text;)*
        /// Every text with its name.
        #[cfg(feature = "testing")]
        pub(crate) const ALL: &[(&str, Text)] = &[$((stringify!($name), $name),)*];
    };
}

macro_rules! card_columns {
    () => {
        "id, plan_id, guild_id, channel_id, message_id, wanted, shown, attempts, created_ms, last_error, given_up"
    };
}
macro_rules! incident_columns {
    () => {
        "id, acked_by, acked_name, acked_ms, data"
    };
}
macro_rules! operation_columns {
    () => {
        "id, plan_id, state, cancel_by, lease_gen, data"
    };
}
macro_rules! audit_columns {
    () => {
        "id, at_ms, event, user_id, user_name, guild_id, channel_id, verb, target, plan_id, operation_id, detail"
    };
}
macro_rules! forward_columns {
    () => {
        "id, cluster, node, proto, family, listen_address, listen_port, vmid, name, target_port, created_by, \
         created_ms, port_name, pinned"
    };
}
/// A page and its count over operations. `$lead` is the condition an index answers; the others are optional.
macro_rules! operations_where {
    ($lead:literal) => {
        concat!(
            " FROM operations WHERE ",
            $lead,
            " AND (CAST($1 AS BIGINT) = 0 OR state IN ('queued', 'running'))",
            " AND (CAST($2 AS TEXT) IS NULL OR cluster = $2)",
            " AND (CAST($3 AS BIGINT) IS NULL OR vmid = $3)",
            " AND (CAST($4 AS TEXT) IS NULL OR turn = $4)"
        )
    };
}
macro_rules! operations_page {
    ($lead:literal) => {
        Text::same(concat!(
            "SELECT ",
            operation_columns!(),
            operations_where!($lead),
            " ORDER BY created_ms DESC, id DESC LIMIT $5 OFFSET $6"
        ))
    };
}
macro_rules! operations_count {
    ($lead:literal) => {
        Text::same(concat!("SELECT COUNT(*) AS total", operations_where!($lead)))
    };
}
macro_rules! audit_where {
    ($lead:literal) => {
        concat!(
            " FROM audit WHERE ",
            $lead,
            " AND (CAST($1 AS TEXT) IS NULL OR plan_id = $1)",
            " AND (CAST($2 AS TEXT) IS NULL OR operation_id = $2)",
            " AND (CAST($3 AS TEXT) IS NULL OR user_id = $3)"
        )
    };
}
macro_rules! audit_page {
    ($lead:literal) => {
        Text::same(concat!(
            "SELECT ",
            audit_columns!(),
            audit_where!($lead),
            " ORDER BY at_ms DESC, id DESC LIMIT $4 OFFSET $5"
        ))
    };
}
macro_rules! audit_count {
    ($lead:literal) => {
        Text::same(concat!("SELECT COUNT(*) AS total", audit_where!($lead)))
    };
}

texts! {
    PING = Text::same("SELECT 1");

    // Migrations.
    MIGRATIONS_TABLE = Text::same(
        "CREATE TABLE IF NOT EXISTS migrations (version BIGINT NOT NULL PRIMARY KEY, name TEXT NOT NULL, \
         sha256 TEXT NOT NULL)");
    MIGRATIONS_LIST = Text::same("SELECT version, name, sha256 FROM migrations ORDER BY version LIMIT 10000");
    MIGRATION_INSERT = Text::same("INSERT INTO migrations (version, name, sha256) VALUES ($1, $2, $3)");

    // Plans.
    PLAN_INSERT = Text::same(
        "INSERT INTO plans (id, card_id, state, operation_id, created_ms, expires_ms, data) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)");
    PLAN_FIND = Text::same(
        "SELECT id, card_id, state, why, operation_id, data FROM plans WHERE id = $1");
    PLAN_CONFIRM = Text::same(
        "UPDATE plans SET state = 'confirmed', operation_id = $2 \
         WHERE id = $1 AND state = 'open' AND expires_ms > $3 RETURNING card_id");
    PLAN_DROP = Text::same(
        "UPDATE plans SET state = 'dropped', why = $2 WHERE id = $1 AND state = 'open' RETURNING card_id");
    PLANS_EXPIRED = Text::same(
        "SELECT id, data FROM plans WHERE state = 'open' AND expires_ms <= $1 \
         ORDER BY expires_ms, id LIMIT $2");

    // Operations.
    OPERATION_INSERT = Text::same(
        "INSERT INTO operations (id, plan_id, cluster, vmid, new_vmid, state, created_ms, cancel_by, data, turn) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)");
    OPERATION_FIND = Text::same(concat!(
        "SELECT ", operation_columns!(), " FROM operations WHERE id = $1"));
    OPERATION_HOLD = holding!(
        "SELECT id, plan_id, state, cancel_by, lease_gen, data FROM operations WHERE id = $1");
    OPERATION_CLAIM = claiming!(
        "UPDATE operations SET lease_owner = $1, lease_until_ms = $2, lease_gen = lease_gen + 1 \
         WHERE id = (SELECT id FROM operations WHERE state IN ('queued', 'running') \
         AND (lease_until_ms <= $3 OR lease_until_ms > $4) ORDER BY created_ms, id LIMIT 1",
        ") RETURNING id, plan_id, state, cancel_by, lease_gen, data");
    OPERATION_RENEW = Text::same(
        "UPDATE operations SET lease_until_ms = $3 \
         WHERE id = $1 AND lease_gen = $2 AND state IN ('queued', 'running')");
    OPERATION_RELEASE = Text::same(
        "UPDATE operations SET lease_until_ms = 0 WHERE id = $1 AND lease_gen = $2");
    OPERATIONS_FREE = Text::same("UPDATE operations SET lease_until_ms = 0 WHERE state IN ('queued', 'running')");
    OPERATION_SAVE = Text::same(
        "UPDATE operations SET state = $3, vmid = $4, new_vmid = $5, \
         cancel_by = COALESCE(cancel_by, $6), data = $7, turn = $8 WHERE id = $1 AND lease_gen = $2");
    OPERATION_CANCEL = Text::same(
        "UPDATE operations SET cancel_by = $2 \
         WHERE id = $1 AND cancel_by IS NULL AND state IN ('queued', 'running')");
    OPERATION_RESERVED = Text::same(
        "SELECT new_vmid FROM operations WHERE cluster = $1 AND new_vmid IS NOT NULL \
         AND state IN ('queued', 'running') ORDER BY new_vmid LIMIT 10000");
    OPERATIONS_ENDED = Text::same(
        "SELECT COALESCE(SUM(CASE WHEN state IN ('succeeded', 'warned') THEN 1 ELSE 0 END), 0) AS done, \
         COALESCE(SUM(CASE WHEN state IN ('failed', 'unknown') THEN 1 ELSE 0 END), 0) AS failed \
         FROM operations WHERE cluster = $1 AND created_ms >= $2");
    OPERATIONS_PAGE = operations_page!("1 = 1");
    OPERATIONS_COUNT = operations_count!("1 = 1");
    OPERATIONS_OPEN_PAGE = operations_page!("state IN ('queued', 'running')");
    OPERATIONS_OPEN_COUNT = operations_count!("state IN ('queued', 'running')");
    OPERATIONS_GUEST_PAGE = operations_page!("cluster = $2 AND vmid = $3");
    OPERATIONS_GUEST_COUNT = operations_count!("cluster = $2 AND vmid = $3");
    OPERATIONS_TURN_PAGE = operations_page!("turn = $4");
    OPERATIONS_TURN_COUNT = operations_count!("turn = $4");

    // Cards.
    CARD_INSERT = Text::same(
        "INSERT INTO cards (id, plan_id, guild_id, channel_id, wanted, created_ms) \
         VALUES ($1, $2, $3, $4, $5, $6)");
    CARD_FIND = Text::same(concat!("SELECT ", card_columns!(), " FROM cards WHERE id = $1"));
    CARD_OF_INCIDENT = Text::same(concat!(
        "SELECT ", card_columns!(), " FROM cards WHERE plan_id = $1"));
    CARD_OF_PLAN = Text::same(concat!(
        "SELECT ", card_columns!(), " FROM cards WHERE id = (SELECT card_id FROM plans WHERE id = $1)"));
    CARD_OF_OPERATION = Text::same(concat!(
        "SELECT ", card_columns!(), " FROM cards WHERE id = (SELECT card_id FROM plans WHERE id = \
         (SELECT plan_id FROM operations WHERE id = $1))"));
    CARD_WANT = Text::same("UPDATE cards SET wanted = wanted + 1 WHERE id = $1");
    CARD_WANT_FOR_PLAN = Text::same(
        "UPDATE cards SET wanted = wanted + 1 WHERE id = (SELECT card_id FROM plans WHERE id = $1)");
    CARD_WANT_FOR_OPERATION = Text::same(
        "UPDATE cards SET wanted = wanted + 1 WHERE id = (SELECT card_id FROM plans WHERE id = \
         (SELECT plan_id FROM operations WHERE id = $1))");
    CARD_SUBJECT = Text::same("UPDATE cards SET plan_id = $2, wanted = wanted + 1 WHERE id = $1");
    CARD_POSTED = Text::same("UPDATE cards SET channel_id = $2, message_id = $3 WHERE id = $1");
    CARD_CLAIM = claiming!(
        "UPDATE cards SET lease_owner = $1, lease_until_ms = $2 \
         WHERE id = (SELECT id FROM cards WHERE wanted > shown AND given_up = 0 \
         AND due_ms <= $3 AND (lease_until_ms <= $3 OR lease_until_ms > $5) \
         AND (message_id IS NOT NULL OR created_ms <= $4) \
         ORDER BY due_ms, id LIMIT 1",
        ") RETURNING id, plan_id, guild_id, channel_id, message_id, wanted, shown, attempts, created_ms, \
         last_error, given_up");
    CARDS_FREE = Text::same("UPDATE cards SET lease_until_ms = 0 WHERE wanted > shown");
    CARDS_PENDING = Text::same(
        "SELECT id FROM cards WHERE wanted > shown AND given_up = 0 ORDER BY due_ms LIMIT 1");
    CARDS_WAITING = Text::same(
        "SELECT id, shown FROM cards WHERE wanted > shown AND given_up = 0 AND created_ms < $1 \
         ORDER BY due_ms, id LIMIT $2");
    CARD_KEEP = Text::same(
        "UPDATE cards SET lease_owner = $2, lease_until_ms = $3 \
         WHERE id = $1 AND (lease_owner = $2 OR lease_until_ms <= $4)");
    CARD_ANSWERED = Text::same(
        "UPDATE cards SET channel_id = $2, message_id = $3, lease_until_ms = \
         CASE WHEN lease_owner = $4 THEN 0 ELSE lease_until_ms END WHERE id = $1");
    CARD_SHOWN = Text::same(
        "UPDATE cards SET shown = CASE WHEN shown < $2 THEN $2 ELSE shown END, due_ms = $3, \
         attempts = 0, last_error = NULL, lease_until_ms = 0 \
         WHERE id = $1 AND (lease_owner IS NULL OR lease_owner = $4)");
    CARD_RETRY = Text::same(
        "UPDATE cards SET attempts = attempts + 1, due_ms = $2, last_error = $3, lease_until_ms = 0 \
         WHERE id = $1 AND (lease_owner IS NULL OR lease_owner = $4)");
    CARD_LOST = Text::same(
        "UPDATE cards SET message_id = NULL, due_ms = 0, lease_until_ms = 0, attempts = attempts + 1, \
         shown = CASE WHEN shown >= wanted THEN wanted - 1 ELSE shown END WHERE id = $1");
    CARD_GIVEN_UP = Text::same(
        "UPDATE cards SET given_up = 1, last_error = $2, lease_until_ms = 0 \
         WHERE id = $1 AND (lease_owner IS NULL OR lease_owner = $3)");

    // Audit.
    AUDIT_INSERT = Text::same(
        "INSERT INTO audit (id, at_ms, event, user_id, user_name, guild_id, channel_id, verb, target, \
         plan_id, operation_id, detail) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
         ON CONFLICT (id) DO NOTHING");
    AUDIT_FIND = Text::same(concat!("SELECT ", audit_columns!(), " FROM audit WHERE id = $1"));
    AUDIT_PAGE = audit_page!("1 = 1");
    AUDIT_COUNT = audit_count!("1 = 1");
    AUDIT_PLAN_PAGE = audit_page!("plan_id = $1");
    AUDIT_PLAN_COUNT = audit_count!("plan_id = $1");
    AUDIT_OPERATION_PAGE = audit_page!("operation_id = $2");
    AUDIT_OPERATION_COUNT = audit_count!("operation_id = $2");
    AUDIT_USER_PAGE = audit_page!("user_id = $3");
    AUDIT_USER_COUNT = audit_count!("user_id = $3");

    // Interactions and screens.
    INTERACTION_INSERT = Text::same(
        "INSERT INTO interactions (id, seen_ms) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING");
    INTERACTIONS_FORGET = Text::same(
        "DELETE FROM interactions WHERE id IN \
         (SELECT id FROM interactions WHERE seen_ms < $1 ORDER BY seen_ms LIMIT $2)");
    SCREEN_SAVE = Text::same(
        "INSERT INTO screens (id, kind, owner_id, data, created_ms, expires_ms) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (id) DO UPDATE SET \
         kind = excluded.kind, owner_id = excluded.owner_id, data = excluded.data, \
         expires_ms = excluded.expires_ms");
    SCREEN_FIND = Text::same(
        "SELECT id, kind, owner_id, data, created_ms, expires_ms FROM screens \
         WHERE id = $1 AND expires_ms > $2");
    SCREENS_FORGET = Text::same(
        "DELETE FROM screens WHERE id IN \
         (SELECT id FROM screens WHERE expires_ms < $1 ORDER BY expires_ms LIMIT $2)");

    // Pods.
    POD_SAVE = Text::same(
        "INSERT INTO pods (cluster, vmid, name, operation_id, created_ms, spec) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (cluster, vmid) DO UPDATE SET \
         name = excluded.name, operation_id = excluded.operation_id, \
         created_ms = excluded.created_ms, spec = excluded.spec");
    POD_FIND = Text::same(
        "SELECT cluster, vmid, name, operation_id, created_ms, spec FROM pods \
         WHERE cluster = $1 AND vmid = $2");
    PODS_LIST = Text::same(
        "SELECT cluster, vmid, name, operation_id, created_ms, spec FROM pods \
         WHERE (CAST($1 AS TEXT) IS NULL OR cluster = $1) ORDER BY cluster, vmid LIMIT 10000");
    POD_REMOVE = Text::same("DELETE FROM pods WHERE cluster = $1 AND vmid = $2");

    // Sets.
    SET_INSERT = Text::same(
        "INSERT INTO sets (cluster, name, version, operation_id, created_ms, changed_ms, data) \
         VALUES ($1, $2, 1, $3, $4, $4, $5) ON CONFLICT (cluster, name) DO NOTHING");
    SET_CHANGE = Text::same(
        "UPDATE sets SET version = version + 1, operation_id = $4, changed_ms = $5, data = $6 \
         WHERE cluster = $1 AND name = $2 AND version = $3");
    SET_FIND = Text::same(
        "SELECT version, lease_gen, data FROM sets WHERE cluster = $1 AND name = $2");
    SET_HOLD = holding!(
        "SELECT version, lease_gen, data FROM sets WHERE cluster = $1 AND name = $2");
    SETS_LIST = Text::same(
        "SELECT name, version, lease_gen, data FROM sets WHERE (CAST($1 AS TEXT) IS NULL OR cluster = $1) \
         ORDER BY cluster, name LIMIT 1000");
    SETS_LEASES = Text::same(
        "SELECT name, version, lease_gen, lease_owner, lease_until_ms, data FROM sets WHERE cluster = $1 \
         ORDER BY name LIMIT 1000");
    SETS_LEAD = Text::same(
        "UPDATE sets SET lease_gen = CASE WHEN lease_owner = $2 AND lease_until_ms > $3 THEN lease_gen \
         ELSE lease_gen + 1 END, lease_owner = $2, lease_until_ms = $4 \
         WHERE cluster = $1 AND (lease_owner = $2 OR lease_until_ms <= $3) \
         RETURNING name, version, lease_gen");
    SETS_FREE = Text::same("UPDATE sets SET lease_until_ms = 0");
    SET_REMOVE = Text::same("DELETE FROM sets WHERE cluster = $1 AND name = $2");
    REVISION_SAVE = Text::same(
        "INSERT INTO set_revisions (cluster, name, number, data) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (cluster, name, number) DO UPDATE SET data = excluded.data");
    REVISIONS_LIST = Text::same(
        "SELECT data FROM set_revisions WHERE cluster = $1 AND name = $2 ORDER BY number DESC LIMIT 200");
    REVISIONS_FORGET = Text::same(
        "DELETE FROM set_revisions WHERE cluster = $1 AND name = $2 AND number < $3 AND number <> $4");
    ORDINAL_INSERT = Text::same(
        "INSERT INTO set_ordinals (cluster, name, ordinal, vmid, data) VALUES ($1, $2, $3, $4, $5)");
    ORDINAL_HOLD = holding!(
        "SELECT data FROM set_ordinals WHERE cluster = $1 AND name = $2 AND ordinal = $3");
    ORDINAL_SAVE = Text::same(
        "UPDATE set_ordinals SET operation_id = $4, settled_id = $5, data = $6 \
         WHERE cluster = $1 AND name = $2 AND ordinal = $3");
    ORDINALS_NUMBERS = Text::same(
        "SELECT vmid, data FROM set_ordinals WHERE cluster = $1 ORDER BY vmid LIMIT 100000");
    ORDINAL_REMOVE = Text::same(
        "DELETE FROM set_ordinals WHERE cluster = $1 AND name = $2 AND ordinal = $3");
    ORDINALS_REMOVE = Text::same("DELETE FROM set_ordinals WHERE cluster = $1 AND name = $2");
    ORDINALS_LIST = Text::same(
        "SELECT o.name, o.data, p.data AS op_data, p.id AS op_id, p.plan_id AS op_plan_id, p.state AS op_state, \
         p.cancel_by AS op_cancel_by FROM set_ordinals o LEFT JOIN operations p ON p.id = o.operation_id \
         AND (o.settled_id IS NULL OR o.settled_id <> o.operation_id) \
         WHERE o.cluster = $1 AND (CAST($2 AS TEXT) IS NULL OR o.name = $2) \
         ORDER BY o.name, o.ordinal LIMIT 100000");
    // Images.
    IMAGE_SAVE = Text::same(
        "INSERT INTO images (cluster, owner, volid, digest, bytes, prepared_ms, last_used_ms, data) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (cluster, owner, volid) DO UPDATE SET \
         digest = excluded.digest, bytes = excluded.bytes, prepared_ms = excluded.prepared_ms, \
         data = excluded.data");
    IMAGES_LIST = Text::same(
        "SELECT cluster, owner, volid, digest, bytes, prepared_ms, last_used_ms, data FROM images \
         WHERE (CAST($1 AS TEXT) IS NULL OR cluster = $1) ORDER BY cluster, volid, owner LIMIT 10000");
    IMAGE_TOUCH = Text::same(
        "UPDATE images SET last_used_ms = $4 WHERE cluster = $1 AND volid = $2 \
         AND (owner = $3 OR owner = '*') AND last_used_ms < $4");
    IMAGE_REMOVE = Text::same("DELETE FROM images WHERE cluster = $1 AND owner = $2 AND volid = $3");

    // Health of pods, and who asks.
    WATCH_HOLD = Text::same(
        "INSERT INTO watches (what, lease_owner, lease_until_ms, lease_gen) VALUES ($1, $2, $4, 1) \
         ON CONFLICT (what) DO UPDATE SET lease_gen = CASE WHEN watches.lease_owner = excluded.lease_owner \
         AND watches.lease_until_ms > $3 THEN watches.lease_gen ELSE watches.lease_gen + 1 END, \
         lease_owner = excluded.lease_owner, lease_until_ms = excluded.lease_until_ms \
         WHERE watches.lease_owner = excluded.lease_owner OR watches.lease_until_ms <= $3 \
         RETURNING lease_gen");
    WATCH_FIND = holding!("SELECT lease_gen FROM watches WHERE what = $1");
    WATCHES_FREE = Text::same("UPDATE watches SET lease_until_ms = 0");
    HEALTH_SAVE = Text::same(
        "INSERT INTO health (cluster, vmid, data) VALUES ($1, $2, $3) \
         ON CONFLICT (cluster, vmid) DO UPDATE SET data = excluded.data");
    HEALTH_LIST = Text::same(
        "SELECT vmid, data FROM health WHERE cluster = $1 ORDER BY vmid LIMIT 10000");
    HEALTH_FORGET = Text::same(
        "DELETE FROM health WHERE cluster = $1 AND NOT EXISTS \
         (SELECT 1 FROM pods p WHERE p.cluster = health.cluster AND p.vmid = health.vmid)");

    // Changes of networks.
    NETWORK_CHANGE_SAVE = Text::same(
        "INSERT INTO network_changes (operation_id, cluster, scope, former, created_ms) \
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (operation_id) DO NOTHING");
    NETWORK_CHANGE_FIND = Text::same(
        "SELECT operation_id, former, until_ms, decision, decided_by, decided_ms FROM network_changes \
         WHERE operation_id = $1");
    NETWORK_CHANGE_UNTIL = Text::same(
        "UPDATE network_changes SET until_ms = $2 WHERE operation_id = $1 AND until_ms IS NULL");
    NETWORK_CHANGE_DECIDE = Text::same(
        "UPDATE network_changes SET decision = $2, decided_by = $3, decided_ms = $4 \
         WHERE operation_id = $1 AND decision IS NULL");
    NETWORK_CHANGE_PRESS = Text::same(
        "UPDATE network_changes SET decision = $2, decided_by = $3, decided_ms = $4 \
         WHERE operation_id = $1 AND decision IS NULL AND until_ms > $4");

    // Alerts.
    ALERT_SAVE = Text::same(
        "INSERT INTO alerts (guild_id, rule, subject, cluster, phase, incident_id, changed_ms, data) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (guild_id, rule, subject) DO UPDATE SET \
         phase = excluded.phase, incident_id = excluded.incident_id, \
         changed_ms = excluded.changed_ms, data = excluded.data");
    ALERT_REMOVE = Text::same("DELETE FROM alerts WHERE guild_id = $1 AND rule = $2 AND subject = $3");
    ALERTS_MOST = Text::same(
        "SELECT COALESCE(MAX(n), 0) AS total FROM (SELECT COUNT(*) AS n FROM alerts GROUP BY guild_id) AS per_server");
    ALERTS_LIST = Text::same(
        "SELECT subject, data FROM alerts WHERE guild_id = $1 ORDER BY rule, subject LIMIT 100000");
    INCIDENT_SAVE = Text::same(
        "INSERT INTO incidents (id, guild_id, cluster, rule, kind, severity, opened_ms, resolved_ms, data) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (id) DO UPDATE SET \
         severity = excluded.severity, resolved_ms = excluded.resolved_ms, data = excluded.data");
    INCIDENT_FIND = Text::same(concat!("SELECT ", incident_columns!(), " FROM incidents WHERE id = $1"));
    INCIDENTS_LATELY = Text::same(concat!(
        "SELECT ", incident_columns!(), " FROM incidents WHERE guild_id = $1 \
         AND (resolved_ms IS NULL OR resolved_ms >= $2) \
         ORDER BY CASE WHEN resolved_ms IS NULL THEN 0 ELSE 1 END, opened_ms DESC, id DESC LIMIT $3"));
    INCIDENTS_PAGE = Text::same(concat!(
        "SELECT ", incident_columns!(), " FROM incidents WHERE guild_id = $1 \
         AND (CAST($2 AS BIGINT) = 0 OR resolved_ms IS NULL) ORDER BY opened_ms DESC, id DESC LIMIT $3 OFFSET $4"));
    INCIDENTS_COUNT = Text::same(
        "SELECT COUNT(*) AS total FROM incidents WHERE guild_id = $1 \
         AND (CAST($2 AS BIGINT) = 0 OR resolved_ms IS NULL)");
    INCIDENTS_OPEN_OF = Text::same(concat!(
        "SELECT ", incident_columns!(), " FROM incidents WHERE guild_id = $1 AND resolved_ms IS NULL \
         AND (cluster = $2 OR CAST($2 AS TEXT) IS NULL AND cluster IS NULL) \
         ORDER BY CASE severity WHEN 'critical' THEN 0 WHEN 'error' THEN 1 WHEN 'warning' THEN 2 ELSE 3 END, \
         opened_ms DESC, id DESC LIMIT $3"));
    INCIDENTS_OPEN_OF_COUNT = Text::same(
        "SELECT COUNT(*) AS total FROM incidents WHERE guild_id = $1 AND resolved_ms IS NULL \
         AND (cluster = $2 OR CAST($2 AS TEXT) IS NULL AND cluster IS NULL)");
    INCIDENT_ACKS = Text::same(
        "SELECT id, acked_by, acked_name, acked_ms FROM incidents WHERE guild_id = $1 \
         AND resolved_ms IS NULL AND acked_by IS NOT NULL ORDER BY id LIMIT 10000");
    INCIDENT_ACK = Text::same(
        "UPDATE incidents SET acked_by = $2, acked_name = $3, acked_ms = $4 \
         WHERE id = $1 AND acked_by IS NULL AND resolved_ms IS NULL");
    INCIDENTS_FORGET = Text::same(
        "DELETE FROM incidents WHERE id IN (SELECT id FROM incidents WHERE resolved_ms < $1 \
         ORDER BY resolved_ms LIMIT $2)");
    INCIDENT_THREAD_FIND = Text::same(
        "SELECT starter_id, thread_id, told, telling, tags FROM incident_threads WHERE incident_id = $1");
    INCIDENT_THREAD_SAVE = Text::same(
        "INSERT INTO incident_threads (incident_id, starter_id, thread_id, told, telling, tags) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (incident_id) DO UPDATE SET \
         starter_id = excluded.starter_id, thread_id = excluded.thread_id, told = excluded.told, \
         telling = excluded.telling, tags = excluded.tags");
    INCIDENT_THREADS_FORGET = Text::same(
        "DELETE FROM incident_threads WHERE NOT EXISTS \
         (SELECT 1 FROM incidents i WHERE i.id = incident_threads.incident_id)");
    NOTE_ADD = Text::same(
        "INSERT INTO incident_notes (id, incident_id, at_ms, user_id, user_name, text) \
         SELECT CAST($1 AS TEXT), i.id, CAST($3 AS BIGINT), CAST($4 AS TEXT), CAST($5 AS TEXT), \
         CAST($6 AS TEXT) FROM incidents i WHERE i.id = $2");
    NOTES_LIST = Text::same(
        "SELECT id, at_ms, user_id, user_name, text, told FROM incident_notes WHERE incident_id = $1 \
         ORDER BY id LIMIT 200");
    NOTE_TOLD = Text::same("UPDATE incident_notes SET told = 1 WHERE id = $1");
    NOTES_FORGET = Text::same(
        "DELETE FROM incident_notes WHERE NOT EXISTS \
         (SELECT 1 FROM incidents i WHERE i.id = incident_notes.incident_id)");
    CARD_FOR_INCIDENT = Text::same(
        "INSERT INTO cards (id, plan_id, guild_id, channel_id, wanted, created_ms) \
         VALUES ($1, $2, $3, $4, 0, $5) ON CONFLICT (id) DO NOTHING");
    CARD_WANT_FOR_INCIDENT = Text::same(
        "UPDATE cards SET wanted = wanted + 1, attempts = CASE WHEN given_up = 1 THEN 0 ELSE attempts END, \
         given_up = 0 WHERE plan_id = $1");
    BOARD_INSERT = Text::same(
        "INSERT INTO boards (id, guild_id, channel_id, data) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING");
    BOARD_FIND = Text::same("SELECT id, gone, shown, asked_ms, data FROM boards WHERE id = $1");
    BOARDS_LIST = Text::same(
        "SELECT id, gone, shown, asked_ms, data FROM boards WHERE gone = 0 \
         AND (CAST($1 AS TEXT) IS NULL OR guild_id = $1) ORDER BY id LIMIT 1000");
    BOARD_GONE = Text::same("UPDATE boards SET gone = 1 WHERE id = $1 AND gone = 0");
    BOARD_ASKED = Text::same("UPDATE boards SET shown = $2, asked_ms = $3 WHERE id = $1 AND gone = 0");
    BOARD_REMOVE = Text::same("DELETE FROM boards WHERE id = $1 AND gone = 1");
    POSTS_KNOWN = Text::same(
        "SELECT message_id FROM cards WHERE guild_id = $1 AND message_id = channel_id ORDER BY id DESC LIMIT 2000");
    CARD_ANEW = Text::same(
        "UPDATE cards SET wanted = wanted + 1, given_up = 0, attempts = 0 WHERE plan_id = $1");
    CARD_REMOVE = Text::same("DELETE FROM cards WHERE plan_id = $1");
    MUTE_SAVE = Text::same(
        "INSERT INTO alert_mutes (id, guild_id, kind, until_ms, data) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (id) DO UPDATE SET until_ms = excluded.until_ms, data = excluded.data");
    MUTES_LIST = Text::same(
        "SELECT id, data FROM alert_mutes WHERE guild_id = $1 AND until_ms > $2 ORDER BY until_ms, id LIMIT 1000");
    MUTES_FORGET = Text::same("DELETE FROM alert_mutes WHERE until_ms < $1");
    OVERRIDE_SAVE = Text::same(
        "INSERT INTO alert_overrides (guild_id, rule, selector, at_ms, data) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (guild_id, rule, selector) DO UPDATE SET at_ms = excluded.at_ms, data = excluded.data");
    OVERRIDES_REMOVE = Text::same("DELETE FROM alert_overrides WHERE guild_id = $1 AND rule = $2");
    OVERRIDES_LIST = Text::same(
        "SELECT rule, data FROM alert_overrides WHERE guild_id = $1 ORDER BY at_ms, rule, selector LIMIT 1000");
    SHIFT_ADD = Text::same(
        "INSERT INTO alert_shifts (guild_id, from_ms, until_ms, at_ms, data) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (guild_id, at_ms) DO UPDATE SET from_ms = excluded.from_ms, \
         until_ms = excluded.until_ms, data = excluded.data");
    SHIFTS_LIST = Text::same(
        "SELECT at_ms, data FROM alert_shifts WHERE guild_id = $1 AND until_ms > $2 ORDER BY at_ms LIMIT 1000");
    LOOK_SAVE = Text::same(
        "INSERT INTO alert_looks (cluster, at_ms, data) VALUES ($1, $2, $3) ON CONFLICT (cluster) \
         DO UPDATE SET at_ms = excluded.at_ms, data = excluded.data");
    LOOK_FIND = Text::same("SELECT data FROM alert_looks WHERE cluster = $1");
    ALERT_LEAD = Text::same(
        "INSERT INTO alert_lead (name, lease_owner, lease_until_ms, lease_gen) VALUES ($1, $2, $3, 1) \
         ON CONFLICT (name) DO UPDATE SET lease_gen = CASE WHEN alert_lead.lease_owner = $2 \
         AND alert_lead.lease_until_ms > $4 THEN alert_lead.lease_gen ELSE alert_lead.lease_gen + 1 END, \
         lease_owner = excluded.lease_owner, lease_until_ms = excluded.lease_until_ms \
         WHERE alert_lead.lease_owner = $2 OR alert_lead.lease_until_ms <= $4 OR alert_lead.lease_until_ms > $5 \
         RETURNING lease_gen");
    ALERT_LEADS = holding!("SELECT lease_gen FROM alert_lead WHERE name = $1 AND lease_gen = $2");
    ALERT_LEAD_FREE = Text::same("UPDATE alert_lead SET lease_until_ms = 0");

    // What was written while the clock ran ahead.
    CARDS_AHEAD = Text::same(
        "UPDATE cards SET due_ms = CASE WHEN due_ms > $2 THEN $1 ELSE due_ms END, \
         created_ms = CASE WHEN created_ms > $1 THEN $1 ELSE created_ms END \
         WHERE due_ms > $2 OR created_ms > $2");
    BOARDS_AHEAD = Text::same("UPDATE boards SET asked_ms = $1 WHERE asked_ms > $1");
    MIRRORS_AHEAD = Text::same(
        "UPDATE alert_mirrors SET due_ms = $1 WHERE due_ms > $2 AND state IN ('wanted', 'ending')");
    MUTES_ALL = Text::same("SELECT id, data FROM alert_mutes WHERE until_ms > $1 ORDER BY id LIMIT 10000");
    SHIFTS_AHEAD = Text::same(
        "SELECT guild_id, at_ms, data FROM alert_shifts WHERE from_ms > $1 ORDER BY at_ms LIMIT 1000");
    SHIFT_SAVE = Text::same(
        "UPDATE alert_shifts SET from_ms = $3, until_ms = $4, data = $5 WHERE guild_id = $1 AND at_ms = $2");

    // What others told, and silences mirrored to them.
    HOOKS_COUNT = Text::same(
        "SELECT COUNT(*) AS total, COALESCE(MAX(seq), 0) AS newest FROM hook_events WHERE taken_ms IS NULL");
    HOOK_SAVE = Text::same(
        "INSERT INTO hook_events (id, hook, seq, data) VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO UPDATE SET \
         again = hook_events.again + 1, seq = excluded.seq, taken_ms = NULL, data = excluded.data RETURNING again");
    HOOK_SAVE_EVENT = Text::same(
        "INSERT INTO hook_events (id, hook, seq, data) VALUES ($1, $2, $3, $4) ON CONFLICT (id) DO UPDATE SET \
         again = hook_events.again + 1 RETURNING again");
    HOOKS_LIST = Text::same(
        "SELECT id, seq, data FROM hook_events WHERE taken_ms IS NULL ORDER BY seq, id LIMIT $1");
    HOOKS_SINCE = Text::same(
        "SELECT seq, data FROM hook_events WHERE hook = $1 AND seq >= $2 AND (taken_ms IS NULL OR taken_ms >= $3) \
         ORDER BY seq DESC LIMIT $4");
    HOOK_TAKEN = Text::same("UPDATE hook_events SET taken_ms = $3 WHERE id = $1 AND seq = $2");
    HOOKS_FORGET = Text::same(
        "DELETE FROM hook_events WHERE id IN (SELECT id FROM hook_events WHERE taken_ms < $1 \
         ORDER BY taken_ms LIMIT $2)");
    MIRROR_INSERT = Text::same(
        "INSERT INTO alert_mirrors (id, mute_id, hook, state, until_ms, data) VALUES ($1, $2, $3, 'wanted', $4, $5) \
         ON CONFLICT (id) DO NOTHING");
    MIRROR_CLAIM = claiming!(
        "UPDATE alert_mirrors SET due_ms = $2, attempts = attempts + 1 WHERE id = (SELECT id FROM alert_mirrors \
         WHERE state IN ('wanted', 'ending') AND hook = $3 AND due_ms <= $1 ORDER BY due_ms, id LIMIT 1",
        ") RETURNING state, silence_id, attempts, data");
    MIRROR_MADE = Text::same(
        "UPDATE alert_mirrors SET silence_id = $2, due_ms = 0, attempts = 0, last_error = NULL, \
         state = CASE WHEN state = 'wanted' THEN 'made' ELSE state END WHERE id = $1");
    MIRROR_OVER = Text::same(
        "UPDATE alert_mirrors SET state = $2, last_error = $3 WHERE id = $1 AND state = $4");
    MIRRORS_LAPSED = Text::same(
        "UPDATE alert_mirrors SET state = 'ended', last_error = NULL \
         WHERE state IN ('wanted', 'ending') AND until_ms <= $1");
    MIRROR_RETRY = Text::same("UPDATE alert_mirrors SET due_ms = $2, last_error = $3 WHERE id = $1");
    MIRRORS_END = Text::same(
        "UPDATE alert_mirrors SET due_ms = CASE WHEN state = 'made' THEN 0 ELSE due_ms END, state = 'ending' \
         WHERE mute_id = $1 AND state IN ('wanted', 'made')");
    MIRRORS_OF = Text::same(
        "SELECT hook, state, last_error FROM alert_mirrors WHERE mute_id = $1 ORDER BY id LIMIT 1000");
    MIRRORS_FORGET = Text::same("DELETE FROM alert_mirrors WHERE until_ms < $1");
    FIGURES = Text::same(
        "SELECT 'operation' AS what, state AS label, COUNT(*) AS total FROM operations \
         WHERE state IN ('queued', 'running') GROUP BY state \
         UNION ALL SELECT 'incident', severity, COUNT(*) FROM incidents WHERE resolved_ms IS NULL GROUP BY severity \
         UNION ALL SELECT 'alert', phase, COUNT(*) FROM alerts GROUP BY phase \
         UNION ALL SELECT 'cards', '', COUNT(*) FROM cards WHERE wanted > shown AND given_up = 0 \
         UNION ALL SELECT 'hooks', '', COUNT(*) FROM hook_events WHERE taken_ms IS NULL \
         UNION ALL SELECT 'mirrors', state, COUNT(*) FROM alert_mirrors WHERE state IN ('wanted', 'ending') GROUP BY state \
         LIMIT 100");

    // Port forwards.
    FORWARD_INSERT = Text::same(
        "INSERT INTO forwards (id, cluster, node, proto, family, listen_address, listen_port, vmid, name, \
         target_port, created_by, created_ms, port_name, pinned) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) ON CONFLICT DO NOTHING");
    FORWARD_AT = Text::same(concat!("SELECT ", forward_columns!(), " FROM forwards WHERE cluster = $1 AND node = $2 \
         AND proto = $3 AND family = $4 AND listen_address = $5 AND listen_port = $6"));
    FORWARD_FIND = Text::same(concat!("SELECT ", forward_columns!(), " FROM forwards WHERE id = $1"));
    FORWARDS_LIST = Text::same(concat!("SELECT ", forward_columns!(), " FROM forwards \
         WHERE (CAST($1 AS TEXT) IS NULL OR cluster = $1) \
         ORDER BY cluster, node, listen_port, proto, family, listen_address LIMIT 10000"));
    FORWARD_REMOVE = Text::same("DELETE FROM forwards WHERE id = $1");
    FORWARD_PIN = Text::same("UPDATE forwards SET pinned = $2 WHERE id = $1 AND pinned IS NULL");
    FORWARD_CONFIRM = Text::same(
        "UPDATE forwards SET node = $2, pinned = $3, name = COALESCE(CAST($4 AS TEXT), name), \
         ruled_ms = CASE WHEN CAST($4 AS TEXT) IS NULL THEN ruled_ms ELSE NULL END WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM forwards o \
         WHERE o.id <> forwards.id AND o.cluster = forwards.cluster AND o.node = $2 AND o.proto = forwards.proto \
         AND o.family = forwards.family AND o.listen_address = forwards.listen_address \
         AND o.listen_port = forwards.listen_port)");
    FORWARDS_REMOVE_TO = Text::same("DELETE FROM forwards WHERE cluster = $1 AND vmid = $2");
    FORWARD_RULED = Text::same("UPDATE forwards SET ruled_ms = $2 WHERE id = $1");
    FORWARDS_UNRULED = Text::same(
        "SELECT id FROM forwards WHERE cluster = $1 AND ruled_ms IS NULL ORDER BY id LIMIT 10000");
    FORWARDS_UNRULE = Text::same("UPDATE forwards SET ruled_ms = NULL WHERE cluster = $1 AND vmid = $2");
    // What a forward leaves: its line and its rule where it is removed, its line where it listens elsewhere, its line
    // where its guest is gone with its firewall.
    LEFTOVER_REMOVED = Text::same(
        "INSERT INTO forward_leftovers (forward_id, cluster, node, vmid, name, ruled) \
         SELECT id, cluster, node, vmid, name, 1 FROM forwards WHERE id = $1 \
         ON CONFLICT (forward_id, node) DO UPDATE SET ruled = 1");
    LEFTOVER_MOVED = Text::same(
        "INSERT INTO forward_leftovers (forward_id, cluster, node, vmid, name, ruled) \
         SELECT id, cluster, node, vmid, name, 0 FROM forwards WHERE id = $1 AND node <> $2 \
         ON CONFLICT (forward_id, node) DO NOTHING");
    LEFTOVERS_GONE = Text::same(
        "INSERT INTO forward_leftovers (forward_id, cluster, node, vmid, name, ruled) \
         SELECT id, cluster, node, vmid, name, 0 FROM forwards WHERE cluster = $1 AND vmid = $2 \
         ON CONFLICT (forward_id, node) DO NOTHING");
    LEFTOVERS_LIST = Text::same(
        "SELECT forward_id, cluster, node, vmid, name, ruled FROM forward_leftovers WHERE cluster = $1 \
         ORDER BY node, forward_id LIMIT 10000");
    LEFTOVER_UNRULED = Text::same("UPDATE forward_leftovers SET ruled = 0 WHERE forward_id = $1");
    LEFTOVER_FORGET = Text::same(
        "DELETE FROM forward_leftovers WHERE forward_id = $1 AND node = $2 AND ruled = 0");

    // Settings and counters.
    SETTING_FIND = Text::same("SELECT value FROM settings WHERE key = $1");
    SETTING_SAVE = Text::same(
        "INSERT INTO settings (key, value, changed_ms) VALUES ($1, $2, $3) \
         ON CONFLICT (key) DO UPDATE SET value = excluded.value, changed_ms = excluded.changed_ms");
    COUNTER_FIND = Text::same("SELECT value FROM counters WHERE key = $1 AND day = $2");
    COUNTER_BUMP = Text::same(
        "INSERT INTO counters (key, day, value) VALUES ($1, $2, $3) ON CONFLICT (key, day) \
         DO UPDATE SET value = counters.value + excluded.value RETURNING value");
}
