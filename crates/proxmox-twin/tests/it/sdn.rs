//! Software-defined networks: staged, applied, rolled back, locked; a vnet is a bridge, its IPAM gives addresses.

use proxmox_twin::{DEBIAN_TEMPLATE, GuestSpec, Trouble, World};
use serde_json::{Value, json};

use crate::Desk;

/// A form.
type Form = &'static [(&'static str, &'static str)];

async fn build(desk: &Desk, path: &str, form: &[(&str, &str)]) {
    desk.post(&format!("/cluster/sdn{path}"), form).await.data();
}

/// A simple zone with DHCP, a vnet and a subnet with three addresses.
async fn simple(desk: &Desk) {
    build(desk, "/zones", &[("zone", "shop"), ("type", "simple"), ("dhcp", "dnsmasq")]).await;
    build(desk, "/vnets", &[("vnet", "web"), ("zone", "shop"), ("alias", "the shop")]).await;
    let subnet = [
        ("subnet", "10.8.0.0/24"),
        ("type", "subnet"),
        ("gateway", "10.8.0.1"),
        ("snat", "1"),
        ("dhcp-range", "start-address=10.8.0.10,end-address=10.8.0.12"),
    ];
    build(desk, "/vnets/web/subnets", &subnet).await;
}

async fn apply(desk: &Desk) -> String {
    let applied = desk.put("/cluster/sdn", &[]).await;
    assert!(applied.data().as_str().unwrap().contains(":reloadnetworkall::"));
    desk.exit(&applied).await
}

#[tokio::test]
async fn a_vnet_is_pending_until_it_is_applied_and_then_a_bridge() {
    let desk = Desk::new(World::empty().guest(GuestSpec::lxc(100, "a"))).await;
    simple(&desk).await;
    let pending = desk.get("/cluster/sdn/vnets?pending=1").await;
    let vnet = &pending.data()[0];
    assert_eq!((&vnet["vnet"], &vnet["state"]), (&json!("web"), &json!("new")));
    assert_eq!(vnet["pending"]["alias"], "the shop");
    assert_eq!(desk.get("/cluster/sdn/vnets?running=1").await.data(), &json!([]));
    let dry = desk.get("/cluster/sdn/dry-run?node=pve1").await;
    assert!(dry.data()["interfaces-diff"].as_str().unwrap().contains("+iface web"), "{}", dry.text);
    let net = [("net0", "name=eth0,bridge=web,ip=dhcp")];
    assert_eq!(
        desk.put("/nodes/pve1/lxc/100/config", &net).await.line(),
        "500 bridge 'web' does not exist"
    );
    assert_eq!(apply(&desk).await, "OK");
    assert_eq!(desk.get("/cluster/sdn/vnets?pending=1").await.data()[0].get("state"), None);
    let zones = desk.get("/nodes/pve2/sdn/zones").await;
    assert_eq!(zones.data()[0], json!({"zone": "shop", "status": "available"}));
    let content = desk.get("/nodes/pve2/sdn/zones/shop/content").await;
    assert_eq!(content.data()[0]["vnet"], "web");
    let bridges = desk.get("/nodes/pve3/network?type=any_bridge").await;
    assert!(bridges.data().as_array().unwrap().iter().any(|b| b["iface"] == "web"));

    desk.put("/nodes/pve1/lxc/100/config", &net).await.data();
    let start = desk.post("/nodes/pve1/lxc/100/status/start", &[]).await;
    assert_eq!(desk.exit(&start).await, "OK");
    let address = loop_address(&desk, 100).await;
    assert_eq!(address, "10.8.0.10/24");
    let ipam = desk.get("/cluster/sdn/ipams/pve/status").await;
    let rows = ipam.data().as_array().unwrap();
    assert_eq!((&rows[0]["ip"], &rows[0]["gateway"]), (&json!("10.8.0.1"), &json!(1)));
    assert_eq!((&rows[1]["vmid"], &rows[1]["hostname"]), (&json!(100), &json!("a")));
    let used = desk.delete("/cluster/sdn/vnets/web/subnets/shop-10.8.0.0-24").await;
    assert_eq!(
        used.line(),
        "500 delete sdn subnet object failed: cannot delete subnet '10.8.0.0/24', not empty"
    );
    let gone = desk.call("DELETE", "/nodes/pve1/lxc/100", &[("force", "1")]).await;
    assert_eq!(desk.exit(&gone).await, "OK");
    assert_eq!(desk.get("/cluster/sdn/ipams/pve/status").await.data().as_array().unwrap().len(), 1);
}

async fn loop_address(desk: &Desk, vmid: u32) -> String {
    for _ in 0..500 {
        let now = desk.get(&format!("/nodes/pve1/lxc/{vmid}/interfaces")).await;
        if let Some(inet) = now.data()[1]["inet"].as_str() {
            return inet.to_owned();
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    panic!("no address");
}

#[tokio::test]
async fn addresses_run_out() {
    let desk = Desk::new(World::empty()).await;
    simple(&desk).await;
    apply(&desk).await;
    let template = format!("local:vztmpl/{DEBIAN_TEMPLATE}");
    for vmid in 101..=104_u32 {
        let id = vmid.to_string();
        let form = [
            ("vmid", id.as_str()),
            ("ostemplate", template.as_str()),
            ("rootfs", "local-lvm:4"),
            ("net0", "name=eth0,bridge=web,ip=dhcp"),
        ];
        let made = desk.post("/nodes/pve1/lxc", &form).await;
        assert_eq!(desk.exit(&made).await, "OK");
        let start = desk.post(&format!("/nodes/pve1/lxc/{vmid}/status/start"), &[]).await;
        let text = desk.exit(&start).await;
        if vmid < 104 {
            assert_eq!(text, "OK");
        } else {
            assert_eq!(text, "can't find any free ip in zone shop for IPv4");
        }
    }
}

#[tokio::test]
async fn rules_of_zones_vnets_and_subnets() {
    let desk = Desk::new(World::empty()).await;
    simple(&desk).await;
    let refused: &[(&str, Form, &str)] = &[
        (
            "/zones",
            &[("zone", "shop"), ("type", "simple")],
            "500 create sdn zone object failed: sdn zone object ID 'shop' already defined",
        ),
        (
            "/zones",
            &[("zone", "lan"), ("type", "vlan")],
            "500 create sdn zone object failed: missing value for required option 'bridge'",
        ),
        (
            "/zones",
            &[("zone", "s2"), ("type", "simple"), ("bridge", "vmbr0")],
            "500 create sdn zone object failed: unexpected property 'bridge'",
        ),
        ("/vnets", &[("vnet", "x1"), ("zone", "none")], "500 sdn 'none' does not exist"),
    ];
    for (path, form, line) in refused {
        assert_eq!(desk.post(&format!("/cluster/sdn{path}"), form).await.line(), *line);
    }
    build(&desk, "/zones", &[("zone", "lan"), ("type", "vlan"), ("bridge", "vmbr1")]).await;
    build(
        &desk,
        "/zones",
        &[("zone", "far"), ("type", "vxlan"), ("peers", "10.20.0.11,10.20.0.12")],
    )
    .await;
    build(
        &desk,
        "/vnets",
        &[("vnet", "office"), ("zone", "lan"), ("tag", "40"), ("isolate-ports", "1")],
    )
    .await;
    let wrong: &[(&str, Form, &str, &str)] = &[
        (
            "/vnets",
            &[("vnet", "x1"), ("zone", "shop"), ("tag", "1")],
            "tag",
            "vlan tag is not allowed on simple zone",
        ),
        ("/vnets", &[("vnet", "x1"), ("zone", "lan")], "tag", "missing vlan tag"),
        ("/vnets", &[("vnet", "x1"), ("zone", "far")], "tag", "missing vxlan tag"),
        (
            "/vnets",
            &[("vnet", "x1"), ("zone", "lan"), ("tag", "40")],
            "tag",
            "tag 40 already exist in zone lan in vnet office",
        ),
        (
            "/vnets",
            &[("vnet", "muchtoolong"), ("zone", "lan"), ("tag", "41")],
            "vnet",
            "invalid format - vnet ID 'muchtoolong' can't be more length than 8 characters\n",
        ),
        (
            "/zones",
            &[("zone", "a_b"), ("type", "simple")],
            "zone",
            "invalid format - zone ID 'a_b' contains illegal characters\n",
        ),
        (
            "/vnets/web/subnets",
            &[("subnet", "10.9.0.0/24"), ("type", "subnet"), ("gateway", "10.1.0.1")],
            "gateway",
            "10.1.0.1 is not in subnet 10.9.0.0/24",
        ),
        (
            "/vnets/web/subnets",
            &[("subnet", "10.9.0.0/24")],
            "type",
            "property is missing and it is not optional",
        ),
    ];
    for (path, form, key, sentence) in wrong {
        let got = desk.post(&format!("/cluster/sdn{path}"), form).await;
        assert_eq!(got.error(key), *sentence, "{form:?}");
    }
    assert_eq!(
        desk.delete("/cluster/sdn/vnets/web").await.error("vnet"),
        "Can't delete vnet if subnets exists"
    );
    assert_eq!(
        desk.delete("/cluster/sdn/zones/lan").await.line(),
        "500 delete sdn zone object failed: zone lan is used by vnet office"
    );
    let vnet = desk.get("/cluster/sdn/vnets/office").await;
    assert_eq!((&vnet.data()["isolate-ports"], &vnet.data()["tag"]), (&json!(1), &json!(40)));
    let digest = vnet.data()["digest"].as_str().unwrap().to_owned();
    let change = [("tag", "42"), ("digest", digest.as_str())];
    desk.put("/cluster/sdn/vnets/office", &change).await.data();
    assert_eq!(
        desk.put("/cluster/sdn/vnets/office", &change).await.line(),
        "500 update sdn vnet object failed: detected modified configuration - file changed by other user? Try again."
    );
    let subnets = desk.get("/cluster/sdn/vnets/web/subnets").await;
    let subnet = &subnets.data()[0];
    assert_eq!(
        (&subnet["subnet"], &subnet["cidr"]),
        (&json!("shop-10.8.0.0-24"), &json!("10.8.0.0/24"))
    );
    assert_eq!(subnet["dhcp-range"][0]["end-address"], "10.8.0.12");
}

#[tokio::test]
async fn a_lock_guards_and_a_rollback_forgets() {
    let desk = Desk::new(World::empty()).await;
    let token = desk.post("/cluster/sdn/lock", &[]).await.data().as_str().unwrap().to_owned();
    assert_eq!(
        desk.post("/cluster/sdn/lock", &[]).await.line(),
        "500 configuration has already been locked"
    );
    let zone = [("zone", "z1"), ("type", "simple")];
    assert_eq!(
        desk.post("/cluster/sdn/zones", &zone).await.line(),
        "500 invalid lock token provided!"
    );
    let mut with = zone.to_vec();
    with.push(("lock-token", &token));
    desk.post("/cluster/sdn/zones", &with).await.data();
    desk.post("/cluster/sdn/rollback", &[("lock-token", &token), ("release-lock", "0")])
        .await
        .data();
    assert_eq!(desk.get("/cluster/sdn/zones").await.data(), &json!([]));
    desk.post("/cluster/sdn/zones", &with).await.data();
    let applied = desk.put("/cluster/sdn", &[("lock-token", &token)]).await;
    assert_eq!(desk.exit(&applied).await, "OK");
    // Released with the apply.
    build(&desk, "/zones", &[("zone", "z2"), ("type", "simple")]).await;
    assert_eq!(
        desk.post("/cluster/sdn/lock", &[]).await.line(),
        "500 configuration has uncommitted changes"
    );
    desk.post("/cluster/sdn/lock", &[("allow-pending", "1")]).await.data();
    desk.call("DELETE", "/cluster/sdn/lock", &[("force", "1")]).await.data();
    desk.delete("/cluster/sdn/zones/z1").await.data();
    let states = desk.get("/cluster/sdn/zones?pending=1").await;
    let of = |zone: &str| -> Value {
        let rows = states.data().as_array().unwrap();
        rows.iter().find(|r| r["zone"] == zone).unwrap()["state"].clone()
    };
    assert_eq!((of("z1"), of("z2")), (json!("deleted"), json!("new")));
}

#[tokio::test]
async fn a_node_that_was_away_takes_a_vnet_up_with_the_next_apply() {
    let desk = Desk::new(World::empty()).await;
    simple(&desk).await;
    let id = desk.twin.trouble(Trouble::NodeDown { node: "pve3".into() }).unwrap();
    assert_eq!(apply(&desk).await, "OK");
    desk.twin.clear_trouble(id);
    let zones = desk.get("/nodes/pve3/sdn/zones").await;
    assert_eq!(zones.data()[0]["status"], "pending");
    assert_eq!(apply(&desk).await, "OK");
    let zones = desk.get("/nodes/pve3/sdn/zones").await;
    assert_eq!(zones.data()[0]["status"], "available");
}
