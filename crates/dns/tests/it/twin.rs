//! The twin held against a real PowerDNS: the same requests to both, the same answers; and gantry's client at the
//! twin, with its troubles.

use dns_twin::DnsTwin;
use gantry_core::advice::Advice;
use gantry_dns::{Error, Provider, Publisher};
use reqwest::Method;
use serde_json::{Value, json};

use crate::lab::{API_KEY, Lab, Sort, name, nginx, powerdns_config, webs};

/// Method, path below `/api/v1/servers`, body, key.
type Ask = (Method, &'static str, String, &'static str);

fn patch(set: Value) -> String {
    json!({ "rrsets": [set] }).to_string()
}

fn set(name: &str, kind: &str, contents: &[&str]) -> Value {
    let records: Vec<Value> =
        contents.iter().map(|c| json!({ "content": c, "disabled": false })).collect();
    json!({ "name": name, "type": kind, "ttl": 30, "changetype": "REPLACE", "records": records })
}

fn script() -> Vec<Ask> {
    let zone = "/localhost/zones/twin.example.";
    let get = |path| (Method::GET, path, String::new(), API_KEY);
    let change = |body| (Method::PATCH, zone, body, API_KEY);
    let post = |body: Value| (Method::POST, "/localhost/zones", body.to_string(), API_KEY);
    let gone = |name: &str| json!({ "name": name, "type": "A", "changetype": "DELETE" });
    let a = "a.twin.example.";
    vec![
        (Method::GET, "/localhost/zones", String::new(), "nope"),
        (Method::GET, "", String::new(), "nope"),
        get(""),
        get("/localhost"),
        get("/other"),
        get("/localhost/nothere"),
        get(zone),
        change(patch(set(a, "A", &["10.0.0.1"]))),
        (Method::PUT, "/localhost/zones", String::new(), API_KEY),
        (Method::DELETE, "/localhost/zones/nope.example.", String::new(), API_KEY),
        post(json!({ "name": "twin.example", "kind": "Native" })),
        post(json!({ "kind": "Native" })),
        post(json!({ "name": "twin.example." })),
        post(json!({ "name": "twin.example.", "kind": "Native", "nameservers": ["ns1.example."] })),
        post(json!({ "name": "twin.example.", "kind": "Native", "nameservers": [] })),
        get(zone),
        get("/localhost/zones/twin.example"),
        get("/localhost/zones/twin.example.?rrsets=false"),
        change(patch(set(a, "A", &["10.0.0.1", "10.0.0.2"]))),
        change(patch(set(a, "AAAA", &["2001:db8::1"]))),
        change(patch(set("_x._tcp.twin.example.", "SRV", &["0 100 80 a.twin.example."]))),
        change(patch(set("_gantry.twin.example.", "TXT", &["\"a b\" \"c\""]))),
        get(zone),
        get("/localhost/zones/twin.example.?rrset_name=a.twin.example.&rrset_type=A"),
        get("/localhost/zones/twin.example.?rrset_name=b.twin.example.&rrset_type=A"),
        change(patch(set("a.other.example.", "A", &["10.0.0.1"]))),
        change(patch(set("xtwin.example.", "A", &["10.0.0.1"]))),
        change(patch(set(a, "CNAME", &["b.twin.example."]))),
        change(patch(set("c.twin.example.", "CNAME", &[a]))),
        change(patch(set("c.twin.example.", "A", &["10.0.0.1"]))),
        change(patch(set(a, "A", &["10.0.0.999"]))),
        change(patch(set(a, "A", &["10.0.0.9", "10.0.0.9"]))),
        change(patch(set("b.twin.example", "A", &[]))),
        change(patch(json!({ "name": a, "type": "A", "changetype": "NOPE", "records": [] }))),
        change(patch(json!({ "name": a, "type": "A", "changetype": "REPLACE", "records": [{ "content": "10.0.0.9" }] }))),
        change("nonsense".to_owned()),
        change("{}".to_owned()),
        change(json!({ "rrsets": [] }).to_string()),
        // One that is right and one that is wrong: neither is carried out.
        change(json!({ "rrsets": [set("d.twin.example.", "A", &["10.0.0.4"]), set("d.o.", "A", &["10.0.0.4"])] }).to_string()),
        change(patch(gone("b.twin.example."))),
        change(patch(gone("b.other.example."))),
        change(patch(gone(a))),
        change(patch(set(a, "AAAA", &[]))),
        get(zone),
        (Method::DELETE, zone, String::new(), API_KEY),
        get(zone),
    ]
}

/// Status, kind of body, body; serials are left out (PowerDNS takes them from the date).
async fn ask(
    client: &reqwest::Client,
    base: &str,
    (method, path, body, key): &Ask,
) -> (u16, String, Value) {
    let url = format!("{base}/api/v1/servers{path}");
    let request = client.request(method.clone(), url).header("X-API-Key", *key);
    let request = if body.is_empty() { request } else { request.body(body.clone()) };
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    assert_eq!(answer.headers().get("connection").unwrap(), "close");
    let kind = answer.headers().get("content-type").map_or("", |k| k.to_str().unwrap()).to_owned();
    let text = answer.text().await.unwrap();
    let mut value = serde_json::from_str(&text).unwrap_or(Value::String(text));
    if let Some(zone) = value.as_object_mut() {
        for serial in ["serial", "edited_serial"] {
            zone.remove(serial);
        }
        for set in zone.get_mut("rrsets").and_then(Value::as_array_mut).into_iter().flatten() {
            if set["type"] == "SOA" {
                set["records"] = Value::Null;
            }
            let records = set["records"].as_array_mut();
            records.into_iter().for_each(|r| r.sort_by_key(Value::to_string));
        }
        if let Some(sets) = zone.get_mut("rrsets").and_then(Value::as_array_mut) {
            sets.sort_by_key(|s| format!("{} {}", s["name"], s["type"]));
        }
    }
    (status, kind, value)
}

#[tokio::test]
async fn the_twin_answers_as_powerdns_does() {
    let Some(lab) = Lab::start(Sort::PowerDnsApi) else { return };
    let real = format!("http://127.0.0.1:{}", lab.api_port);
    let twin = DnsTwin::start(API_KEY).await.unwrap();
    let client = reqwest::Client::builder().no_proxy().timeout(crate::lab::deadlines().read);
    let client = client.build().unwrap();
    let mut wrong = Vec::new();
    for (n, request) in script().iter().enumerate() {
        let expected = ask(&client, &real, request).await;
        let got = ask(&client, &twin.url(), request).await;
        if got != expected {
            wrong.push(format!("{n} {request:?}\n  PowerDNS {expected:?}\n  twin     {got:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn at(twin: &DnsTwin) -> Publisher {
    let mut config = powerdns_config(1);
    config.url = twin.url().parse().unwrap();
    let zones = vec![name("lab.example"), name("0.0.10.in-addr.arpa")];
    Publisher::new(vec![Provider::powerdns("twin", zones, config).unwrap()]).unwrap()
}

#[tokio::test]
async fn a_service_is_published_at_the_twin_through_its_troubles() {
    let twin = DnsTwin::start(API_KEY).await.unwrap();
    let publisher = at(&twin);
    let error = publisher.publish(&nginx(), &webs(2)).await.unwrap_err();
    assert!(matches!(error, Error::NoZone { .. }), "{error:?}");
    twin.has_zone("lab.example.");
    twin.has_zone("0.0.10.in-addr.arpa.");
    twin.has("www.lab.example.", "A", 300, &["192.0.2.80"]);
    let before = twin.records();

    twin.loses_answers(1);
    let published = publisher.publish(&nginx(), &webs(2)).await.unwrap();
    assert_eq!(published.unserved.len(), 2, "IPv6 has no reverse zone here");
    assert_eq!(twin.writes(), ["PATCH lab.example.", "PATCH 0.0.10.in-addr.arpa."]);
    assert!(twin.records().contains(&"nginx.lab.example. 30 A 10.0.0.10".to_owned()));

    twin.fails(true);
    let error = publisher.publish(&nginx(), &webs(3)).await.unwrap_err();
    assert!(matches!(error, Error::Server { .. }), "{error:?}");
    assert!(matches!(error.advice(), Advice::RetryAfter(_)));
    twin.fails(false);
    twin.goes_down().await;
    let error = publisher.publish(&nginx(), &webs(3)).await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
    twin.comes_back().await.unwrap();
    publisher.publish(&nginx(), &webs(3)).await.unwrap();
    assert!(twin.records().contains(&"nginx.lab.example. 30 A 10.0.0.12".to_owned()));
    publisher.withdraw(&nginx()).await.unwrap();
    assert_eq!(twin.records(), before);
}
