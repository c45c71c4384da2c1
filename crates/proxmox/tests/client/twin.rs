//! The client against the simulated cluster, which was written from the same facts by somebody else.

use std::time::{Duration, Instant};

use gantry_core::id::{GuestKind, NodeName, StorageId, Upid, Vmid};
use gantry_proxmox::{
    Advice, Client, ClusterConfig, CreateLxc, Delete, Error, ExitStatus, Freshness, GuestRef,
    NetIf, ResourceKind, RootFs, SetConfig, Shutdown, State, TaskFilter, TaskStatus, Tls, Tuning,
};
use proxmox_twin::{DEBIAN_TEMPLATE, GuestSpec, Options, Trouble, Twin, World};
use secrecy::Secret;

pub fn node(name: &str) -> NodeName {
    name.parse().unwrap()
}

pub fn vmid(n: u32) -> Vmid {
    Vmid::try_from(n).unwrap()
}

pub fn lxc(n: u32) -> GuestRef {
    GuestRef::new(node("pve1"), GuestKind::Lxc, vmid(n))
}

pub async fn cluster() -> (Twin, Client) {
    let world = World::empty()
        .guest(GuestSpec::lxc(104, "web-0").on("pve1").running().tags("gantry;web"))
        .guest(GuestSpec::qemu(200, "db").on("pve2").running())
        .guest(GuestSpec::lxc(105, "idle").on("pve1"));
    let twin = Twin::start(Options::quick(world)).await.unwrap();
    let client = Client::new(configured(&twin)).unwrap();
    (twin, client)
}

pub fn configured(twin: &Twin) -> ClusterConfig {
    let endpoints = twin.endpoints().iter().map(|e| e.parse().unwrap()).collect();
    let (id, secret) = twin.token();
    let mut config = ClusterConfig::new("lab".parse().unwrap(), endpoints, id, Secret::new(secret));
    config.tls = Tls::CaPem(twin.ca_pem());
    config.tuning = Tuning {
        per_second: 10_000,
        burst: 10_000,
        connect_timeout: Duration::from_secs(1),
        read_timeout: Duration::from_secs(2),
        write_timeout: Duration::from_secs(3),
        ..Tuning::default()
    };
    config
}

pub async fn finished(client: &Client, upid: &Upid) -> ExitStatus {
    let ends = async {
        loop {
            if let TaskStatus::Stopped { exit } = client.task_status(upid).await.unwrap() {
                return exit;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ends).await.expect("the task ends")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_container_lives_from_creation_to_deletion() {
    let (twin, client) = cluster().await;
    let found = client.discover().await.unwrap();
    assert_eq!(found.nodes.len(), 3);
    assert!(found.quorate);
    let owners: Vec<_> = found.endpoints.iter().filter_map(|e| e.node.as_ref()).collect();
    assert_eq!(owners, [&node("pve1"), &node("pve2"), &node("pve3")]);

    let free = client.next_id().await.unwrap();
    assert!(client.is_free(free).await.unwrap());
    assert!(!client.is_free(vmid(104)).await.unwrap());
    let template = format!("local:vztmpl/{DEBIAN_TEMPLATE}").parse().unwrap();
    let mut spec = CreateLxc::new(free, template);
    spec.hostname = Some("new-0".into());
    spec.rootfs = Some(RootFs { storage: "local-lvm".parse().unwrap(), size_gib: 4 });
    spec.cores = Some(2);
    spec.memory_mib = Some(512);
    spec.tags = vec!["gantry".into()];
    spec.description = Some("made, by = a test & more\nsecond line".into());
    spec.net = vec![NetIf {
        name: "eth0".into(),
        bridge: Some("vmbr0".into()),
        ip: Some("dhcp".into()),
        ..NetIf::default()
    }];
    let created = client.create_lxc(&node("pve1"), &spec).await.unwrap();
    assert_eq!(finished(&client, &created.upid).await, ExitStatus::Ok);
    assert!(!client.task_log_tail(&created.upid, 5).await.unwrap().lines.is_empty());
    let again = client.create_lxc(&node("pve1"), &spec).await.unwrap_err();
    assert!(matches!(again, Error::Exists { .. }), "{again:?}");

    let guest = lxc(free.get());
    let config = client.guest_config(&guest, Freshness::Fresh).await.unwrap();
    assert_eq!(config.name.as_deref(), Some("new-0"));
    assert_eq!(config.memory_mib, Some(512));
    assert!(config.unprivileged);
    let notes = config.description.as_deref().unwrap_or_default();
    assert!(notes.starts_with("made, by = a test & more\nsecond line"), "{notes:?}");
    let digest = config.digest.clone().unwrap();
    client.set_config(&guest, &SetConfig::new(&digest).set("memory", 768)).await.unwrap();
    let stale = client.set_config(&guest, &SetConfig::new(&digest).set("memory", 800)).await;
    assert_eq!(stale, Err(Error::Conflict));

    let started = client.start(&guest).await.unwrap();
    assert_eq!(finished(&client, &started.upid).await, ExitStatus::Ok);
    assert!(client.guest_status(&guest, Freshness::Fresh).await.unwrap().is_running());
    let stopped = client.shutdown(&guest, Shutdown::default()).await.unwrap();
    assert_eq!(finished(&client, &stopped.upid).await, ExitStatus::Ok);
    let twice = client.stop(&guest).await.unwrap_err();
    assert!(matches!(twice, Error::NotRunning { .. }), "{twice:?}");
    let deleted = client.delete(&guest, Delete { purge: true, ..Delete::default() }).await.unwrap();
    assert_eq!(finished(&client, &deleted.upid).await, ExitStatus::Ok);
    assert_eq!(twin.count("destroy", free.get()), 1);
    let gone = client.guest_status(&guest, Freshness::Fresh).await.unwrap_err();
    assert!(matches!(gone, Error::NotFound { .. }), "{gone:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_read_is_understood() {
    let (_twin, client) = cluster().await;
    let fresh = Freshness::Fresh;
    let one = node("pve1");
    assert!(client.version().await.unwrap().major().unwrap() >= 8);
    let status = client.cluster_status(fresh).await.unwrap();
    assert_eq!(status.nodes.iter().filter(|n| n.local).count(), 1);
    let all = client.resources(fresh).await.unwrap();
    let web = all.iter().find(|r| r.vmid == Some(vmid(104))).unwrap();
    assert_eq!(web.kind, ResourceKind::Guest(GuestKind::Lxc));
    assert_eq!(web.tags().collect::<Vec<_>>(), ["gantry", "web"]);
    assert!(all.iter().any(|r| r.storage.is_some()));
    assert_eq!(client.nodes(fresh).await.unwrap().len(), 3);
    assert!(client.node_status(&one, fresh).await.unwrap().memory.total.unwrap() > 0);
    let may = client.permissions().await.unwrap();
    assert!(may.allows("/vms/104", "VM.PowerMgmt"));
    let storages = client.storages(&one, fresh).await.unwrap();
    let local: StorageId = "local".parse().unwrap();
    assert!(storages.iter().any(|s| s.storage.as_ref() == Some(&local) && s.holds("vztmpl")));
    let templates = client.storage_content(&one, &local, Some("vztmpl"), fresh).await.unwrap();
    assert!(templates.iter().any(|v| v.volid.as_deref().unwrap().contains("debian")));
    assert!(client.networks(&one, fresh).await.unwrap().iter().any(|i| i.is_bridge()));
    client.storage_list().await.unwrap();
    client.pools().await.unwrap();
    client.cluster_tasks().await.unwrap();
    client.node_tasks(&one, &TaskFilter::default()).await.unwrap();
    client.aplinfo(&one).await.unwrap();
    let db = GuestRef::new(node("pve2"), GuestKind::Qemu, vmid(200));
    assert!(client.guest_status(&db, fresh).await.unwrap().is_running());
    assert!(client.guest_config(&db, fresh).await.unwrap().volumes().count() > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_is_found_again_in_the_task_list_and_done_once() {
    let (twin, client) = cluster().await;
    let matching = "DELETE /nodes/*/lxc/*".to_owned();
    twin.trouble(Trouble::AnswerLost { matching, times: Some(1) }).unwrap();
    let lost = client.delete(&lxc(105), Delete::default()).await.unwrap_err();
    assert!(matches!(lost, Error::AnswerLost { write: true, .. }), "{lost:?}");
    assert_eq!(lost.advice(), Advice::Probe);
    let filter = TaskFilter {
        vmid: Some(vmid(105)),
        kind: Some("vzdestroy".into()),
        ..TaskFilter::default()
    };
    let tasks = client.node_tasks(&node("pve1"), &filter).await.unwrap();
    assert_eq!(tasks.len(), 1);
    assert_eq!(finished(&client, &tasks[0].upid).await, ExitStatus::Ok);
    assert_eq!(twin.count("destroy", 105), 1);
    let sent = twin.requests().iter().filter(|r| r.method == "DELETE").count();
    assert_eq!(sent, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_read_is_asked_again_but_a_cut_write_is_not() {
    let (twin, client) = cluster().await;
    for matching in ["GET /cluster/resources", "POST /nodes/*/lxc/*/status/start"] {
        let matching = matching.to_owned();
        twin.trouble(Trouble::RequestLost { matching, times: Some(1) }).unwrap();
    }
    assert!(!client.resources(Freshness::Fresh).await.unwrap().is_empty());
    let lost = client.start(&lxc(105)).await.unwrap_err();
    assert_eq!(lost.advice(), Advice::Probe);
    assert_eq!(twin.count("start", 105), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_off_does_not_hide_the_others() {
    let (twin, client) = cluster().await;
    client.discover().await.unwrap();
    twin.trouble(Trouble::NodeDown { node: "pve3".into() }).unwrap();
    let off = client.node_status(&node("pve3"), Freshness::Fresh).await.unwrap_err();
    assert!(matches!(off, Error::NodeOffline { .. }), "{off:?}");
    let started = Instant::now();
    client.resources(Freshness::Fresh).await.unwrap();
    client.node_status(&node("pve1"), Freshness::Fresh).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(1));
    let health = client.health();
    let of = |n: &str| health.nodes.iter().find(|h| h.node == node(n)).unwrap().state;
    assert_eq!((of("pve1"), of("pve3")), (State::Up, State::Down));
    twin.clear_all_trouble();
    tokio::time::timeout(Duration::from_secs(10), async {
        while client.health().endpoints[2].state != State::Up {
            client.watch_once().await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await
    .expect("found again");
    client.node_status(&node("pve3"), Freshness::Fresh).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_told_apart() {
    let (twin, client) = cluster().await;
    twin.trouble(Trouble::NoQuorum).unwrap();
    assert_eq!(client.start(&lxc(105)).await, Err(Error::NoQuorum));
    client.resources(Freshness::Fresh).await.unwrap();
    twin.clear_all_trouble();
    twin.trouble(Trouble::Locked { vmid: 105, lock: "backup".into() }).unwrap();
    let locked = client.delete(&lxc(105), Delete::default()).await;
    match locked {
        Err(error) => assert_eq!(error, Error::Locked { kind: "backup".into() }),
        Ok(accepted) => {
            let exit = finished(&client, &accepted.upid).await;
            assert_eq!(exit, ExitStatus::Failed("CT is locked (backup)".into()));
        }
    }
    twin.clear_all_trouble();
    let (token, _) = twin.token();
    twin.revoke(&token);
    let denied = client.start(&lxc(105)).await.unwrap_err();
    assert!(
        matches!(&denied, Error::Denied { privilege: Some(p), .. } if p == "VM.PowerMgmt"),
        "{denied:?}"
    );
    assert!(client.permissions().await.unwrap().is_empty(), "privilege separation is seen");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_secret_is_an_authentication_error_everywhere() {
    let (twin, _) = cluster().await;
    let mut config = configured(&twin);
    config.token_secret = Secret::new("00000000-0000-0000-0000-000000000000".into());
    let error = Client::new(config).unwrap().discover().await.unwrap_err();
    assert!(matches!(error, Error::Auth { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pins_from_the_node_list_are_enough() {
    let (twin, client) = cluster().await;
    let pins = client.nodes(Freshness::Fresh).await.unwrap();
    let pins = pins.iter().map(|n| n.ssl_fingerprint.as_deref().unwrap().parse().unwrap());
    let mut config = configured(&twin);
    config.tls = Tls::Fingerprint(pins.collect());
    let pinned = Client::new(config).unwrap();
    let found = pinned.discover().await.unwrap();
    assert!(found.endpoints.iter().all(|e| e.error.is_none()));
}
