//! Bridges: staged, shown as a difference, applied, taken back; and a reload that cuts the node off.

use proxmox_twin::{GuestSpec, Trouble, World};
use serde_json::Value;

use crate::Desk;

const PATH: &str = "/nodes/pve1/network";

/// A form, and what is said about one of its keys.
type Refused = (&'static [(&'static str, &'static str)], &'static str, &'static str);

fn row<'a>(rows: &'a Value, iface: &str) -> Option<&'a Value> {
    rows.as_array().unwrap().iter().find(|r| r["iface"] == iface)
}

#[tokio::test]
async fn a_bridge_is_staged_shown_and_applied() {
    let desk = Desk::new(World::empty().guest(GuestSpec::lxc(100, "a"))).await;
    let first = desk.get(PATH).await;
    assert_eq!(first.body.get("changes"), None);
    assert_eq!(row(first.data(), "vmbr0").unwrap()["cidr"], "10.20.0.11/24");
    let form = [
        ("iface", "vmbr7"),
        ("type", "bridge"),
        ("autostart", "1"),
        ("bridge_ports", "enp65s0f0,enp65s0f1"),
        ("bridge_vlan_aware", "1"),
        ("mtu", "9000"),
        ("comments", "deployment shop"),
        ("cidr", "10.77.0.1/24"),
    ];
    desk.post(PATH, &form).await.data();
    let staged = desk.get(PATH).await;
    let changes = staged.body["changes"].as_str().unwrap();
    assert!(changes.contains("+\tbridge-ports enp65s0f0 enp65s0f1\n"), "{changes}");
    assert!(changes.contains("+#deployment shop\n"), "{changes}");
    let bridge = row(staged.data(), "vmbr7").unwrap();
    assert_eq!(bridge["bridge_vids"], "2-4094");
    assert_eq!(bridge["comments"], "deployment shop\n");
    assert_eq!(
        (bridge["method"].as_str(), bridge["netmask"].as_str()),
        (Some("static"), Some("24"))
    );
    assert_eq!(bridge.get("active"), None, "not there before the reload");
    // No guest can use it yet.
    let net = [("net0", "name=eth0,bridge=vmbr7")];
    assert_eq!(
        desk.put("/nodes/pve1/lxc/100/config", &net).await.line(),
        "500 bridge 'vmbr7' does not exist"
    );
    let reload = desk.put(PATH, &[]).await;
    assert!(reload.data().as_str().unwrap().contains(":srvreload:networking:"));
    assert_eq!(desk.exit(&reload).await, "OK");
    let live = desk.get("/nodes/pve1/network?type=any_local_bridge").await;
    assert_eq!(live.body.get("changes"), None);
    assert_eq!(row(live.data(), "vmbr7").unwrap()["active"], 1);
    assert_eq!(live.data().as_array().unwrap().len(), 3);
    desk.put("/nodes/pve1/lxc/100/config", &net).await.data();
    let start = desk.post("/nodes/pve1/lxc/100/status/start", &[]).await;
    assert_eq!(desk.exit(&start).await, "OK");
}

#[tokio::test]
async fn staged_changes_are_dropped_or_refused() {
    let desk = Desk::new(World::empty()).await;
    desk.delete("/nodes/pve1/network/vmbr1").await.data();
    let changes = desk.get(PATH).await.body["changes"].as_str().unwrap().to_owned();
    assert!(changes.contains("-auto vmbr1\n"), "{changes}");
    assert_eq!(row(desk.get(PATH).await.data(), "vmbr1"), None);
    assert_eq!(
        desk.delete("/nodes/pve1/network/vmbr1").await.error("iface"),
        "interface does not exist"
    );
    desk.delete(PATH).await.data();
    let reverted = desk.get(PATH).await;
    assert_eq!(reverted.body.get("changes"), None);
    assert!(row(reverted.data(), "vmbr1").is_some());

    let refusals: &[Refused] = &[
        (&[("iface", "vmbr0"), ("type", "bridge")], "iface", "interface already exists"),
        (
            &[
                ("iface", "vmbr8"),
                ("type", "bridge"),
                ("cidr", "10.9.0.1/24"),
                ("gateway", "10.9.0.2"),
            ],
            "gateway",
            "Default gateway already exists on interface 'vmbr0'.",
        ),
        (
            &[("iface", "vmbr8"), ("type", "bridge"), ("bridge_vids", "9-2")],
            "bridge_vids",
            "invalid format - invalid VLAN ID or range '9-2'\n",
        ),
        (
            &[("iface", "VMBR8"), ("type", "bridge")],
            "iface",
            "invalid format - invalid network interface name\n",
        ),
        (
            &[("iface", "vmbr8"), ("type", "bridge"), ("bridge_stp", "on")],
            "bridge_stp",
            "property is not defined in schema and the schema does not allow additional properties",
        ),
        (
            &[("iface", "vmbr8"), ("type", "bridge"), ("mtu", "100")],
            "mtu",
            "value must have a minimum value of 1280",
        ),
    ];
    for (form, key, sentence) in refusals {
        assert_eq!(desk.post(PATH, form).await.error(key), *sentence);
    }
    let writer: &[(&[(&str, &str)], &str)] = &[
        (
            &[("iface", "vmbr8"), ("type", "bridge"), ("bridge_ports", "eno77")],
            "500 bridge 'vmbr8' - unable to find bridge port 'eno77'",
        ),
        (
            &[("iface", "vmbr8"), ("type", "bridge"), ("bridge_ports", "eno1")],
            "500 iface 'eno1' is already used by 'vmbr0', can't add it to 'vmbr8'",
        ),
        (
            &[("iface", "bond0"), ("type", "bond"), ("slaves", "vmbr1"), ("bond_mode", "802.3ad")],
            "500 bond 'bond0' - wrong interface type on slave 'vmbr1' ('bridge' != 'eth or bond')",
        ),
        (
            &[("iface", "vlan7"), ("type", "vlan"), ("vlan-raw-device", "none9")],
            "500 vlan 'vlan7' - unable to find parent 'none9'",
        ),
    ];
    for (form, line) in writer {
        assert_eq!(desk.post(PATH, form).await.line(), *line);
    }
    assert_eq!(desk.get(PATH).await.body.get("changes"), None, "a refused change stages nothing");
    let bond = [
        ("iface", "bond0"),
        ("type", "bond"),
        ("slaves", "enp65s0f0 enp65s0f1"),
        ("bond_mode", "802.3ad"),
    ];
    desk.post(PATH, &bond).await.data();
    let vlan = [("iface", "bond0.40"), ("type", "vlan")];
    desk.post(PATH, &vlan).await.data();
    assert!(desk.get(PATH).await.body["changes"].as_str().unwrap().contains("+iface bond0.40"));
}

#[tokio::test]
async fn a_reload_that_breaks_the_management_bridge_cuts_the_node_off() {
    let desk = Desk::new(World::empty()).await;
    // The address is not in the call, so the bridge has none afterwards.
    let form = [("type", "bridge"), ("bridge_ports", "eno1"), ("autostart", "1")];
    desk.put("/nodes/pve2/network/vmbr0", &form).await.data();
    let shown = desk.get("/nodes/pve2/network/vmbr0").await;
    assert_eq!((shown.data()["method"].as_str(), shown.data().get("cidr")), (Some("manual"), None));
    let reload = desk.put("/nodes/pve2/network", &[]).await;
    let upid = reload.data().as_str().unwrap().to_owned();
    let asked = format!("/nodes/pve2/tasks/{upid}/status");
    for _ in 0..500 {
        if desk.twin.troubles().iter().any(|t| matches!(t.trouble, Trouble::NetworkBroken { .. })) {
            break;
        }
        desk.twin.state();
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(desk.get(&asked).await.line(), "595 Connection timed out");
    let nodes = desk.get("/nodes").await;
    let pve2 = nodes.data().as_array().unwrap().iter().find(|n| n["node"] == "pve2").unwrap();
    assert_eq!(pve2["status"], "offline");
    // Neither revert nor a new reload reaches it.
    assert_eq!(desk.delete("/nodes/pve2/network").await.line(), "595 Connection timed out");
    let id = desk.twin.troubles()[0].id;
    assert!(desk.twin.clear_trouble(id), "somebody at the console");
    assert_eq!(desk.get(&asked).await.data()["exitstatus"], "OK");
}

#[tokio::test]
async fn an_interface_changes_behind_the_back() {
    let desk = Desk::new(World::empty()).await;
    desk.twin.meddle_network("pve1", "vmbr1", None).unwrap();
    assert_eq!(row(desk.get(PATH).await.data(), "vmbr1"), None);
    assert!(desk.twin.interfaces().iter().all(|i| i.node != "pve1" || i.iface != "vmbr1"));
    assert!(desk.twin.meddle_network("pve9", "vmbr1", None).is_err());
}
