//! The twin's tables and answers against the official schema (never copied; read where `GANTRY_CONTRACTS` says).

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use proxmox_twin::{DEBIAN_TEMPLATE, Kind, Param, Table, World, property_table, routes};
use serde_json::Value;

use crate::Desk;

/// Where a table says less or something else than the schema on purpose: (table or path, parameter, why).
const DEVIATIONS: &[(&str, &str, &str)] = &[
    (
        "qemu-machine",
        "type",
        "the long pattern of machine types is not repeated; any text up to 40 characters passes",
    ),
    ("qemu-net", "bridge", "checked by its existence instead"),
    ("qemu-net", "model", "any model passes"),
    ("qemu-net", "trunks", "any text passes"),
    ("qemu-usb", "host", "any text passes"),
    ("qemu-vga", "type", "any text passes"),
    ("qemu-tpm", "format", "any text passes"),
    ("qemu-efidisk", "ms-cert", "any text passes"),
    ("qemu-numa", "cpus", "any text passes"),
    ("qemu-numa", "hostnodes", "any text passes"),
    ("qemu-ivshmem", "name", "any text passes"),
    ("drive", "serial", "URL-encoded serial numbers are not looked into"),
    ("drive", "model", "URL-encoded model names are not looked into"),
    ("drive", "wwn", "any text passes"),
    ("drive", "product", "any text passes"),
    ("drive", "vendor", "any text passes"),
];

/// The schema by method and path, or a loud note that it is not there.
fn contract() -> Option<BTreeMap<(String, String), Value>> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let place = std::env::var("GANTRY_CONTRACTS").unwrap_or_else(|_| "../shared/contracts".into());
    let file = root.join(place).join("pve-apidata.json");
    let Ok(text) = std::fs::read_to_string(&file) else {
        eprintln!(
            "NOT CHECKED AGAINST THE OFFICIAL SCHEMA: {} is absent (set GANTRY_CONTRACTS)",
            file.display()
        );
        return None;
    };
    let tree: Vec<Value> = serde_json::from_str(&text).unwrap();
    let mut found = BTreeMap::new();
    fn walk(node: &Value, found: &mut BTreeMap<(String, String), Value>) {
        for (method, info) in node["info"].as_object().into_iter().flatten() {
            let path = node["path"].as_str().unwrap().to_owned();
            found.insert((method.clone(), path), info.clone());
        }
        for child in node["children"].as_array().into_iter().flatten() {
            walk(child, found);
        }
    }
    tree.iter().for_each(|node| walk(node, &mut found));
    assert!(found.len() > 600, "this is not the schema");
    Some(found)
}

/// Numbers stand as numbers or as text in the schema.
fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str().and_then(|t| t.parse().ok()))
}

fn truthy(value: &Value) -> bool {
    value == &Value::Bool(true) || number(value) == Some(1.0)
}

/// Compares one parameter; gives what differs.
fn differs(ours: &Param, theirs: &Value, place: &str, out: &mut Vec<String>) {
    let name = &ours.name;
    if DEVIATIONS.iter().any(|(p, n, _)| {
        *n == name
            && (place.contains(p)
                || (*p == "drive"
                    && ["ide", "sata", "scsi", "virtio"].iter().any(|d| place.contains(d))))
    }) {
        return;
    }
    let mut say = |what: &str, a: String, b: String| {
        if a != b {
            out.push(format!("{place} {name}: {what}: ours {a}, theirs {b}"));
        }
    };
    if let Some(alias) = theirs["alias"].as_str() {
        say("alias", format!("{:?}", ours.alias), format!("{:?}", Some(alias)));
        return;
    }
    say("type", ours.kind.name().into(), theirs["type"].as_str().unwrap_or("string").into());
    say("required", ours.required.to_string(), (!truthy(&theirs["optional"])).to_string());
    say("minimum", format!("{:?}", ours.min), format!("{:?}", number(&theirs["minimum"])));
    say("maximum", format!("{:?}", ours.max), format!("{:?}", number(&theirs["maximum"])));
    let length = |v: &Value| number(v).map(|n| n as usize);
    say(
        "minLength",
        format!("{:?}", ours.min_length),
        format!("{:?}", length(&theirs["minLength"])),
    );
    say(
        "maxLength",
        format!("{:?}", ours.max_length),
        format!("{:?}", length(&theirs["maxLength"])),
    );
    say(
        "requires",
        format!("{:?}", ours.requires),
        format!("{:?}", theirs["requires"].as_str().map(str::to_owned)),
    );
    let choices: Vec<String> = theirs["enum"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|v| v.as_str().unwrap().to_owned())
        .collect();
    say("enum", format!("{:?}", ours.choices), format!("{choices:?}"));
    say("default key", ours.default_key.to_string(), truthy(&theirs["default_key"]).to_string());
    if theirs["format"].is_object() {
        let table = ours.property.as_deref().and_then(property_table);
        match table {
            None => out.push(format!("{place} {name}: no property table")),
            Some(table) => {
                keys(table, &theirs["format"], ours.property.as_deref().unwrap_or(""), out)
            }
        }
    } else {
        let format = theirs["format"].as_str().map(str::to_owned);
        say("format", format!("{:?}", ours.format), format!("{format:?}"));
        say(
            "pattern given",
            ours.pattern.is_some().to_string(),
            theirs["pattern"].is_string().to_string(),
        );
    }
}

/// Compares a whole table with the schema's properties.
fn keys(table: &Table, theirs: &Value, place: &str, out: &mut Vec<String>) {
    let known: BTreeSet<&str> = table.params().map(|p| p.name.as_str()).collect();
    let theirs = theirs.as_object().unwrap();
    for name in theirs.keys().filter(|name| !known.contains(name.as_str())) {
        out.push(format!("{place} {name}: only in the schema"));
    }
    for param in table.params() {
        match theirs.get(&param.name) {
            None => out.push(format!("{place} {}: only here", param.name)),
            Some(given) => differs(param, given, place, out),
        }
    }
}

#[test]
fn every_parameter_agrees_with_the_schema() {
    let Some(contract) = contract() else { return };
    let mut out = Vec::new();
    for (method, path, table) in routes().unwrap() {
        let Some(info) = contract.get(&(method.clone(), path.clone())) else {
            out.push(format!("{method} {path}: not in the schema"));
            continue;
        };
        let empty = Value::Object(serde_json::Map::new());
        let theirs = info["parameters"].get("properties").unwrap_or(&empty);
        keys(&table, theirs, &format!("{method} {path}"), &mut out);
    }
    assert!(out.is_empty(), "{} differences:\n{}", out.len(), out.join("\n"));
}

/// Is a value what the schema calls it? Numbers may be text and flags numbers: the real answers mix them.
fn fits(value: &Value, kind: &str) -> bool {
    match kind {
        "integer" => {
            value.is_i64()
                || value.is_u64()
                || value.as_str().is_some_and(|t| t.parse::<i64>().is_ok())
        }
        "number" => value.is_number() || value.as_str().is_some_and(|t| t.parse::<f64>().is_ok()),
        "boolean" => value.is_boolean() || number(value).is_some_and(|n| n == 0.0 || n == 1.0),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        _ => true,
    }
}

fn judge(value: &Value, returns: &Value, place: &str, out: &mut Vec<String>) {
    let kind = returns["type"].as_str().unwrap_or("any");
    if !fits(value, kind) {
        // A stopped container's interfaces are null (measured).
        out.push(format!("{place}: not {kind}: {value}"));
        return;
    }
    if let Some(rows) = value.as_array() {
        for row in rows {
            judge(row, &returns["items"], &format!("{place}[]"), out);
        }
    }
    let Some(properties) = returns["properties"].as_object() else { return };
    for (name, shape) in properties {
        match value.get(name) {
            None if truthy(&shape["optional"]) || name.ends_with("[n]") => {}
            None => out.push(format!("{place}.{name}: absent")),
            Some(inner) => judge(inner, shape, &format!("{place}.{name}"), out),
        }
    }
}

/// Answers whose required fields differ in the real server too.
const ANSWER_DEVIATIONS: &[(&str, &str)] = &[
    ("GET /cluster/nextid", "the schema says integer; the real answer is text that reads as one"),
    (
        "GET /nodes/{node}/disks/list[].osdid-list",
        "the schema says array; the real answer is null for a disk without an OSD",
    ),
];

/// One of everything that can be asked for by name.
async fn furnish(desk: &Desk) {
    for subject in ["gantry@pve", "gantry@pve!bot"] {
        desk.twin.grant(subject, "/", "Administrator");
        desk.twin.grant(subject, "/nodes", "Administrator");
        desk.twin.grant(subject, "/mapping/notifications", "Administrator");
    }
    type Form = &'static [(&'static str, &'static str)];
    let things: &[(&str, Form)] = &[
        (
            "/cluster/sdn/dns",
            &[("dns", "names"), ("type", "powerdns"), ("key", "k"), ("url", "http://127.0.0.1/")],
        ),
        ("/cluster/sdn/zones", &[("zone", "shop"), ("type", "simple"), ("dhcp", "dnsmasq")]),
        ("/cluster/sdn/vnets", &[("vnet", "web"), ("zone", "shop")]),
        ("/cluster/sdn/vnets/web/subnets", &[("subnet", "10.8.0.0/24"), ("type", "subnet")]),
        (
            "/cluster/notifications/endpoints/webhook",
            &[
                ("name", "office"),
                ("method", "post"),
                ("url", "http://127.0.0.1:1/x"),
                ("header", "name=A,value=Yg=="),
                ("secret", "name=token,value=cw=="),
                ("disable", "0"),
            ],
        ),
        (
            "/cluster/notifications/matchers",
            &[("name", "to-office"), ("target", "office"), ("mode", "all")],
        ),
        ("/cluster/firewall/aliases", &[("name", "office"), ("cidr", "10.1.0.0/16")]),
        ("/cluster/firewall/ipset", &[("name", "office")]),
    ];
    for (path, form) in things {
        desk.post(path, form).await.data();
    }
    let rule = [("type", "in"), ("action", "ACCEPT")];
    for place in [
        "/cluster",
        "/nodes/pve1",
        "/nodes/pve4",
        "/nodes/pve1/lxc/101",
        "/nodes/pve4/lxc/113",
        "/nodes/pve1/qemu/104",
        "/nodes/pve4/qemu/122",
    ] {
        desk.post(&format!("{place}/firewall/rules"), &rule).await.data();
    }
    let applied = desk.put("/cluster/sdn", &[]).await;
    assert_eq!(desk.exit(&applied).await, "OK");
}

#[tokio::test]
async fn answers_have_the_types_of_the_schema() {
    let Some(contract) = contract() else { return };
    let desk = Desk::new(World::demo()).await;
    desk.exit(&desk.post("/nodes/pve1/lxc/114/status/stop", &[]).await).await;
    let upid = desk.twin.tasks()[0].upid.clone();
    furnish(&desk).await;
    desk.twin.wears(|wear| wear.ceph = Some(("HEALTH_OK".into(), String::new())));
    let mut out = Vec::new();
    for (method, path, _) in routes().unwrap() {
        if method != "GET" {
            continue;
        }
        let info = &contract[&(method.clone(), path.clone())];
        for (node, vmid) in [
            ("pve1", if path.contains("/qemu/") { "104" } else { "101" }),
            ("pve4", if path.contains("/qemu/") { "122" } else { "113" }),
        ] {
            let mut asked = path
                .replace("{node}", if path.contains("upid") { "pve1" } else { node })
                .replace("{vmid}", vmid)
                .replace("{storage}", "local")
                .replace("{upid}", &upid)
                .replace("{volume}", &format!("vztmpl/{DEBIAN_TEMPLATE}"))
                .replace("{iface}", "vmbr0")
                .replace("{poolid}", "prod")
                .replace("{userid}", "gantry@pve")
                .replace("{snapname}", "clean");
            asked = asked
                .replace("{zone}", "shop")
                .replace("{vnet}", "web")
                .replace("{subnet}", "shop-10.8.0.0-24")
                .replace("{ipam}", "pve")
                .replace("{dns}", "names")
                .replace("{pos}", "0")
                .replace("/matchers/{name}", "/matchers/to-office")
                .replace("{name}", "office");
            if path.ends_with("dry-run") {
                asked += "?node=pve1";
            } else if path.ends_with("rrddata") {
                asked += "?timeframe=hour";
            } else if path.ends_with("query-url-metadata") {
                asked += "?url=https://iso.demo/rescue.iso.gz";
            } else if path.ends_with("query-oci-repo-tags") {
                asked += "?reference=registry.demo/shop/web";
            } else if path.ends_with("feature") {
                asked += "?feature=snapshot";
            }
            let got = desk.get(&asked).await;
            assert_eq!(got.status, 200, "{asked}: {} {}", got.reason, got.text);
            judge(got.data(), &info["returns"], &format!("{method} {path}"), &mut out);
        }
    }
    out.retain(|line| !ANSWER_DEVIATIONS.iter().any(|(place, _)| line.starts_with(place)));
    out.sort();
    out.dedup();
    assert!(out.is_empty(), "{} differences:\n{}", out.len(), out.join("\n"));
    assert_eq!(Kind::Boolean.name(), "boolean");
}
