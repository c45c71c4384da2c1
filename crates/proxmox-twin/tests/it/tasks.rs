//! Task lists, logs, cancelling, and troubles of tasks.

use proxmox_twin::{GuestSpec, Trouble, World};
use serde_json::{Value, json};

use crate::Desk;

fn world() -> World {
    World::empty().guest(GuestSpec::lxc(100, "a")).guest(GuestSpec::lxc(101, "b"))
}

#[tokio::test]
async fn lists_carry_the_result_in_status() {
    let desk = Desk::new(world()).await;
    let start = desk.post("/nodes/pve1/lxc/100/status/start", &[]).await;
    let upid = start.data().as_str().unwrap().to_owned();
    let active = desk.get("/nodes/pve1/tasks?source=active").await;
    assert_eq!(active.data()[0]["upid"], *upid);
    assert!(active.data()[0].get("endtime").is_none());
    assert_eq!(desk.exit(&start).await, "OK");
    let done = desk.get("/nodes/pve1/tasks?vmid=100&typefilter=vzstart").await;
    let row = &done.data()[0];
    assert_eq!(
        (row["status"].as_str(), row["id"].as_str(), row["type"].as_str()),
        (Some("OK"), Some("100"), Some("vzstart"))
    );
    assert_eq!(row["user"], "gantry@pve!bot");
    assert!(row["endtime"].is_u64());
    assert_eq!(done.body["total"], 1);
    assert_eq!(desk.get("/nodes/pve1/tasks?source=active").await.data(), &json!([]));
    assert_eq!(desk.get("/nodes/pve2/tasks?source=all").await.data(), &json!([]));
    let status = desk.get(&format!("/nodes/pve1/tasks/{upid}/status")).await;
    assert_eq!(
        (status.data()["user"].as_str(), status.data()["tokenid"].as_str()),
        (Some("gantry@pve"), Some("bot"))
    );
    let encoded = upid.replace(':', "%3A").replace('@', "%40").replace('!', "%21");
    assert_eq!(desk.get(&format!("/nodes/pve1/tasks/{encoded}/status")).await.status, 200);
    let all = desk.get("/cluster/tasks").await;
    assert_eq!(all.data()[0]["upid"], *upid);
    assert!(all.data()[0].get("saved").is_some());
}

#[tokio::test]
async fn upids_that_are_not() {
    let desk = Desk::new(world()).await;
    assert_eq!(
        desk.get("/nodes/pve1/tasks/nonsense/status").await.error("upid"),
        "unable to parse worker upid"
    );
    let unknown = "UPID:pve1:00001267:00000063:6AB13B80:vzstart:100:a@pve:";
    assert_eq!(
        desk.get(&format!("/nodes/pve1/tasks/{unknown}/status")).await.error("upid"),
        "no such task"
    );
}

#[tokio::test]
async fn logs_page_and_empty_ones_say_so() {
    let desk = Desk::new(world()).await;
    desk.twin.trouble(Trouble::TaskSlow { task: "vzstart".into(), seconds: 30.0 }).unwrap();
    let start = desk.post("/nodes/pve1/lxc/100/status/start", &[]).await;
    let upid = start.data().as_str().unwrap().to_owned();
    let log = desk.get(&format!("/nodes/pve1/tasks/{upid}/log")).await;
    assert_eq!(log.data(), &json!([{"n": 1, "t": "no content"}]));
    let made = desk
        .post(
            "/nodes/pve1/lxc",
            &[
                ("vmid", "105"),
                ("ostemplate", "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst"),
                ("rootfs", "local-lvm:4"),
            ],
        )
        .await;
    assert_eq!(desk.exit(&made).await, "OK");
    let path = format!("/nodes/pve1/tasks/{}/log", made.data().as_str().unwrap());
    let whole = desk.get(&path).await;
    let lines = whole.data().as_array().unwrap().clone();
    assert_eq!(whole.body["total"], lines.len());
    assert_eq!(lines.last().unwrap()["t"], "TASK OK");
    let page = desk.get(&format!("{path}?start=2&limit=3")).await;
    assert_eq!(page.data().as_array().unwrap(), &lines[2..5]);
    assert_eq!(page.data()[0]["n"], 3);
}

#[tokio::test]
async fn cancelling_interrupts_and_undoes() {
    let desk = Desk::new(world()).await;
    desk.twin.trouble(Trouble::TaskSlow { task: "*".into(), seconds: 60.0 }).unwrap();
    let made = desk
        .post(
            "/nodes/pve1/lxc",
            &[
                ("vmid", "105"),
                ("ostemplate", "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst"),
                ("rootfs", "local-lvm:4"),
            ],
        )
        .await;
    let upid = made.data().as_str().unwrap().to_owned();
    assert_eq!(desk.delete(&format!("/nodes/pve1/tasks/{upid}")).await.data(), &Value::Null);
    assert_eq!(desk.exit(&made).await, "interrupted by signal");
    assert!(desk.twin.guest(105).is_none());
    assert_eq!(
        desk.delete(&format!("/nodes/pve1/tasks/{upid}")).await.data(),
        &Value::Null,
        "finished: nothing happens"
    );
    assert!(desk.twin.changes().is_empty());
}

#[tokio::test]
async fn tasks_fail_and_warn_on_order() {
    let desk = Desk::new(world()).await;
    let text = "command 'zfs destroy' failed: exit code 1";
    desk.twin
        .trouble(Trouble::TaskFails {
            task: "vzdestroy".into(),
            exitstatus: text.into(),
            times: Some(1),
        })
        .unwrap();
    let gone = desk.delete("/nodes/pve1/lxc/100").await;
    assert_eq!(desk.exit(&gone).await, text);
    assert!(desk.twin.guest(100).is_some());
    assert_eq!(desk.twin.count("destroy", 100), 0);
    desk.twin
        .trouble(Trouble::TaskWarns { task: "vzstart".into(), warnings: 2, times: Some(1) })
        .unwrap();
    let start = desk.post("/nodes/pve1/lxc/100/status/start", &[]).await;
    assert_eq!(desk.exit(&start).await, "WARNINGS: 2");
    let log = desk.get(&format!("/nodes/pve1/tasks/{}/log", start.data().as_str().unwrap())).await;
    assert!(log.text.contains("TASK WARNINGS: 2"));
    assert_eq!(desk.twin.count("start", 100), 1);
    // Used up.
    let gone = desk.delete("/nodes/pve1/lxc/101").await;
    assert_eq!(desk.exit(&gone).await, "OK");
    let errors = desk.get("/nodes/pve1/tasks?errors=1").await;
    assert_eq!(errors.data().as_array().unwrap().len(), 1);
    let warned = desk.get("/nodes/pve1/tasks?statusfilter=warning").await;
    assert_eq!(warned.data()[0]["status"], "WARNINGS: 2");
}

#[tokio::test]
async fn other_peoples_tasks_need_a_privilege() {
    let desk = Desk::new(world()).await;
    let (id, _) = desk.twin.token();
    desk.twin.revoke(&id);
    desk.twin.role("Power", &["VM.PowerMgmt"]);
    desk.twin.grant(&id, "/vms", "Power");
    let start = desk.post("/nodes/pve1/lxc/100/status/start", &[]).await;
    assert_eq!(desk.exit(&start).await, "OK", "its own task is seen without Sys.Audit");
    assert_eq!(desk.get("/nodes/pve1/tasks").await.data().as_array().unwrap().len(), 1);
}
