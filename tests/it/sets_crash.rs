//! Kill -9 anywhere while a set is kept up: its pod is made, and replaced, exactly once, and the set gets there.

use std::time::Duration;

use gantry_core::set::{Phase, SetRef};
use serde_json::json;

use crate::bot_test;
use crate::harness::{Bot, moments, until};
use crate::sets_lost::{Life, is_over, life, second_life};

/// How long it stays quiet after the last kill.
const QUIET: Duration = Duration::from_millis(1_500);
/// The pod's number.
const POD: u32 = 7300;

async fn a_set_of_one(bot: &Bot) {
    let image = format!("local:vztmpl/{}", proxmox_twin::DEBIAN_TEMPLATE);
    let command = format!(
        "/set create name:one replicas:1 image:{image} vmids:{POD}-7309 nodes:pve1 storage:local-lvm"
    );
    let question = bot.admin().runs(&command).await;
    bot.admin().confirms(&question, "").await;
    stands(bot).await;
    bot.settle().await;
}

/// Waits until the set is as it shall be, seen on a reading of its own.
async fn stands(bot: &Bot) {
    let engine = bot.engine();
    let set = SetRef { cluster: "lab".parse().unwrap(), name: "one".into() };
    let runs = || bot.proxmox.guest(POD).is_some_and(|g| g.status == "running");
    until("the set is as it shall be", async || {
        let now = engine.set_now(&set).await.unwrap();
        runs() && now.is_some_and(|n| n.decision.phase == Phase::Converged)
    })
    .await;
}

/// How often Proxmox really did these to the pod, for gantry.
fn did(bot: &Bot) -> [usize; 4] {
    ["create", "start", "shutdown", "destroy"].map(|what| {
        let all = bot.proxmox.changes();
        let ours = all.iter().filter(|c| c.user != "control" && c.vmid == Some(POD));
        ours.filter(|c| c.what == what).count()
    })
}

/// Kills at every point of both steps; `begin` starts it, `wanted` is what must have been done, once each.
async fn through_all_points(bot: &mut Bot, wanted: [usize; 4], begin: impl AsyncFn(&Bot)) {
    a_set_of_one(bot).await;
    let mut reached = 0;
    for (step, point) in moments(2) {
        bot.proxmox.forget();
        bot.guillotine.set(point, step);
        begin(bot).await;
        if bot.guillotine.falls_before(is_done(bot, wanted)).await {
            reached += 1;
            bot.restart().await;
        }
        bot.guillotine.lift();
        is_done(bot, wanted).await;
        assert_eq!(did(bot), wanted, "killed {point} of step {step}");
    }
    assert!(reached >= moments(1).count(), "only {reached} points were reached");
}

/// Waits until all of it was done and the set is as it shall be.
async fn is_done(bot: &Bot, wanted: [usize; 4]) {
    // Not before the pod was taken away is its being there a sign of anything.
    until("it was done", async || did(bot).iter().zip(wanted).all(|(d, w)| *d >= w)).await;
    stands(bot).await;
    bot.settle().await;
}

bot_test! {
    async fn a_lost_pod_is_made_again_once(bot: &mut Bot) {
        through_all_points(bot, [1, 1, 0, 0], async |bot| {
            bot.meddles(&json!({ "action": "destroy", "vmid": POD }));
            bot.looks().await;
        })
        .await;
    }
}

bot_test! {
    async fn a_pod_is_replaced_once(bot: &mut Bot) {
        through_all_points(bot, [1, 1, 1, 1], async |bot| {
            let question = bot.admin().runs("/set rollout start set:one").await;
            bot.admin().confirms(&question, "").await;
        })
        .await;
    }
}

/// Pause between two looks at what a message says.
const LOOK: Duration = Duration::from_millis(250);
/// Looks at one command's message: a minute and a half of this machine's time, kills included.
const ROUNDS_MAX: usize = 360;

/// A set's whole life, killed at `point` about every second time something comes to it.
async fn lives_killed(bot: &mut Bot, Life(deeds, pods): Life, point: &'static str, seed: u64) {
    let at = format!("killed {point}, seed {seed}");
    bot.proxmox.forget();
    bot.guillotine.set_again(point, seed);
    let mut kills = 0;
    for (n, (deed, words)) in deeds.into_iter().enumerate() {
        let card = deed.begins(bot).await;
        let mut rounds = 0;
        loop {
            rounds += 1;
            let text = crate::harness::text_of(&bot.message(card.message)).replace('\\', "");
            if text.contains(&words) {
                break;
            }
            assert!(rounds < ROUNDS_MAX, "{at}: deed {n} never came to “{words}”:\n{text}");
            if bot.guillotine.has_fallen(LOOK).await {
                kills += 1;
                bot.restart().await;
            }
        }
        // What still fell after that, and what follows its restart.
        while bot.guillotine.has_fallen(QUIET).await {
            bot.restart().await;
        }
        bot.settle().await;
    }
    bot.guillotine.lift();
    is_over(bot, pods, &at).await;
    assert!(kills > 3, "{at}: only {kills} times");
}

bot_test! {
    async fn a_sets_life_killed_around_every_call(bot: &mut Bot) {
        for (point, seed) in [("after intent", 1), ("after call", 2)] {
            lives_killed(bot, life(), point, seed).await;
        }
    }
}

bot_test! {
    async fn a_sets_life_killed_around_every_task(bot: &mut Bot) {
        for (point, seed) in [("after upid", 4), ("before verify", 5), ("after verify", 6)] {
            lives_killed(bot, life(), point, seed).await;
        }
    }
}

bot_test! {
    async fn a_sets_life_killed_around_every_step(bot: &mut Bot) {
        for (point, seed) in [("after look", 7), ("after end", 9)] {
            lives_killed(bot, life(), point, seed).await;
        }
    }
}

bot_test! {
    async fn undone_adopted_and_restored_while_it_is_killed_around_every_call(bot: &mut Bot) {
        for (point, seed) in [("after intent", 11), ("after call", 12)] {
            lives_killed(bot, second_life(), point, seed).await;
        }
    }
}

bot_test! {
    async fn undone_adopted_and_restored_while_it_is_killed_around_every_step(bot: &mut Bot) {
        for (point, seed) in [("after look", 13), ("before verify", 14), ("after end", 15)] {
            lives_killed(bot, second_life(), point, seed).await;
        }
    }
}
