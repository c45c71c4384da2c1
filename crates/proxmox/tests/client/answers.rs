//! Answers are typed loosely and may be anything; what can be understood is, and nothing panics.

use std::sync::{Arc, Mutex};

use gantry_core::id::{GuestKind, Upid};
use gantry_proxmox::{
    Client, Error, ExitStatus, Freshness, GuestConfig, GuestStatus, Node, NodeStatus, Permissions,
    Resource, ResourceKind, Storage, TaskFilter, TaskStatus, Version, Volume,
};
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::errors::guest;
use crate::server::{Ca, Reply, Server, config};

/// A server that answers one body after the other, and its client.
async fn answering(bodies: &[&str]) -> (Client, Server) {
    let ca = Ca::new();
    let left: Vec<String> = bodies.iter().rev().map(|b| (*b).to_owned()).collect();
    let left = Arc::new(Mutex::new(left));
    let server =
        Server::start(&ca, move |_| Reply::Json(left.lock().unwrap().pop().unwrap())).await;
    (Client::new(config(&ca, &[&server])).unwrap(), server)
}

fn upid() -> Upid {
    "UPID:pve1:0000ABCD:0001E240:6563A1B2:vzdestroy:201:root@pam!gantry:".parse().unwrap()
}

#[test]
fn only_ok_and_warnings_are_success() {
    assert_eq!(ExitStatus::parse("OK"), ExitStatus::Ok);
    assert_eq!(ExitStatus::parse("WARNINGS: 2"), ExitStatus::Warnings(2));
    for text in [
        "",
        "ok",
        "OK ",
        "OKAY",
        "WARNINGS: ",
        "WARNINGS: x",
        "WARNINGS: +2",
        "warnings: 2",
        "unexpected status",
        "CT is locked (backup)",
        "interrupted by signal",
    ] {
        let exit = ExitStatus::parse(text);
        assert_eq!(exit, ExitStatus::Failed(text.to_owned()));
        assert!(!exit.is_success());
        assert_eq!(exit.to_string(), text);
    }
}

#[tokio::test]
async fn a_task_is_running_or_stopped_and_never_successful_by_silence() {
    let (client, _server) = answering(&[
        r#"{"data":{"status":"running","upid":"x"}}"#,
        r#"{"data":{"status":"stopped","exitstatus":"OK"}}"#,
        r#"{"data":{"status":"stopped","exitstatus":"WARNINGS: 3"}}"#,
        r#"{"data":{"status":"stopped"}}"#,
        r#"{"data":{}}"#,
        r#"{"data":null}"#,
    ])
    .await;
    let stopped = |exit| TaskStatus::Stopped { exit };
    let ask = || async { client.task_status(&upid()).await };
    assert_eq!(ask().await, Ok(TaskStatus::Running));
    assert_eq!(ask().await, Ok(stopped(ExitStatus::Ok)));
    assert_eq!(ask().await, Ok(stopped(ExitStatus::Warnings(3))));
    assert_eq!(ask().await, Ok(stopped(ExitStatus::Failed("no exit status".into()))));
    assert!(matches!(ask().await, Err(Error::Decode { .. })));
    assert!(matches!(ask().await, Err(Error::Decode { .. })));
}

#[tokio::test]
async fn task_lists_end_by_endtime_and_unreadable_rows_are_left_out() {
    let text = upid();
    let body = format!(
        r#"{{"data":[
          {{"upid":"{text}","status":"RUNNING"}},
          {{"upid":"{text}","endtime":"1700000000","status":"OK","saved":"1"}},
          {{"upid":"{text}","endtime":1700000000,"status":"command failed"}},
          {{"upid":"nonsense"}},{{}}]}}"#
    );
    let (client, server) = answering(&[&body]).await;
    let filter = TaskFilter {
        vmid: Some("201".parse().unwrap()),
        since_s: Some(1_700_000_000),
        ..TaskFilter::default()
    };
    let tasks = client.node_tasks(upid().node(), &filter).await.unwrap();
    assert_eq!(tasks.len(), 3);
    assert!(tasks[0].is_running() && tasks[0].exit.is_none());
    assert_eq!(tasks[1].exit, Some(ExitStatus::Ok));
    assert_eq!(tasks[1].ended_s, Some(1_700_000_000));
    assert_eq!(tasks[2].exit, Some(ExitStatus::Failed("command failed".into())));
    assert_eq!(
        server.seen()[0].target,
        "/api2/json/nodes/pve1/tasks?source=all&vmid=201&since=1700000000"
    );
}

#[tokio::test]
async fn a_log_tail_is_the_end_of_the_log() {
    let (client, server) = answering(&[
        r#"{"data":[{"n":1,"t":"a"},{"n":2,"t":"b"}],"total":9}"#,
        r#"{"data":[{"n":8,"t":"h"},{"n":9,"t":"i"}],"total":9}"#,
        r#"{"data":[{"n":1,"t":"no content"}],"total":1}"#,
    ])
    .await;
    let log = client.task_log_tail(&upid(), 2).await.unwrap();
    assert_eq!((log.lines, log.total), (vec!["h".to_owned(), "i".to_owned()], 9));
    assert!(server.seen()[1].target.ends_with("/log?start=7&limit=2"));
    assert!(client.task_log(&upid(), 0, 10).await.unwrap().lines.is_empty());
}

#[tokio::test]
async fn numbers_may_be_texts_and_null_may_be_a_list() {
    let (client, _server) = answering(&[
        r#"{"data":"103"}"#,
        r#"{"data":104}"#,
        r#"{"data":"x"}"#,
        r#"{"data":null}"#,
        r#"{"data":{"memory":"2048","cores":2,"name":"db","digest":"ab","agent":"1","onboot":1,
            "scsi0":"local-lvm:vm-1-disk-0,size=8G","scsihw":"virtio","net0":"virtio=AA"}}"#,
        r#"{"data":{"status":"running","uptime":"12","mem":5.0,"ha":{"managed":"1"},"vmid":"104"}}"#,
        r#"{"data":{"/":{"Sys.Audit":1},"/vms":{"VM.Audit":1,"VM.PowerMgmt":"0"},"/vms/7":{}}}"#,
    ])
    .await;
    assert_eq!(client.next_id().await.unwrap().get(), 103);
    assert_eq!(client.next_id().await.unwrap().get(), 104);
    assert!(client.next_id().await.is_err());
    assert!(client.nodes(Freshness::Fresh).await.unwrap().is_empty());
    let config = client.guest_config(&guest(), Freshness::Fresh).await.unwrap();
    assert_eq!((config.memory_mib, config.cores), (Some(2048), Some(2)));
    assert_eq!(config.digest.as_deref(), Some("ab"));
    assert!(config.onboot);
    let volumes: Vec<_> = config.volumes().map(|(key, _)| key).collect();
    assert_eq!(volumes, ["scsi0"]);
    let status = client.guest_status(&guest(), Freshness::Fresh).await.unwrap();
    assert!(status.is_running() && status.ha_managed);
    assert_eq!((status.uptime, status.mem), (Some(12), Some(5)));
    let may = client.permissions().await.unwrap();
    assert!(may.allows("/vms", "VM.PowerMgmt"));
    assert!(may.allows("/vms/100", "VM.Audit"));
    assert!(!may.allows("/vms/100", "VM.PowerMgmt"), "it does not propagate");
    assert!(!may.allows("/vms/7", "VM.Audit"), "the nearest path decides");
    assert!(may.allows("/nodes/pve1", "Sys.Audit"));
    assert!(!may.allows("/", "VM.Audit"));
}

#[test]
fn a_resource_row_of_every_kind() {
    let rows: Vec<Resource> = serde_json::from_value(json!([
        {"type":"lxc","vmid":"104","node":"pve1","name":"web-0","status":"running","tags":"a;b","template":0},
        {"type":"qemu","vmid":200,"node":"pve2","lock":"backup","template":"1"},
        {"type":"node","node":"pve1","status":"unknown"},
        {"type":"storage","storage":"local","shared":1,"plugintype":"dir","content":"iso,vztmpl"},
        {"type":"network","network-type":"zone","sdn":"localnetwork"},
        {"type":"lxc","vmid":7,"node":"../x","name":null,"cpu":{}}
    ]))
    .unwrap();
    assert_eq!(rows[0].guest_kind(), Some(GuestKind::Lxc));
    assert_eq!(rows[0].tags().collect::<Vec<_>>(), ["a", "b"]);
    assert!(rows[1].template);
    assert_eq!(rows[2].kind, ResourceKind::Node);
    assert!(rows[3].shared);
    assert_eq!(rows[4].kind, ResourceKind::Other);
    assert!(rows[5].node.is_none() && rows[5].vmid.is_none() && rows[5].name.is_none());
}

/// Any JSON, with the keys that our types know.
fn any_json() -> impl Strategy<Value = Value> {
    let key = prop::sample::select(vec![
        "type",
        "vmid",
        "node",
        "name",
        "status",
        "mem",
        "cpu",
        "tags",
        "template",
        "ha",
        "memory",
        "digest",
        "storage",
        "content",
        "total",
        "uptime",
        "exitstatus",
        "loadavg",
        "rootfs",
        "x",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[0-9.eE+-]{0,12}".prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..8).prop_map(|pairs| {
                Value::Object(pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
            }),
        ]
    })
}

fn decodes<T: DeserializeOwned>(text: &str, is_object: bool) {
    let decoded: Result<T, _> = serde_json::from_str(text);
    if is_object {
        assert!(decoded.is_ok(), "an object of anything is understood: {text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn no_answer_makes_a_decoder_fail_or_panic(value in any_json(), cut in 0..400_usize) {
        let text = value.to_string();
        let is_object = value.is_object();
        decodes::<Resource>(&text, is_object);
        decodes::<Node>(&text, is_object);
        decodes::<GuestStatus>(&text, is_object);
        decodes::<GuestConfig>(&text, is_object);
        decodes::<NodeStatus>(&text, is_object);
        decodes::<Storage>(&text, is_object);
        decodes::<Volume>(&text, is_object);
        decodes::<Version>(&text, is_object);
        decodes::<TaskStatus>(&text, false);
        decodes::<Permissions>(&text, false);
        let end = (0..=cut.min(text.len())).rev().find(|n| text.is_char_boundary(*n)).unwrap();
        decodes::<Vec<Resource>>(&text[..end], false);
        decodes::<GuestConfig>(&text[..end], false);
    }
}

#[tokio::test]
async fn fifty_thousand_guests_are_read() {
    let rows: Vec<String> = (100..50_100)
        .map(|n| {
            format!(
                r#"{{"id":"lxc/{n}","type":"lxc","vmid":{n},"node":"pve{}","name":"guest-{n}","status":
                "running","cpu":0.0123,"maxcpu":2,"mem":123456789,"maxmem":1073741824,"disk":0,
                "maxdisk":8589934592,"uptime":86400,"netin":1234567,"netout":7654321,"diskread":1,
                "diskwrite":2,"template":0,"tags":"gantry;web"}}"#,
                n % 9
            )
        })
        .collect();
    let body = format!(r#"{{"data":[{}]}}"#, rows.join(","));
    let ca = Ca::new();
    let server = Server::start(&ca, move |_| Reply::Json(body.clone())).await;
    let mut config = config(&ca, &[&server]);
    config.tuning.read_timeout = std::time::Duration::from_secs(60);
    let all = Client::new(config).unwrap().resources(Freshness::Fresh).await.unwrap();
    assert_eq!(all.len(), 50_000);
    assert_eq!(all[49_999].name.as_deref(), Some("guest-50099"));
    assert_eq!(server.count(), 1);
}
