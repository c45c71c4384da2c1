//! What one pass over 1,000 pods in 200 sets costs when nothing is to be done: reading what is written down from the
//! database, laying it over one reading of the cluster, deciding. The bar is 50 ms of CPU, all threads together; it
//! depends on the machine, so nothing fails by it.
//!
//! The pass itself asks Proxmox nothing: it works on the reading that the watch makes anyway, one `cluster/resources`
//! a cluster (tests/it/sets_eyes.rs counts them).

use std::collections::HashMap;
use std::error::Error;
use std::io::Write;
use std::time::Instant;

use gantry_core::id::{ChannelId, ClusterId, GuestKind, GuildId, OperationId, UserId, Vmid};
use gantry_core::pod::{Network, PodTemplate, Root};
use gantry_core::set::identity::{allot, set_tag};
use gantry_core::set::seen::{Index, observe};
use gantry_core::set::spec::VmidRange;
use gantry_core::set::{Facts, Phase, Readiness, Revision, Set, SetSpec, SlotRecord, reconcile};
use gantry_core::world::{ClusterView, Guest, GuestStatus, OWN_TAG};
use gantry_store::Store;

const SETS: u32 = 200;
const PODS: u32 = 5;
const PASSES: u32 = 100;
const NOW_MS: i64 = 1_800_000_000_000;
/// How long a lead lasts, milliseconds.
const LEAD_MS: i64 = 60_000;
/// What is promised, milliseconds of CPU a pass.
const BAR_MS: f64 = 50.0;

fn main() -> Result<(), Box<dyn Error>> {
    tokio::runtime::Runtime::new()?.block_on(measure())
}

async fn measure() -> Result<(), Box<dyn Error>> {
    let cluster: ClusterId = "lab".parse()?;
    let folder = tempfile::tempdir()?;
    let url = format!("sqlite:{}", folder.path().join("gantry.db").display());
    let store = Store::open(&url).await?;
    store.migrate().await?;
    let mut view = ClusterView::unseen(cluster.clone());
    view.observed_ms = NOW_MS;
    for n in 0..SETS {
        let set = set(n)?;
        store.put_set(&set, None, NOW_MS).await?;
        let led = store.lead_sets(&cluster, "bench", NOW_MS, LEAD_MS).await?;
        let led = led.all.rows.iter().find(|row| row.set.name() == set.name());
        let generation = led.ok_or("nobody leads it")?.generation;
        for ordinal in 0..PODS {
            let identity = allot(&set.cluster, set.spec(), ordinal, &Default::default())?;
            let guest = guest(&set, &identity.name, identity.vmid, identity.node.clone());
            let mut record = SlotRecord::new(identity);
            record.key = Some(set.newest.key.clone());
            record.revision = 1;
            record.ready_ms = Some(1);
            record.facts = Some(Facts::of(&guest));
            view.guests.push(guest);
            store.add_slot(&set.address(), generation, &record).await?;
        }
    }
    let (began, cpu) = (Instant::now(), cpu_ms()?);
    let mut steady = 0;
    for _ in 0..PASSES {
        steady += pass(&store, &cluster, &view).await?;
    }
    let (each_ms, cpu_ms) = (
        began.elapsed().as_secs_f64() * 1000.0 / f64::from(PASSES),
        (cpu_ms()? - cpu) / f64::from(PASSES),
    );
    if steady != SETS * PASSES {
        return Err(
            format!("only {steady} of {} decisions were to do nothing", SETS * PASSES).into()
        );
    }
    let verdict = if cpu_ms <= BAR_MS { "PASS" } else { "MISS" };
    writeln!(
        std::io::stdout(),
        "one pass, {} pods in {SETS} sets, nothing to do: {cpu_ms:.1} ms of CPU, {each_ms:.1} ms in all (bar {BAR_MS} ms of CPU) {verdict}",
        SETS * PODS
    )?;
    Ok(())
}

/// What the engine does on each reading; returns how many sets nothing was to be done about.
async fn pass(
    store: &Store,
    cluster: &ClusterId,
    view: &ClusterView,
) -> Result<u32, Box<dyn Error>> {
    let led = store.lead_sets(cluster, "bench", NOW_MS, LEAD_MS).await?;
    let mut by_set: HashMap<String, Vec<SlotRecord>> = HashMap::new();
    for slot in store.sound_slots(cluster).await?.rows {
        by_set.entry(slot.set).or_default().push(slot.record);
    }
    let index = Index::new(view);
    let mut steady = 0;
    for row in led.all.rows {
        let records = by_set.remove(row.set.name()).unwrap_or_default();
        let seen = observe(&row.set, records, &index, |_| None, |_, _| Readiness::Ready(1));
        let decision = reconcile(&row.set, &seen, NOW_MS);
        steady += u32::from(decision.phase == Phase::Converged && decision.acts.is_empty());
    }
    Ok(steady)
}

/// CPU time of this process so far, all threads, milliseconds: `utime` and `stime` of proc(5), in ticks of 10 ms.
fn cpu_ms() -> Result<f64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let rest = stat.rsplit_once(") ").ok_or("no stat")?.1;
    let fields: Vec<&str> = rest.split(' ').collect();
    let ticks = |n: usize| fields.get(n).and_then(|f| f.parse::<f64>().ok()).ok_or("no ticks");
    Ok((ticks(11)? + ticks(12)?) * 10.0)
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
        adopts: Vec::new(),
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
