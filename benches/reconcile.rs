//! What one pass over 1,000 pods in 200 sets costs when nothing is to be done: laying records over one reading and
//! deciding. The bar is 50 ms of CPU; times depend on the machine, so nothing fails by them.
//!
//! The pass itself asks Proxmox nothing: it works on the reading that the watch makes anyway, one `cluster/resources`
//! a cluster.

use std::error::Error;
use std::io::Write;
use std::time::Instant;

use gantry_core::id::{ChannelId, GuestKind, GuildId, OperationId, UserId, Vmid};
use gantry_core::pod::{Network, PodTemplate, Root};
use gantry_core::set::identity::{allot, set_tag};
use gantry_core::set::seen::{Index, observe};
use gantry_core::set::spec::VmidRange;
use gantry_core::set::{Facts, Phase, Readiness, Revision, Set, SetSpec, SlotRecord, reconcile};
use gantry_core::world::{ClusterView, Guest, GuestStatus, OWN_TAG};

const SETS: u32 = 200;
const PODS: u32 = 5;
const PASSES: u32 = 100;
const NOW_MS: i64 = 1_800_000_000_000;
/// What is promised, milliseconds of CPU a pass.
const BAR_MS: f64 = 50.0;

fn main() -> Result<(), Box<dyn Error>> {
    let mut view = ClusterView::unseen("lab".parse()?);
    view.observed_ms = NOW_MS;
    let mut sets = Vec::new();
    for n in 0..SETS {
        let set = set(n)?;
        let mut records = Vec::new();
        for ordinal in 0..PODS {
            let identity = allot(&set.cluster, set.spec(), ordinal, &Default::default())?;
            let guest = guest(&set, &identity.name, identity.vmid, identity.node.clone());
            let mut record = SlotRecord::new(identity);
            record.key = Some(set.newest.key.clone());
            record.revision = 1;
            record.ready_ms = Some(1);
            record.facts = Some(Facts::of(&guest));
            view.guests.push(guest);
            records.push(record);
        }
        sets.push((set, records));
    }
    let began = Instant::now();
    let mut steady = 0;
    for _ in 0..PASSES {
        let index = Index::new(&view);
        for (set, records) in &sets {
            let seen = observe(set, records.clone(), &index, |_| None, |_, _| Readiness::Ready(1));
            let decision = reconcile(set, &seen, NOW_MS);
            steady += u32::from(decision.phase == Phase::Converged && decision.acts.is_empty());
        }
    }
    let each_ms = began.elapsed().as_secs_f64() * 1000.0 / f64::from(PASSES);
    if steady != SETS * PASSES {
        return Err(
            format!("only {steady} of {} decisions were to do nothing", SETS * PASSES).into()
        );
    }
    let verdict = if each_ms <= BAR_MS { "PASS" } else { "MISS" };
    writeln!(
        std::io::stdout(),
        "one pass, {} pods in {SETS} sets, nothing to do: {each_ms:.2} ms (bar {BAR_MS} ms) {verdict}",
        SETS * PODS
    )?;
    Ok(())
}

fn set(n: u32) -> Result<Set, Box<dyn Error>> {
    let from = 10_000 + n * 10;
    let range = VmidRange { from: from.try_into()?, to: (from + 9).try_into()? };
    let template = PodTemplate {
        image: "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst".into(),
        root: Root { storage: Some("local-lvm".parse()?), size_gib: 8 },
        networks: vec![Network::dhcp("vmbr0")],
        ..PodTemplate::default()
    };
    let nodes = vec!["pve1".parse()?, "pve2".parse()?];
    let spec = SetSpec { name: format!("set{n}"), ..SetSpec::new(PODS, range, nodes, template) };
    let newest = Revision {
        number: 1,
        key: spec.key(),
        spec,
        by_name: "ada".into(),
        at_ms: 0,
        why: "created".into(),
    };
    Ok(Set {
        cluster: "lab".parse()?,
        good: Some(newest.clone()),
        newest,
        paused: None,
        halted: None,
        deleting: None,
        names: Default::default(),
        by: UserId(1),
        by_name: "ada".into(),
        guild: GuildId(1),
        channel: ChannelId(1),
        command: OperationId::new(0, 1),
    })
}

fn guest(set: &Set, name: &str, vmid: Vmid, node: gantry_core::id::NodeName) -> Guest {
    Guest {
        cluster: set.cluster.clone(),
        vmid,
        kind: GuestKind::Lxc,
        name: name.to_owned(),
        node,
        status: GuestStatus::Running,
        lock: None,
        tags: vec![OWN_TAG.to_owned(), set_tag(set.name())],
        pool: None,
        template: false,
        cpu: 0.1,
        cores: 1.0,
        mem: 100 << 20,
        mem_max: 512 << 20,
        disk: 0,
        disk_max: 0,
        uptime_s: 1000,
        ha: None,
    }
}
