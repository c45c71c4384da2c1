//! Trouble as plain state: lost answers, lost requests, hangs, cut bodies, nodes that go and come back.

use std::time::Duration;

use proxmox_twin::{GuestSpec, Trouble, World};
use reqwest::header;
use serde_json::{Value, json};

use crate::{Desk, read};

fn world() -> World {
    World::empty()
        .guest(GuestSpec::lxc(100, "a"))
        .guest(GuestSpec::lxc(101, "b").on("pve2").running())
}

const DESTROY: &str = "DELETE /nodes/*/lxc/*";

async fn settled(desk: &Desk, vmid: u32) -> bool {
    for _ in 0..400 {
        if desk.twin.guest(vmid).is_none() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    false
}

#[tokio::test]
async fn a_lost_answer_has_acted_and_a_lost_request_has_not() {
    let desk = Desk::new(world()).await;
    desk.twin.trouble(Trouble::RequestLost { matching: DESTROY.into(), times: Some(1) }).unwrap();
    assert!(desk.try_call("DELETE", "/nodes/pve1/lxc/100", &[]).await.is_err());
    assert!(desk.twin.tasks().is_empty());
    desk.twin.trouble(Trouble::AnswerLost { matching: DESTROY.into(), times: Some(1) }).unwrap();
    assert!(desk.try_call("DELETE", "/nodes/pve1/lxc/100", &[]).await.is_err());
    assert_eq!(desk.twin.tasks().len(), 1);
    assert!(settled(&desk, 100).await);
    assert_eq!(desk.twin.count("destroy", 100), 1);
    let lost: Vec<u16> =
        desk.twin.requests().iter().filter(|r| r.method == "DELETE").map(|r| r.status).collect();
    assert_eq!(lost, [0, 0]);
    assert_eq!(desk.get("/version").await.status, 200, "times ran out");
}

#[tokio::test]
async fn hangs_hold_before_or_after_the_action() {
    let desk = Desk::new(world()).await;
    let hang = |anyway| Trouble::Hang {
        matching: "POST /nodes/*/lxc/*/status/start".into(),
        ms: None,
        times: Some(1),
        anyway,
    };
    let start = "/nodes/pve1/lxc/100/status/start";
    let id = desk.twin.trouble(hang(false)).unwrap();
    let (got, ()) = tokio::join!(desk.post(start, &[]), async {
        while desk.twin.requests().is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        assert!(desk.twin.tasks().is_empty(), "held before the action");
        assert!(desk.twin.clear_trouble(id));
    });
    assert_eq!(desk.exit(&got).await, "OK");
    let after = Trouble::HangAfter {
        matching: "POST /nodes/*/lxc/*/status/stop".into(),
        ms: Some(150),
        times: Some(1),
    };
    desk.twin.trouble(after).unwrap();
    let began = std::time::Instant::now();
    let stop = desk.post("/nodes/pve1/lxc/100/status/stop", &[]).await;
    assert!(began.elapsed() >= Duration::from_millis(150));
    assert_eq!(desk.exit(&stop).await, "OK");
    // A client that leaves takes its request along, unless the trouble says otherwise.
    for (anyway, expected) in [(false, 1), (true, 2)] {
        let id = desk.twin.trouble(hang(anyway)).unwrap();
        desk.twin.forget();
        let gone = tokio::time::timeout(Duration::from_millis(100), desk.post(start, &[])).await;
        assert!(gone.is_err());
        let starts = || desk.twin.tasks().iter().filter(|t| t.r#type == "vzstart").count();
        // Time for the server to notice that the client has gone; nothing else shows it.
        tokio::time::sleep(Duration::from_millis(100)).await;
        desk.twin.clear_trouble(id);
        for _ in 0..40 {
            if starts() > 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let starts = starts();
        assert_eq!(starts, expected, "anyway={anyway}");
    }
}

#[tokio::test]
async fn errors_and_half_bodies() {
    let desk = Desk::new(world()).await;
    desk.twin
        .trouble(Trouble::Error {
            matching: "GET /version".into(),
            status: 596,
            reason: "Broken pipe".into(),
            times: Some(1),
        })
        .unwrap();
    let got = desk.get("/version").await;
    assert_eq!((got.line().as_str(), got.text.as_str(), got.close), ("596 Broken pipe", "", true));
    desk.twin
        .trouble(Trouble::Error {
            matching: "* /version".into(),
            status: 500,
            reason: "got timeout".into(),
            times: Some(1),
        })
        .unwrap();
    let got = desk.get("/version").await;
    assert_eq!(
        (got.line().as_str(), got.body["message"].as_str()),
        ("500 got timeout", Some("got timeout\n"))
    );
    desk.twin.trouble(Trouble::Truncate { matching: "GET /nodes".into(), times: Some(1) }).unwrap();
    assert!(desk.try_call("GET", "/nodes", &[]).await.is_err(), "half a body");
    assert_eq!(desk.get("/nodes").await.status, 200);
    assert!(
        desk.twin
            .trouble(Trouble::Error {
                matching: "*".into(),
                status: 200,
                reason: String::new(),
                times: None
            })
            .is_err()
    );
}

#[tokio::test]
async fn a_node_goes_down_and_comes_back() {
    let desk = Desk::new(world()).await;
    let pve2 = desk.twin.endpoint("pve2").unwrap();
    let direct = async || {
        desk.client
            .get(format!("{pve2}/api2/json/version"))
            .header(header::AUTHORIZATION, &desk.auth)
            .send()
            .await
    };
    assert!(direct().await.is_ok());
    let id = desk.twin.trouble(Trouble::NodeDown { node: "pve2".into() }).unwrap();
    // The listener takes notice on its own; what was connected is cut.
    let mut refused = false;
    for _ in 0..200 {
        if direct().await.is_err_and(|e| e.is_connect()) {
            refused = true;
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(refused);
    let rows = desk.get("/cluster/resources").await;
    let row =
        |id: &str| rows.data().as_array().unwrap().iter().find(|r| r["id"] == id).unwrap().clone();
    assert_eq!(row("node/pve2")["status"], "offline");
    assert_eq!(row("lxc/101")["status"], "unknown");
    assert!(row("lxc/101").get("cpu").is_none());
    assert_eq!(row("storage/pve2/local")["status"], "unknown");
    assert_eq!(row("lxc/100")["status"], "stopped");
    let status = desk.get("/cluster/status").await;
    assert_eq!(status.data()[2]["online"], 0);
    assert!(desk.twin.clear_trouble(id));
    let mut back = false;
    for _ in 0..200 {
        if direct().await.is_ok() {
            back = true;
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(back, "on the same port");
}

#[tokio::test]
async fn a_silent_node_accepts_and_says_nothing() {
    let desk = Desk::new(world()).await;
    let pve2 = desk.twin.endpoint("pve2").unwrap();
    let ask = || {
        desk.client
            .get(format!("{pve2}/api2/json/version"))
            .header(header::AUTHORIZATION, &desk.auth)
            .send()
    };
    assert!(ask().await.is_ok());
    let id = desk.twin.trouble(Trouble::NodeSilent { node: "pve2".into() }).unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(200), ask()).await.is_err());
    let address = pve2.trim_start_matches("https://").to_owned();
    assert!(tokio::net::TcpStream::connect(address).await.is_ok());
    let waiting = ask();
    desk.twin.clear_trouble(id);
    assert!(waiting.await.is_ok());
}

#[tokio::test]
async fn storages_fill_and_locks_come_and_go() {
    let desk = Desk::new(world()).await;
    let used = async || {
        let got = desk.get("/nodes/pve1/storage/local-lvm/status").await;
        got.data()["used"].as_f64().unwrap() / got.data()["total"].as_f64().unwrap()
    };
    let before = used().await;
    let id = desk
        .twin
        .trouble(Trouble::FillStorage {
            node: "pve1".into(),
            storage: "local-lvm".into(),
            percent: 97.0,
        })
        .unwrap();
    assert!(used().await > 0.96);
    let form = [
        ("vmid", "105"),
        ("ostemplate", "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst"),
        ("rootfs", "local-lvm:4"),
    ];
    let made = desk.post("/nodes/pve1/lxc", &form).await;
    assert!(desk.exit(&made).await.contains("free space in thin pool"));
    desk.twin.clear_trouble(id);
    assert!((used().await - before).abs() < 0.05);
    let id = desk.twin.trouble(Trouble::Locked { vmid: 100, lock: "backup".into() }).unwrap();
    assert_eq!(desk.delete("/nodes/pve1/lxc/100").await.line(), "500 CT is locked (backup)");
    desk.twin.clear_trouble(id);
    assert_eq!(desk.twin.guest(100).unwrap().lock, None);
}

#[tokio::test]
async fn the_control_api_does_all_of_it() {
    let desk = Desk::new(world()).await;
    let control = desk.twin.control_url();
    let http = reqwest::Client::builder().build().unwrap();
    let post = async |path: &str, body: Value| {
        let request = http.post(format!("{control}{path}")).body(body.to_string());
        read(request.send().await.unwrap()).await.unwrap()
    };
    let get = async |path: &str| {
        let response = http.get(format!("{control}{path}")).send().await.unwrap();
        assert_eq!(response.headers()["access-control-allow-origin"], "*");
        read(response).await.unwrap()
    };
    let made =
        post("/control/trouble", json!({"kind": "answer_lost", "match": DESTROY, "times": 1}))
            .await;
    assert_eq!(made.body["id"], 1);
    assert!(desk.try_call("DELETE", "/nodes/pve1/lxc/100", &[]).await.is_err());
    assert!(settled(&desk, 100).await);
    let changes = get("/control/changes").await;
    assert_eq!(
        (
            changes.body[0]["what"].as_str(),
            changes.body[0]["vmid"].as_u64(),
            changes.body[0]["user"].as_str()
        ),
        (Some("destroy"), Some(100), Some("gantry@pve!bot"))
    );
    let state = get("/control/state").await;
    assert_eq!(
        (state.body["cluster"]["quorate"].as_bool(), state.body["nodes"].as_array().unwrap().len()),
        (Some(true), 3)
    );
    assert_eq!(state.body["tasks"][0]["exitstatus"], "OK");
    for kind in [
        json!({"kind": "node_down", "node": "pve3"}),
        json!({"kind": "no_quorum"}),
        json!({"kind": "task_slow", "task": "*", "seconds": 2}),
        json!({"kind": "hang", "match": "GET /version", "ms": 5, "times": 1}),
        json!({"kind": "hang_after", "match": "GET /version", "ms": 5, "times": 1}),
        json!({"kind": "error", "match": "GET /x", "status": 500, "reason": "r"}),
        json!({"kind": "fill_storage", "node": "pve1", "storage": "local-lvm", "percent": 97}),
        json!({"kind": "locked", "vmid": 101, "lock": "backup"}),
    ] {
        let got = post("/control/trouble", kind.clone()).await;
        assert!(got.body["id"].is_u64(), "{kind}: {}", got.text);
    }
    let state = get("/control/state").await;
    assert_eq!(
        (state.body["cluster"]["quorate"].as_bool(), state.body["nodes"][2]["status"].as_str()),
        (Some(false), Some("offline"))
    );
    assert_eq!(state.body["trouble"].as_array().unwrap().len(), 8);
    let cleared = http.delete(format!("{control}/control/trouble")).send().await.unwrap();
    assert_eq!(cleared.status(), 200);
    assert!(get("/control/trouble").await.body.as_array().unwrap().is_empty());
    assert_eq!(
        post("/control/guests", json!({"action": "rename", "vmid": 101, "name": "new"}))
            .await
            .status,
        200
    );
    assert_eq!(desk.twin.guest(101).unwrap().name, "new");
    for (path, body) in [
        ("/control/trouble", json!({"kind": "nope"})),
        ("/control/trouble", json!({"kind": "node_down", "node": "x"})),
        ("/control/guests", json!({"action": "fly", "vmid": 101})),
    ] {
        let bad = post(path, body).await;
        assert_eq!(bad.status, 400);
        assert!(bad.body["error"].as_str().unwrap().ends_with('.'), "{}", bad.text);
    }
    let requests = get("/control/requests").await;
    assert_eq!(
        (requests.body["dropped"].as_u64(), requests.body["requests"][0]["path"].as_str()),
        (Some(0), Some("/nodes/pve1/lxc/100"))
    );
}
