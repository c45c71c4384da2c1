//! Two processes on one PostgreSQL database: one leads each set, and when it is killed the other takes over; nothing is
//! done twice. On SQLite a second process is refused at start (`process.rs`).

use std::time::Duration;

use gantry_core::set::{Phase, SetRef};
use gantry_engine::Engine;
use serde_json::json;

use crate::harness::{Bot, Database, run, until};

/// Pods of the set.
const PODS: [u32; 2] = [7500, 7501];

fn set() -> SetRef {
    SetRef { cluster: "lab".parse().unwrap(), name: "two".into() }
}

/// Generation of the newest lease: counts up when somebody else takes the lead.
async fn generation(engine: &Engine) -> i64 {
    engine.store().find_set(&set()).await.unwrap().unwrap().generation
}

async fn stands(bot: &Bot) {
    let engine = bot.engine();
    until("the set is as it shall be", async || {
        let now = engine.set_now(&set()).await.unwrap();
        let runs = |vmid| bot.proxmox.guest(vmid).is_some_and(|g| g.status == "running");
        PODS.into_iter().all(runs) && now.is_some_and(|n| n.decision.phase == Phase::Converged)
    })
    .await;
    bot.settle().await;
}

/// What was done to pods for gantry, in order.
fn did(bot: &Bot) -> Vec<String> {
    let all = bot.proxmox.changes();
    all.iter()
        .filter(|c| c.user != "control")
        .map(|c| format!("{} {}", c.what, c.vmid.unwrap_or(0)))
        .collect()
}

#[test]
fn one_of_two_processes_leads_and_the_other_takes_over() {
    let Some(database) = Database::postgres() else { return };
    run(database, |mut bot| async move {
        let image = format!("local:vztmpl/{}", proxmox_twin::DEBIAN_TEMPLATE);
        let question = bot
            .admin()
            .runs(&format!(
                "/set create name:two replicas:2 image:{image} vmids:7500-7509 nodes:pve1 storage:local-lvm"
            ))
            .await;
        bot.admin().confirms(&question, "").await;
        bot.until_says(question.message, "2 of 2 pods ready, revision 1: as it shall be").await;
        stands(&bot).await;
        let first = generation(&bot.engine()).await;
        bot.begin_other().await;
        assert_eq!(did(&bot), ["create 7500", "start 7500", "create 7501", "start 7501"]);

        // Both see it gone; one makes it again.
        bot.proxmox.forget();
        bot.meddles(&json!({ "action": "destroy", "vmid": 7500 }));
        until("it is made again", async || did(&bot).len() >= 2).await;
        stands(&bot).await;
        assert_eq!(did(&bot), ["create 7500", "start 7500"]);
        assert_eq!(generation(&bot.engine()).await, first, "the lead does not change hands");

        // A pod is lost and the process that leads dies at once, whether it had begun or not.
        bot.proxmox.forget();
        bot.meddles(&json!({ "action": "destroy", "vmid": 7501 }));
        bot.kill_first();
        bot.clock.advance(Duration::from_secs(61));
        until("the other one makes it again", async || did(&bot).len() >= 2).await;
        stands(&bot).await;
        assert_eq!(did(&bot), ["create 7501", "start 7501"]);
        assert_eq!(generation(&bot.engine()).await, first + 1, "it took over, once");
        let shown = bot.admin().runs("/set show set:two").await.text();
        assert!(shown.contains("2 of 2 ready"), "{shown}");
        bot.close().await;
    });
}
