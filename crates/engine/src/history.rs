//! Figures over time, as Proxmox keeps them: what graphs are drawn from.

use std::sync::Arc;

use gantry_core::action::GuestRef;
use gantry_core::id::{ClusterId, NodeName, StorageId};
use gantry_core::world::Guest;
use gantry_proxmox::{GuestRef as At, RrdPoint};

use crate::{Engine, Error};

pub use gantry_proxmox::Timeframe;

/// What a graph is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A guest.
    Guest(GuestRef),
    /// A node.
    Node(ClusterId, NodeName),
    /// A storage as one node sees it.
    Storage(ClusterId, NodeName, StorageId),
}

/// Which figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Share of all cores, 0 to 1.
    Cpu,
    /// Memory in use, bytes.
    Memory,
    /// In and out, bytes a second.
    Network,
    /// Read and written, bytes a second.
    DiskIo,
    /// File system or storage in use, bytes.
    Disk,
    /// Load average.
    Load,
}

/// One line: its name and its values, milliseconds and value; `None` where nothing was measured.
pub type Course = (&'static str, Vec<(i64, Option<f64>)>);

/// Figures over time.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// The lines.
    pub courses: Vec<Course>,
    /// What the figure cannot pass, in its unit: memory or disk there is.
    pub limit: Option<f64>,
}

impl Engine {
    /// A figure of `subject` over time. `None` when the cluster does not know the subject.
    ///
    /// # Errors
    /// When Proxmox does not answer or refuses.
    pub async fn history(
        &self,
        subject: &Subject,
        measure: Measure,
        timeframe: Timeframe,
    ) -> Result<Option<History>, Error> {
        let points = match subject {
            Subject::Guest(guest) => {
                let Some(seen) = self.seen(guest) else { return Ok(None) };
                let at = At::new(seen.node.clone(), seen.kind, guest.vmid);
                self.client(&guest.cluster)?
                    .guest_history(&at, timeframe)
                    .await
                    .map_err(fail(&seen.name, &guest.cluster))
            }
            Subject::Node(cluster, node) => self
                .client(cluster)?
                .node_history(node, timeframe)
                .await
                .map_err(fail(node.as_str(), cluster)),
            Subject::Storage(cluster, node, storage) => self
                .client(cluster)?
                .storage_history(node, storage, timeframe)
                .await
                .map_err(fail(storage.as_str(), cluster)),
        };
        match points {
            Ok(points) => Ok(Some(figures(subject, measure, &points))),
            Err(error) if error.is_absent() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A guest as it was seen last.
    fn seen(&self, guest: &GuestRef) -> Option<Guest> {
        self.view(&guest.cluster).and_then(|v| v.guest(guest.vmid).cloned())
    }
}

fn fail(what: &str, cluster: &ClusterId) -> impl FnOnce(gantry_proxmox::Error) -> Error {
    Error::proxmox(format!("read the figures of {what}"), cluster)
}

/// Proxmox's names for a figure differ between guests, nodes and storages.
fn figures(subject: &Subject, measure: Measure, points: &Arc<Vec<RrdPoint>>) -> History {
    let (names, limit): (&[(&str, &str)], Option<&str>) = match (subject, measure) {
        (_, Measure::Cpu) => (&[("CPU", "cpu")], None),
        (Subject::Guest(_), Measure::Memory) => (&[("used", "mem")], Some("maxmem")),
        (Subject::Node(..), Measure::Memory) => (&[("used", "memused")], Some("memtotal")),
        (Subject::Guest(_), Measure::Disk) => (&[("used", "disk")], Some("maxdisk")),
        (Subject::Node(..), Measure::Disk) => (&[("used", "rootused")], Some("roottotal")),
        (Subject::Storage(..), _) => (&[("used", "used")], Some("total")),
        (_, Measure::Network) => (&[("in", "netin"), ("out", "netout")], None),
        (_, Measure::DiskIo) => (&[("read", "diskread"), ("written", "diskwrite")], None),
        (_, Measure::Load) => (&[("load", "loadavg")], None),
    };
    let course = |(shown, name): &(&'static str, &str)| {
        let values =
            points.iter().map(|p| (p.time_s.saturating_mul(1000), p.values.get(*name).copied()));
        (*shown, values.collect())
    };
    History {
        courses: names.iter().map(course).collect(),
        // The newest limit: it is drawn as one line.
        limit: limit.and_then(|name| {
            points.iter().rev().find_map(|p| p.values.get(name).copied()).filter(|v| *v > 0.0)
        }),
    }
}
