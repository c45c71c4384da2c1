//! What senders really send, and what somebody with a secret could send on purpose.

use gantry_core::alert::{HeardState, OWN_KEY, Severity};
use secrecy::Secret;

use super::*;
use crate::Hook;

/// As Alertmanager 0.25 sent it.
const FIRING: &str = r#"{"receiver":"gantry","status":"firing","alerts":[{"status":"firing","labels":{"alertname":"ProxmoxNodeDown","cluster":"lab","instance":"127.0.0.1:29555","job":"gantry","node":"pve1","severity":"critical"},"annotations":{"description":"no answer","runbook_url":"https://127.0.0.1/rb","summary":"Node pve1 is down"},"startsAt":"2026-11-21T01:29:58.543Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"http://vm:29090/graph?g0.expr=gantry_node_up+%3D%3D+0&g0.tab=1","fingerprint":"cd01e06931353bba"}],"groupLabels":{"alertname":"ProxmoxNodeDown","cluster":"lab"},"commonLabels":{},"commonAnnotations":{},"externalURL":"http://vm:29093","version":"4","groupKey":"{}:{alertname=\"ProxmoxNodeDown\", cluster=\"lab\"}","truncatedAlerts":0}"#;

fn hooked(kind: HookKind) -> Hooked {
    let clusters: Vec<ClusterId> = ["lab", "prod"].iter().map(|c| c.parse().unwrap()).collect();
    let hook = Hook {
        name: "prom".into(),
        kind,
        cluster: "prod".parse().unwrap(),
        token: Secret::new("a-secret-of-some-length".into()),
        url: None,
        url_token: None,
    };
    Hooked::new(&hook, &clusters)
}

fn read(kind: HookKind, body: &str) -> Result<Vec<Heard>, String> {
    hooked(kind).read(body.as_bytes(), 1_000).map(|read| read.heard)
}

#[test]
fn an_alert_fires_and_resolves_as_one_and_the_same() {
    let resolved = FIRING
        .replace("\"status\":\"firing\"", "\"status\":\"resolved\"")
        .replace("0001-01-01T00:00:00Z", "2026-11-21T01:30:00.543Z");
    let fired = read(HookKind::Alertmanager, FIRING).unwrap().remove(0);
    let over = read(HookKind::Alertmanager, &resolved).unwrap().remove(0);
    assert_eq!((fired.state, over.state), (HeardState::Firing, HeardState::Resolved));
    assert_eq!((&fired.key, &fired.told), (&over.key, &over.told));
    assert_eq!(fired.key, "cd01e06931353bba");
    assert_eq!(fired.told.title, "ProxmoxNodeDown");
    assert_eq!(fired.told.severity, Severity::Critical);
    assert_eq!(fired.told.runbook.as_deref(), Some("https://127.0.0.1/rb"));
    assert_eq!(fired.detail, "Node pve1 is down · no answer");
    assert_eq!(fired.name, "pve1 · 127.0.0.1:29555");
    assert_eq!(fired.cluster.as_str(), "lab", "its label says so");
    assert_eq!(fired.node.as_ref().map(|n| n.as_str()), Some("pve1"));
    assert_eq!(fired.at_ms, 1_795_224_598_543);
    assert_ne!(fired.identity(), over.identity());
    assert_eq!(fired.identity(), read(HookKind::Alertmanager, FIRING).unwrap()[0].identity());
}

#[test]
fn an_alert_is_placed_by_whatever_label_says_where() {
    let with = |labels: &str| {
        let body = format!(
            r#"{{"version":"4","alerts":[{{"status":"firing","labels":{{"alertname":"X",{labels}}}}}]}}"#
        );
        let heard = read(HookKind::Alertmanager, &body).unwrap().remove(0);
        (heard.node.map(|n| n.to_string()), heard.vmid.map(|v| v.get()), heard.cluster.to_string())
    };
    assert_eq!(with(r#""id":"lxc/201""#), (None, Some(201), "prod".into()));
    assert_eq!(with(r#""id":"node/pve2""#), (Some("pve2".into()), None, "prod".into()));
    assert_eq!(with(r#""vmid":"305","cluster":"nowhere""#), (None, Some(305), "prod".into()));
    assert_eq!(with(r#""instance":"pve3.lan:9100""#), (Some("pve3".into()), None, "prod".into()));
    assert_eq!(with(r#""instance":"10.0.0.1:9100""#).0, None, "an address is no node");
    assert_eq!(with(r#""node":"../../etc""#), (None, None, "prod".into()));
}

#[test]
fn an_alert_without_a_fingerprint_has_a_key_that_its_sender_does_not_know() {
    let read = |text: &str| read(HookKind::Alertmanager, text).unwrap().remove(0).key;
    let (with, without) = (read(FIRING), read(&FIRING.replace("cd01e06931353bba", "")));
    assert!(!with.starts_with(OWN_KEY), "{with}");
    assert!(without.starts_with(OWN_KEY), "{without}");
    assert_ne!(without, read(&FIRING.replace("cd01e06931353bba", "").replace("pve1", "pve2")));
}

#[test]
fn proxmox_says_what_happened() {
    let body = r#"{"title":"vzdump backup status (pve1): backup failed","message":"Details\n=======\nVMID 100 failed\n\nlog","severity":"error","timestamp":1700000000,"fields":{"type":"vzdump","hostname":"pve1","job-id":"backup-1"}}"#;
    let heard = read(HookKind::Proxmox, body).unwrap().remove(0);
    assert_eq!(heard.state, HeardState::Event);
    assert_eq!((heard.at_ms, heard.task.as_deref()), (1_700_000_000_000, Some("vzdump")));
    assert_eq!(heard.told.severity, Severity::Error);
    assert_eq!(heard.cluster.as_str(), "prod");
    assert!(heard.detail.contains("VMID 100 failed"), "{}", heard.detail);
    let again = read(HookKind::Proxmox, body).unwrap().remove(0);
    assert_eq!(heard.identity(), again.identity(), "the same one sent twice is one");
    let later = read(HookKind::Proxmox, &body.replace("1700000000", "\"1700000060\"")).unwrap();
    assert_ne!(heard.identity(), later[0].identity());
    let test = r#"{"title":"Test notification","message":"m","severity":"info","timestamp":1,"fields":{}}"#;
    assert_eq!(read(HookKind::Proxmox, test).unwrap()[0].name, "prod");
    let at = |now_ms| hooked(HookKind::Proxmox).read(test.as_bytes(), now_ms).unwrap().heard;
    assert_ne!(at(1)[0].identity(), at(2)[0].identity(), "each test that arrives is one");
}

#[test]
fn any_program_says_it_in_one_object_or_a_list() {
    let one = r#"{"title":"UPS on battery","id":"ups-1","state":"firing","severity":"critical","text":"12 min left","node":"pve1"}"#;
    let heard = read(HookKind::Generic, one).unwrap().remove(0);
    assert_eq!((heard.key.as_str(), heard.name.as_str()), ("ups-1", "pve1"));
    assert_eq!(heard.told.severity, Severity::Critical);
    let list = format!("[{one},{{\"title\":\"Deployed\",\"at\":1700000000}}]");
    let heard = read(HookKind::Generic, &list).unwrap();
    assert_eq!(heard[1].state, HeardState::Event);
    assert_eq!(heard[1].at_ms, 1_700_000_000_000);
    let why = |body: &str| read(HookKind::Generic, body).unwrap_err();
    assert!(why(r#"{"title":"x","state":"firing"}"#).contains("need an id"));
    assert!(why(r#"{"title":"x","state":"maybe"}"#).contains("write firing"));
    assert!(why(r#"{"title":" "}"#).contains("title is empty"));
}

#[test]
fn what_cannot_be_meant_is_refused_and_never_panics() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let all = [
        "",
        "null",
        "{}",
        "[]x",
        "\u{0}",
        deep.as_str(),
        r#"{"version":"3","alerts":[]}"#,
        r#"{"version":"4","alerts":{"a":1}}"#,
        r#"{"version":"4","alerts":[{"status":1,"labels":[]}]}"#,
        r#"{"title":5}"#,
    ];
    for kind in [HookKind::Alertmanager, HookKind::Proxmox, HookKind::Generic] {
        for body in all {
            assert!(read(kind, body).is_err(), "{kind:?} took {:.60}", body);
        }
        for cut in 0..FIRING.len() {
            let _ = hooked(kind).read(FIRING.get(..cut).unwrap_or_default().as_bytes(), 0);
        }
        assert!(hooked(kind).read(&[0xff, 0xfe, 0x80], 0).is_err());
    }
    let huge = format!(
        r#"{{"title":"{}","text":"{}@everyone\u202e"}}"#,
        "x".repeat(9000),
        "y\\n".repeat(9000)
    );
    let heard = read(HookKind::Generic, &huge).unwrap().remove(0).limited();
    assert!(heard.told.title.chars().count() <= 80 && heard.detail.chars().count() <= 400);
    assert!(!heard.detail.contains('\n'));
}

#[test]
fn of_very_many_the_first_are_taken_and_of_some_those_that_can_be_read() {
    let many: Vec<String> = (0..6000).map(|n| format!("{{\"title\":\"t{n}\"}}")).collect();
    let body = format!("[{}]", many.join(","));
    let read = hooked(HookKind::Generic).read(body.as_bytes(), 1_000).unwrap();
    assert_eq!((read.heard.len(), read.left_out), (5000, 1000));
    let body = r#"[{"title":"a"},{"title":5},{"nothing":1},{"title":"b"}]"#;
    let read = hooked(HookKind::Generic).read(body.as_bytes(), 1_000).unwrap();
    assert_eq!((read.heard.len(), read.left_out), (2, 2));
}

#[test]
fn the_commands_for_proxmox_carry_no_secret_and_the_right_path() {
    let text = proxmox_commands("lab", "pve", "https://gantry.example.org/");
    assert!(text.contains("https://gantry.example.org/hooks/proxmox/pve'"), "{text}");
    assert!(text.contains("$(printf %s \"$SECRET\" | base64 -w0)"));
    // Proxmox takes no target and matcher of one name.
    assert!(text.contains("webhook --name gantry-pve "), "{text}");
    assert!(text.contains("matchers --name match-gantry-pve --target gantry-pve "), "{text}");
}
