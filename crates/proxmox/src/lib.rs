//! The Proxmox VE client: one method a call, one error a fact.
//!
//! Promises: a write is never sent twice; every call has a deadline and every queue a bound; an error says
//! whether something may have been carried out ([`Error::advice`]); the token leaves only towards a verified
//! endpoint and never reaches a log. Called by `gantry-engine` and by `gantry doctor`.

mod access;
pub mod answer;
mod breaker;
mod cache;
mod classify;
mod client;
mod config;
mod create;
mod decode;
mod error;
mod firewall;
mod form;
mod images;
mod lenient;
mod limit;
mod meter;
mod moves;
mod network;
mod notifications;
mod path;
mod pool;
mod reads;
mod retry;
mod route;
mod sdn;
mod snapshots;
mod tls;
mod transport;
mod upload;
mod wear;
mod writes;

pub use access::Permissions;
pub use answer::{
    AplTemplate, ClusterStatus, ClusterStatusNode, GuestConfig, GuestStatus, Iface, LocalDisk,
    LxcInterface, MigrateCheck, Node, NodeStatus, Pool, Resource, ResourceKind, Snapshot, Storage,
    StorageDefinition, UrlMetadata, Version, Volume,
};
pub use answer::{ExitStatus, TaskEntry, TaskFilter, TaskLog, TaskSource, TaskStatus};
pub use answer::{RrdPoint, Timeframe};
pub use breaker::Settings as BreakerSettings;
pub use cache::Freshness;
pub use client::{Client, Discovery, EndpointFound};
pub use config::{ClusterConfig, Tuning};
pub use create::{CreateLxc, MountPoint, MountSource, NetIf, RootFs, Volid};
pub use error::{Advice, Error, TlsProblem};
pub use firewall::{FirewallAt, FirewallRule, NewRule};
pub use form::{Form, PropertyString};
pub use images::{DownloadUrl, MoveDisk};
pub use meter::{BUCKETS_S, CallFigures, KindFigures};
pub use moves::Migrate;
pub use network::{IfaceChange, NodeNetwork, Row};
pub use notifications::{Matcher, Webhook, WebhookSecret};
pub use pool::{EndpointHealth, Health, NodeHealth, State};
pub use sdn::{SdnLock, SdnView};
pub use tls::{Fingerprint, Tls};
pub use upload::{Pieces, Upload};
pub use wear::{CephHealth, Certificate, Disk, Replication, ZfsPool};
pub use writes::{Accepted, Delete, GuestRef, SetConfig, Shutdown};
