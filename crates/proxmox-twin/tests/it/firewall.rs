//! Firewall rules, by position; options; aliases and sets of addresses.

use proxmox_twin::{GuestSpec, World};
use serde_json::{Value, json};

use crate::Desk;

#[tokio::test]
async fn rules_shift_and_digests_guard() {
    let desk = Desk::new(World::empty().guest(GuestSpec::lxc(100, "a"))).await;
    let path = "/nodes/pve1/lxc/100/firewall/rules";
    for port in ["80", "443"] {
        let rule = [
            ("type", "in"),
            ("action", "ACCEPT"),
            ("proto", "tcp"),
            ("dport", port),
            ("enable", "1"),
            ("comment", "gantry"),
        ];
        desk.post(path, &rule).await.data();
    }
    let rows = desk.get(path).await;
    let ports: Vec<&Value> = rows.data().as_array().unwrap().iter().map(|r| &r["dport"]).collect();
    assert_eq!(ports, [&json!("443"), &json!("80")], "a new rule comes first");
    let digest = rows.data()[0]["digest"].as_str().unwrap().to_owned();
    desk.call("DELETE", &format!("{path}/0"), &[("digest", &digest)]).await.data();
    assert_eq!(
        desk.call("DELETE", &format!("{path}/0"), &[("digest", &digest)]).await.line(),
        "500 detected modified configuration - file changed by other user? Try again."
    );
    assert_eq!(desk.get(&format!("{path}/7")).await.line(), "500 no rule at position 7");
    desk.put(&format!("{path}/0"), &[("dport", "8080"), ("delete", "comment")]).await.data();
    let rule = desk.get(&format!("{path}/0")).await;
    assert_eq!((&rule.data()["dport"], rule.data().get("comment")), (&json!("8080"), None));
    let without = desk.post(path, &[("type", "in"), ("action", "ACCEPT"), ("dport", "80")]).await;
    assert_eq!(without.error("proto"), "missing property - 'dport' requires this property");
    let port = [("type", "in"), ("action", "ACCEPT"), ("proto", "tcp"), ("dport", "99999")];
    assert_eq!(desk.post(path, &port).await.error("dport"), "invalid port '99999'");
    let absent = desk.get("/nodes/pve1/lxc/999/firewall/rules").await;
    assert_eq!(absent.line(), "500 Configuration file 'nodes/pve1/lxc/999.conf' does not exist");
}

#[tokio::test]
async fn options_aliases_and_sets() {
    let desk = Desk::new(World::empty().guest(GuestSpec::lxc(100, "a"))).await;
    let path = "/nodes/pve1/lxc/100/firewall/options";
    desk.put(path, &[("enable", "1"), ("policy_in", "DROP"), ("macfilter", "0")]).await.data();
    let options = desk.get(path).await;
    assert_eq!(
        (&options.data()["enable"], &options.data()["policy_in"]),
        (&json!(1), &json!("DROP"))
    );
    desk.put("/nodes/pve2/firewall/options", &[("enable", "1")]).await.data();
    // The cluster's own firewall needs a right on the root.
    let denied = desk.put("/cluster/firewall/options", &[("enable", "1")]).await;
    assert_eq!(denied.line(), "403 Permission check failed (/, Sys.Modify)");
    for subject in ["gantry@pve", "gantry@pve!bot"] {
        desk.twin.grant(subject, "/", "Administrator");
    }
    desk.put("/cluster/firewall/options", &[("enable", "1"), ("policy_in", "DROP")]).await.data();
    desk.post("/cluster/firewall/aliases", &[("name", "Office"), ("cidr", "10.1.0.0/16")])
        .await
        .data();
    assert_eq!(desk.get("/cluster/firewall/aliases/office").await.data()["cidr"], "10.1.0.0/16");
    desk.post("/cluster/firewall/ipset", &[("name", "friends")]).await.data();
    desk.post("/cluster/firewall/ipset/friends", &[("cidr", "10.2.0.0/24")]).await.data();
    assert_eq!(
        desk.delete("/cluster/firewall/ipset/friends").await.line(),
        "500 IPSet 'friends' is not empty"
    );
    let rule = [("type", "in"), ("action", "ACCEPT"), ("source", "+friends,office")];
    desk.post("/nodes/pve1/lxc/100/firewall/rules", &rule).await.data();
    let stranger = [("type", "in"), ("action", "ACCEPT"), ("source", "+foes")];
    assert_eq!(
        desk.post("/nodes/pve1/lxc/100/firewall/rules", &stranger).await.error("source"),
        "no such alias or address '+foes'"
    );
    desk.delete("/cluster/firewall/ipset/friends/10.2.0.0%2F24").await.data();
    desk.delete("/cluster/firewall/ipset/friends").await.data();
    assert_eq!(desk.get("/cluster/firewall/ipset").await.data(), &json!([]));
}
