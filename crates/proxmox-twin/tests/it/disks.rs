//! Disks: what is kept, what is destroyed, who owns what; settings that wait for the next start.

use proxmox_twin::{DEBIAN_TEMPLATE, GuestSpec, Meddling, World};
use serde_json::Value;

use crate::Desk;

fn template() -> String {
    format!("local:vztmpl/{DEBIAN_TEMPLATE}")
}

/// Creates a container with an 8 GiB root disk and more options; it must succeed.
async fn create(desk: &Desk, vmid: &str, more: &[(&str, &str)]) {
    let made = try_create(desk, vmid, more).await;
    assert_eq!(made, "OK");
}

async fn try_create(desk: &Desk, vmid: &str, more: &[(&str, &str)]) -> String {
    let template = template();
    let mut form =
        vec![("vmid", vmid), ("ostemplate", template.as_str()), ("rootfs", "local-lvm:8")];
    form.extend_from_slice(more);
    let made = desk.post("/nodes/pve1/lxc", &form).await;
    desk.exit(&made).await
}

/// Volume ids on a storage of pve1 that are disks, and the content identity of each.
fn disks(desk: &Desk, storage: &str) -> Vec<(String, u64)> {
    desk.twin
        .volumes("pve1", storage)
        .into_iter()
        .filter(|v| v.vmid.is_some())
        .map(|v| (v.volid, v.data))
        .collect()
}

fn identity(desk: &Desk, volid: &str) -> u64 {
    let storage = volid.split(':').next().unwrap();
    let found = disks(desk, storage).into_iter().find(|(v, _)| v == volid);
    found.unwrap_or_else(|| panic!("{volid} is not there")).1
}

#[tokio::test]
async fn mount_points_are_allocated_and_go_with_the_guest() {
    let desk = Desk::new(World::empty()).await;
    create(&desk, "100", &[("mp0", "local-lvm:4,mp=/data,backup=1"), ("mp1", "nas:2,mp=/more")])
        .await;
    let config = desk.twin.guest(100).unwrap().config;
    assert_eq!(config["rootfs"], "local-lvm:vm-100-disk-0,size=8G");
    assert_eq!(config["mp0"], "local-lvm:vm-100-disk-1,mp=/data,backup=1,size=4G");
    assert_eq!(config["mp1"], "nas:100/vm-100-disk-0.raw,mp=/more,size=2G");
    let content = desk.get("/nodes/pve1/storage/local-lvm/content?vmid=100").await;
    let rows = content.data().as_array().unwrap();
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert!(rows.iter().all(|r| r["content"] == "rootdir" && r["vmid"] == 100));
    let gone = desk.delete("/nodes/pve1/lxc/100").await;
    assert_eq!(desk.exit(&gone).await, "OK");
    assert!(disks(&desk, "local-lvm").is_empty() && disks(&desk, "nas").is_empty());
}

#[tokio::test]
async fn a_detached_volume_is_unused_and_still_dies_with_its_owner() {
    let desk = Desk::new(World::empty()).await;
    create(&desk, "100", &[("mp0", "local-lvm:4,mp=/data")]).await;
    desk.put("/nodes/pve1/lxc/100/config", &[("delete", "mp0")]).await.data();
    let config = desk.twin.guest(100).unwrap().config;
    assert_eq!(config.get("mp0"), None);
    assert_eq!(config["unused0"], "local-lvm:vm-100-disk-1");
    // Mounted again under another path, with its size found out.
    let again = [("mp3", "local-lvm:vm-100-disk-1,mp=/other")];
    desk.put("/nodes/pve1/lxc/100/config", &again).await.data();
    let config = desk.twin.guest(100).unwrap().config;
    assert_eq!(config["mp3"], "local-lvm:vm-100-disk-1,mp=/other,size=4G");
    assert_eq!(config.get("unused0"), None);
    desk.put("/nodes/pve1/lxc/100/config", &[("delete", "mp3")]).await.data();
    // Deleting the unused entry frees the volume for good.
    desk.put("/nodes/pve1/lxc/100/config", &[("delete", "unused0")]).await.data();
    assert_eq!(disks(&desk, "local-lvm").len(), 1);
    desk.put("/nodes/pve1/lxc/100/config", &[("mp0", "local-lvm:1,mp=/x")]).await.data();
    desk.put("/nodes/pve1/lxc/100/config", &[("delete", "mp0")]).await.data();
    let gone = desk.delete("/nodes/pve1/lxc/100").await;
    assert_eq!(desk.exit(&gone).await, "OK");
    assert!(disks(&desk, "local-lvm").is_empty(), "an unused volume belongs to the guest too");
}

#[tokio::test]
async fn a_volume_given_to_another_guest_outlives_its_first_owner() {
    let desk = Desk::new(World::empty().guest(GuestSpec::lxc(900, "keeper"))).await;
    create(&desk, "100", &[("mp0", "local-lvm:4,mp=/data")]).await;
    let kept = identity(&desk, "local-lvm:vm-100-disk-1");
    let path = "/nodes/pve1/lxc/100/move_volume";
    let refusals: &[(&[(&str, &str)], &str)] = &[
        (&[("volume", "rootfs"), ("target-vmid", "900")], "500 Cannot move to/from 'rootfs'"),
        (
            &[("volume", "unused0"), ("target-vmid", "900"), ("target-volume", "mp0")],
            "500 Moving an unused volume to a used one is not possible",
        ),
        (&[("volume", "mp0"), ("target-vmid", "777")], "500 could not find CT 777"),
        (
            &[("volume", "mp5"), ("target-vmid", "900")],
            "500 volume 'mp5' for container '100' does not exist",
        ),
        (
            &[("volume", "mp0"), ("target-vmid", "900"), ("digest", "stale")],
            "500 Container 100: detected modified configuration - file changed by other user? Try again.",
        ),
    ];
    for (form, line) in refusals {
        assert_eq!(desk.post(path, form).await.line(), *line);
    }
    let neither = desk.post(path, &[("volume", "mp0")]).await;
    assert_eq!(
        neither.error("storage"),
        "both 'storage' and 'target-vmid' missing, either needs to be set"
    );
    let form = [("volume", "mp0"), ("target-vmid", "900"), ("target-volume", "unused0")];
    let moved = desk.post(path, &form).await;
    assert!(moved.data().as_str().unwrap().contains(":move_volume:100-mp0>900-unused0:"));
    assert_eq!(desk.exit(&moved).await, "OK");
    let gone = desk.delete("/nodes/pve1/lxc/100").await;
    assert_eq!(desk.exit(&gone).await, "OK");
    let volid = desk.twin.guest(900).unwrap().config["unused0"].clone();
    assert_eq!(volid, "local-lvm:vm-900-disk-1");
    assert_eq!(identity(&desk, &volid), kept, "the same bytes under another name");

    // Back to a guest of the old id: through the keeper's unused entry to the new guest's, then mounted.
    create(&desk, "100", &[]).await;
    let back = [("volume", "unused0"), ("target-vmid", "100")];
    let back = desk.post("/nodes/pve1/lxc/900/move_volume", &back).await;
    assert_eq!(desk.exit(&back).await, "OK");
    let volid = desk.twin.guest(100).unwrap().config["unused0"].clone();
    let mount = format!("{volid},mp=/data");
    desk.put("/nodes/pve1/lxc/100/config", &[("mp0", &mount)]).await.data();
    let config = desk.twin.guest(100).unwrap().config;
    assert_eq!(config["mp0"], format!("{volid},mp=/data,size=4G"));
    assert_eq!(identity(&desk, &volid), kept);
}

#[tokio::test]
async fn a_volume_of_somebody_else_is_mounted_at_creation_and_not_deleted() {
    let desk = Desk::new(World::empty().guest(GuestSpec::lxc(900, "keeper"))).await;
    let made = [("filename", "vm-900-disk-7"), ("size", "3G"), ("vmid", "900")];
    let volid = desk.post("/nodes/pve1/storage/local-lvm/content", &made).await;
    assert_eq!(volid.data(), "local-lvm:vm-900-disk-7");
    let kept = identity(&desk, "local-lvm:vm-900-disk-7");
    create(&desk, "100", &[("mp0", "local-lvm:vm-900-disk-7,mp=/data")]).await;
    assert_eq!(
        desk.twin.guest(100).unwrap().config["mp0"],
        "local-lvm:vm-900-disk-7,mp=/data,size=3G"
    );
    let gone = desk.call("DELETE", "/nodes/pve1/lxc/100", &[("purge", "1")]).await;
    assert_eq!(desk.exit(&gone).await, "OK");
    let log = desk.get(&format!("/nodes/pve1/tasks/{}/log", gone.data().as_str().unwrap())).await;
    assert!(log.text.contains("CT 100 isn't the owner!"), "{}", log.text);
    assert_eq!(identity(&desk, "local-lvm:vm-900-disk-7"), kept);
    // A creation that fails leaves it alone as well.
    let failed = try_create(
        &desk,
        "101",
        &[
            ("mp0", "local-lvm:vm-900-disk-7,mp=/data"),
            ("mp1", "local-lvm:vm-900-disk-99,mp=/none"),
        ],
    )
    .await;
    assert_eq!(
        failed,
        "unable to create CT 101 - volume 'local-lvm:vm-900-disk-99' does not exist"
    );
    assert_eq!(identity(&desk, "local-lvm:vm-900-disk-7"), kept);
    assert_eq!(disks(&desk, "local-lvm").len(), 2, "the failed guest's own disk is gone");
    // Unreferenced disks go only when that is asked for.
    let gone = desk.delete("/nodes/pve1/lxc/900").await;
    assert_eq!(desk.exit(&gone).await, "OK");
    assert_eq!(identity(&desk, "local-lvm:vm-900-disk-7"), kept);
    desk.twin.has(GuestSpec::lxc(900, "keeper"));
    let gone =
        desk.call("DELETE", "/nodes/pve1/lxc/900", &[("destroy-unreferenced-disks", "1")]).await;
    assert_eq!(desk.exit(&gone).await, "OK");
    assert!(disks(&desk, "local-lvm").is_empty());
}

#[tokio::test]
async fn a_disk_moves_between_storages_with_its_content() {
    let desk = Desk::new(World::empty()).await;
    create(&desk, "100", &[("mp0", "local-lvm:4,mp=/data")]).await;
    let data = identity(&desk, "local-lvm:vm-100-disk-1");
    let path = "/nodes/pve1/lxc/100/move_volume";
    let moved = desk.post(path, &[("volume", "mp0"), ("storage", "nas"), ("delete", "1")]).await;
    assert_eq!(desk.exit(&moved).await, "OK");
    let guest = desk.twin.guest(100).unwrap();
    assert_eq!(guest.config["mp0"], "nas:100/vm-100-disk-0.raw,mp=/data,size=4G");
    assert_eq!((guest.lock, disks(&desk, "local-lvm").len()), (None, 1));
    assert_eq!(identity(&desk, "nas:100/vm-100-disk-0.raw"), data);
    let copied = desk.post(path, &[("volume", "mp0"), ("storage", "local-lvm")]).await;
    assert_eq!(desk.exit(&copied).await, "OK");
    assert_eq!(desk.twin.guest(100).unwrap().config["unused0"], "nas:100/vm-100-disk-0.raw");
    let started = desk.post("/nodes/pve1/lxc/100/status/start", &[]).await;
    assert_eq!(desk.exit(&started).await, "OK");
    let busy = desk.post(path, &[("volume", "mp0"), ("storage", "nas")]).await;
    assert_eq!(busy.line(), "500 cannot move volumes of a running container");
}

#[tokio::test]
async fn what_a_running_container_takes_at_once_and_what_waits() {
    let desk = Desk::new(World::empty().guest(GuestSpec::lxc(100, "a").running())).await;
    let path = "/nodes/pve1/lxc/100/config";
    let at_once = [
        ("cores", "3"),
        ("memory", "2048"),
        ("swap", "0"),
        ("hostname", "b"),
        ("tags", "x"),
        ("mp0", "local-lvm:2,mp=/data"),
        ("net1", "name=eth1,bridge=vmbr1"),
    ];
    desk.put(path, &at_once).await.data();
    let later = [
        ("nameserver", "10.0.0.53"),
        ("searchdomain", "demo.internal"),
        ("features", "nesting=1"),
        ("env", "A=b"),
        ("entrypoint", "/bin/app --serve"),
    ];
    desk.put(path, &later).await.data();
    let pending = desk.get("/nodes/pve1/lxc/100/pending").await;
    let waits: Vec<&str> = pending
        .data()
        .as_array()
        .unwrap()
        .iter()
        .filter(|r| r.get("pending").is_some())
        .filter_map(|r| r["key"].as_str())
        .collect();
    assert_eq!(waits, ["entrypoint", "env", "features", "nameserver", "searchdomain"]);
    // The configuration read without `current` already shows them; the running one does not have them.
    assert_eq!(desk.get(path).await.data()["nameserver"], "10.0.0.53");
    let current = desk.get(&format!("{path}?current=1")).await;
    assert_eq!(current.data().get("nameserver"), None);
    assert_eq!(current.data()["mp0"], "local-lvm:vm-100-disk-1,mp=/data,size=2G");
    // A mount point of a running container is detached at its next start only.
    desk.put(path, &[("delete", "mp0")]).await.data();
    assert!(desk.twin.guest(100).unwrap().config.contains_key("mp0"));
    let reboot = desk.post("/nodes/pve1/lxc/100/status/reboot", &[]).await;
    assert_eq!(desk.exit(&reboot).await, "OK");
    let config = desk.twin.guest(100).unwrap().config;
    assert_eq!(config["unused0"], "local-lvm:vm-100-disk-1");
    assert_eq!(config["entrypoint"], "/bin/app --serve");
    let pending = desk.get("/nodes/pve1/lxc/100/pending").await;
    assert!(!pending.text.contains("\"pending\""), "{}", pending.text);
}

#[tokio::test]
async fn an_address_appears_some_seconds_after_the_start() {
    let mut options = proxmox_twin::Options::quick(World::empty().guest(GuestSpec::lxc(100, "a")));
    // Slow enough that the moment before the lease can be seen.
    options.speed = 0.2;
    let desk = Desk::with(options).await;
    let started = desk.post("/nodes/pve1/lxc/100/status/start", &[]).await;
    assert_eq!(desk.exit(&started).await, "OK");
    let first = desk.get("/nodes/pve1/lxc/100/interfaces").await;
    let eth = &first.data()[1];
    assert_eq!((eth["name"].as_str(), eth.get("inet")), (Some("eth0"), None));
    assert!(eth["inet6"].as_str().unwrap().starts_with("fe80::"));
    for _ in 0..500 {
        let now = desk.get("/nodes/pve1/lxc/100/interfaces").await;
        if now.data()[1]["inet"] != Value::Null {
            assert!(now.data()[1]["inet"].as_str().unwrap().starts_with("10.20."));
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("no address ever came");
}

#[tokio::test]
async fn a_guest_destroyed_behind_the_back_takes_its_disks_along() {
    let desk = Desk::new(World::empty().guest(GuestSpec::lxc(100, "a"))).await;
    assert_eq!(disks(&desk, "local-lvm").len(), 1);
    let order = |action: &str| Meddling { action: action.into(), vmid: 100, ..Meddling::default() };
    let set =
        Meddling { config: [("memory".to_owned(), "4096".to_owned())].into(), ..order("set") };
    desk.twin.meddle(&set).unwrap();
    assert_eq!(desk.get("/nodes/pve1/lxc/100/config").await.data()["memory"], 4096);
    desk.twin.meddle(&order("destroy")).unwrap();
    assert!(disks(&desk, "local-lvm").is_empty());
}

#[tokio::test]
async fn a_full_storage_refuses_a_new_mount_point_and_keeps_it_pending() {
    let desk = Desk::new(World::empty().guest(GuestSpec::lxc(100, "a").running())).await;
    desk.twin
        .trouble(proxmox_twin::Trouble::FillStorage {
            node: "pve1".into(),
            storage: "local-lvm".into(),
            percent: 99.0,
        })
        .unwrap();
    let full = desk
        .put("/nodes/pve1/lxc/100/config", &[("cores", "4"), ("mp0", "local-lvm:2,mp=/x")])
        .await;
    assert_eq!(full.line(), "400 Parameter verification failed.");
    assert!(full.error("mp0").starts_with("unable to hotplug mp0: lvcreate"), "{}", full.text);
    let config = desk.twin.guest(100).unwrap().config;
    assert_eq!((config["cores"].as_str(), config.get("mp0")), ("4", None));
}
