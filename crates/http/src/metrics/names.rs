//! Every metric there is, once: name, kind, labels, help. Nothing that is not here can be written.
//!
//! Names follow the conventions of Prometheus, ages are given as the moment something was seen. Label values come from
//! the configuration, from clusters' nodes and storages, or from fixed sets; never a user's name, never a guest's.

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Goes up and down.
    Gauge,
    /// Only goes up.
    Counter,
    /// Counts in buckets.
    Histogram,
}

impl Kind {
    /// The word in the text format.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Its labels, in order.
    pub labels: &'static [&'static str],
    /// What it says.
    pub help: &'static str,
}

macro_rules! names {
    ($($variant:ident = $kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        /// A metric, by name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Name { $($variant,)* }

        /// All of them, in the order they are written.
        pub(super) const ALL: &[Family] = &[
            $(Family { name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help },)*
        ];
    };
}

names! {
    BuildInfo = Gauge "gantry_build_info" ["version"] "Always 1; the version is the label.";
    ProcessStart = Gauge "process_start_time_seconds" [] "When the process started, seconds since the epoch.";
    ProcessCpu = Counter "process_cpu_seconds_total" [] "CPU time the process has used.";
    ProcessMemory = Gauge "process_resident_memory_bytes" [] "Memory of the process.";
    ProcessFds = Gauge "process_open_fds" [] "Open file descriptors.";

    ClusterReadable = Gauge "gantry_cluster_readable" ["cluster"] "Whether the newest read of the cluster worked.";
    ClusterSeen = Gauge "gantry_cluster_seen_timestamp_seconds" ["cluster"] "When the cluster was read last.";
    ClusterQuorate = Gauge "gantry_cluster_quorate" ["cluster"] "Whether the cluster has quorum; absent where nobody says.";
    NodeUp = Gauge "gantry_node_up" ["cluster", "node"] "Whether the node answers or the cluster says it is online.";
    NodeState = Gauge "gantry_node_state" ["cluster", "node", "state"] "1 for the state the node is in: up, down or unknown.";
    NodeSeen = Gauge "gantry_node_seen_timestamp_seconds" ["cluster", "node"] "When the figures of the node were read last.";
    NodeCpu = Gauge "gantry_node_cpu_ratio" ["cluster", "node"] "Load of the node's CPU, 0 to 1.";
    NodeMemory = Gauge "gantry_node_memory_size_bytes" ["cluster", "node"] "Memory of the node.";
    NodeMemoryUsed = Gauge "gantry_node_memory_used_bytes" ["cluster", "node"] "Memory of the node in use.";
    NodeDisk = Gauge "gantry_node_filesystem_size_bytes" ["cluster", "node"] "Root file system of the node.";
    NodeDiskUsed = Gauge "gantry_node_filesystem_used_bytes" ["cluster", "node"] "Root file system of the node in use.";
    NodeUptime = Gauge "gantry_node_uptime_seconds" ["cluster", "node"] "How long the node has been up.";
    Guests = Gauge "gantry_guests" ["cluster", "kind", "status"] "Containers (lxc) and virtual machines (qemu) by status; templates are left out.";
    Templates = Gauge "gantry_guest_templates" ["cluster"] "Guests that are templates.";
    StorageActive = Gauge "gantry_storage_active" ["cluster", "node", "storage"] "Whether the storage can be used; one that nodes share has no node.";
    StorageSize = Gauge "gantry_storage_size_bytes" ["cluster", "node", "storage"] "Size of the storage.";
    StorageUsed = Gauge "gantry_storage_used_bytes" ["cluster", "node", "storage"] "Bytes in use on the storage.";
    Tasks = Gauge "gantry_cluster_tasks" ["cluster", "state"] "Tasks among those the cluster listed last, running or failed.";
    BackupsRead = Gauge "gantry_backups_read_timestamp_seconds" ["cluster"] "When backups were read last; they are read for alerts, by one process.";
    BackupOldest = Gauge "gantry_backup_oldest_timestamp_seconds" ["cluster"] "The oldest among the newest backups of each guest.";
    GuestsBackedUp = Gauge "gantry_guests_with_backup" ["cluster"] "Guests with a backup.";
    GuestsNotBackedUp = Gauge "gantry_guests_without_backup" ["cluster"] "Guests without any backup; templates are left out.";

    OperationsOpen = Gauge "gantry_operations_open" ["state"] "Operations that are not over.";
    OperationsEnded = Counter "gantry_operations_ended_total" ["state"] "Operations that ended in this process, by how.";
    IncidentsOpen = Gauge "gantry_incidents_open" ["severity"] "Open incidents.";
    Alerts = Gauge "gantry_alerts" ["phase"] "Alerts by phase: pending, held, firing, over.";
    AlertsFiring = Gauge "gantry_alerts_firing" ["severity"] "Alerts that fire and are told; only by the process that leads the alert desks.";
    AlertsMuted = Gauge "gantry_alerts_muted" [] "Alerts that fire and are silenced or in maintenance.";
    AlertDesksLed = Gauge "gantry_alert_desks_led" [] "Whether this process leads the alert desks.";

    ProxmoxEndpoint = Gauge "gantry_proxmox_endpoint_state" ["cluster", "endpoint", "state"] "1 for the state of the endpoint: up, down, half-open (its breaker lets one probe through) or unknown.";
    ProxmoxInFlight = Gauge "gantry_proxmox_requests_in_flight" ["cluster", "endpoint"] "Requests under way.";
    ProxmoxWaiting = Gauge "gantry_proxmox_requests_waiting" ["cluster"] "Requests that wait for their turn.";
    ProxmoxRequests = Counter "gantry_proxmox_requests_total" ["cluster", "kind", "outcome"] "Requests to Proxmox, reads and writes, by how they ended.";
    ProxmoxDuration = Histogram "gantry_proxmox_request_duration_seconds" ["cluster", "kind"] "How long requests to Proxmox took.";

    ShardConnected = Gauge "gantry_discord_shard_connected" ["shard"] "Whether the shard receives events.";
    ShardLatency = Gauge "gantry_discord_heartbeat_latency_seconds" ["shard"] "Round trip of the newest heartbeat.";
    ShardGuilds = Gauge "gantry_discord_guilds" ["shard"] "Servers on the shard when it became ready.";
    ShardIdentifies = Counter "gantry_discord_identifies_total" ["shard"] "New sessions asked for; Discord allows 1000 a day.";
    ShardResumes = Counter "gantry_discord_resumes_total" ["shard"] "Sessions taken up again.";
    ShardEvents = Counter "gantry_discord_events_total" ["shard"] "Events handed on.";
    ShardLost = Counter "gantry_discord_events_lost_total" ["shard"] "Events that could not be handed on.";
    RestRequests = Counter "gantry_discord_requests_total" ["outcome"] "Calls to Discord by how they ended.";
    RestLimited = Counter "gantry_discord_rate_limited_total" ["scope"] "Answers 429 by scope.";
    RestRefused = Counter "gantry_discord_requests_refused_total" ["reason"] "Calls that were not sent.";
    RestRepeats = Counter "gantry_discord_requests_repeated_total" [] "Calls sent again after a failure.";
    RestInvalid = Gauge "gantry_discord_invalid_requests" [] "Invalid requests of the last ten minutes; Discord blocks the address at 10000.";
    RestWaiting = Gauge "gantry_discord_requests_waiting" [] "Calls that wait for their turn.";

    CardsWaiting = Gauge "gantry_cards_waiting" [] "Messages that are to show something newer.";
    HooksWaiting = Gauge "gantry_hook_events_waiting" [] "What webhooks told and the alert desks have not taken in.";
    SilencesWaiting = Gauge "gantry_silences_waiting" [] "Silences to be made or ended at Alertmanager.";
    DatabaseUp = Gauge "gantry_database_up" [] "Whether the database answered for this page.";
    DatabaseTook = Gauge "gantry_database_answer_seconds" [] "How long the database took for this page.";

    HttpRequests = Counter "gantry_http_requests_total" ["route", "code"] "Answers of the HTTP side.";
    HookReceived = Counter "gantry_hook_received_total" ["hook", "result"] "Things told through webhooks: new, again, refused, or left-out by their sender.";
}
