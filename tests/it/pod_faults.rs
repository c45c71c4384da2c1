//! Everything that can go wrong with a pod, brought about and read on the card: what to do follows from what happened.

use gantry_core::operation::{OpState, StepKind};
use gantry_core::pod::{PodFault, PodStep};
use proxmox_twin::{GuestSpec, Trouble};
use serde_json::json;

use crate::bot_test;
use crate::harness::{Bot, Reply};
use crate::pods::{applies, file, plans};

/// Waits for the end, and for the card to say what to do about that fault.
async fn ends_with(bot: &Bot, card: &Reply, fault: PodFault) {
    let op = bot.settle().await.remove(0);
    let outcome = op.outcome.clone().unwrap();
    assert_eq!(op.state, OpState::Failed, "{fault:?}: {outcome:?}");
    assert_eq!(outcome.advice.as_deref(), Some(fault.next()), "{fault:?}: {outcome:?}");
    bot.until_says(card.message, &fault.next().chars().take(30).collect::<String>()).await;
    bot.proxmox.clear_all_trouble();
    bot.looks().await;
}

fn task_fails(bot: &Bot, task: &str, exitstatus: &str) {
    bot.trouble(Trouble::TaskFails {
        task: task.into(),
        exitstatus: exitstatus.into(),
        times: Some(1),
    });
}

async fn asks(bot: &Bot, command: &str, name: &str) -> Reply {
    let question = bot.admin().runs(command).await;
    bot.admin().confirms(&question, name).await;
    question
}

bot_test! {
    async fn what_proxmox_says_leads_to_what_to_do(bot: &mut Bot) {
        let vmid = applies(bot, &file("bad-0", "")).await.vmid.unwrap().get();
        bot.looks().await;
        task_fails(bot, "vzshutdown", "container did not stop");
        let card = asks(bot, "/pod stop pod:bad-0", "").await;
        ends_with(bot, &card, PodFault::Stop).await;
        task_fails(bot, "vzstop", "could not delete veth200i0: no such device");
        let card = asks(bot, "/pod kill pod:bad-0", "bad-0").await;
        ends_with(bot, &card, PodFault::NetworkCleanup).await;
        bot.meddles(&json!({ "action": "stop", "vmid": vmid }));
        bot.looks().await;
        task_fails(bot, "vzstart", "startup for container '200' failed");
        let card = bot.admin().runs("/pod start pod:bad-0").await;
        ends_with(bot, &card, PodFault::Start).await;
        task_fails(bot, "vzstart", "bridge 'vmbr0' does not exist");
        let card = bot.admin().runs("/pod start pod:bad-0").await;
        ends_with(bot, &card, PodFault::NetworkSetup).await;
        task_fails(bot, "resize", "lvextend: insufficient free space");
        let card = asks(bot, "/pod update pod:bad-0 disk:20", "").await;
        ends_with(bot, &card, PodFault::ResourceUpdate).await;
        task_fails(bot, "vzdestroy", "lvremove: device is busy");
        let card = asks(bot, "/pod delete pod:bad-0", "bad-0").await;
        ends_with(bot, &card, PodFault::Deletion).await;
        task_fails(bot, "vzcreate", "unable to create CT 201 - extracting archive failed");
        let plan = plans(bot, &file("bad-1", "")).await;
        bot.admin().confirms(&plan, "").await;
        ends_with(bot, &plan, PodFault::Creation).await;
    }
}

/// Stops the next operation before its first look, changes the world, and lets it go on.
async fn meanwhile(
    bot: &mut Bot,
    begin: impl AsyncFn(&Bot) -> Reply,
    change: impl Fn(&Bot),
) -> Reply {
    bot.guillotine.set("before look", 0);
    let card = begin(bot).await;
    assert!(bot.guillotine.has_fallen(crate::harness::PATIENCE).await);
    change(bot);
    bot.restart().await;
    card
}

bot_test! {
    async fn what_changed_meanwhile_leads_to_what_to_do(bot: &mut Bot) {
        let vmid = applies(bot, &file("bad-0", "")).await.vmid.unwrap().get();
        bot.looks().await;
        let starts = |bot: &Bot| bot.meddles(&json!({ "action": "start", "vmid": vmid }));
        let card = meanwhile(
            bot,
            async |bot| asks(bot, "/pod stop pod:bad-0", "").await,
            |bot| {
                bot.trouble(Trouble::Locked { vmid, lock: "backup".into() });
            },
        )
        .await;
        ends_with(bot, &card, PodFault::InvalidState).await;
        bot.meddles(&json!({ "action": "stop", "vmid": vmid }));
        bot.looks().await;
        let delete = async |bot: &Bot| asks(bot, "/pod delete pod:bad-0", "bad-0").await;
        let card = meanwhile(bot, delete, starts).await;
        ends_with(bot, &card, PodFault::StillRunning).await;
        let stop = async |bot: &Bot| asks(bot, "/pod stop pod:bad-0", "").await;
        let gone = |bot: &Bot| bot.meddles(&json!({ "action": "destroy", "vmid": vmid }));
        let card = meanwhile(bot, stop, gone).await;
        ends_with(bot, &card, PodFault::NotFound).await;
        let create = async |bot: &Bot| {
            let plan = plans(bot, &file("bad-2", "")).await;
            bot.admin().confirms(&plan, "").await;
            plan
        };
        let same = |bot: &Bot| bot.proxmox.has(GuestSpec::lxc(5002, "bad-2"));
        let card = meanwhile(bot, create, same).await;
        ends_with(bot, &card, PodFault::AlreadyExists).await;
    }
}

bot_test! {
    async fn a_list_that_cannot_be_read_says_so_and_shows_what_was_known(bot: &mut Bot) {
        applies(bot, &file("bad-0", "")).await;
        bot.looks().await;
        for call in ["GET /cluster/resources", "GET /cluster/status"] {
            bot.trouble(Trouble::Error { matching: call.into(), status: 500, reason: "no luck".into(), times: None });
        }
        bot.looks().await;
        let list = bot.admin().runs("/pod list").await.text().replace(['*', '\\'], "");
        assert!(list.contains(&PodFault::List.to_string()), "{list}");
        assert!(list.contains("bad-0") && list.contains("/cluster status"), "{list}");
        bot.proxmox.clear_all_trouble();
        // Whoever asks again at once gets the same answer for a second.
        crate::harness::until("the list is read again", async || {
            bot.looks().await;
            !bot.admin().runs("/pod list").await.text().contains(&PodFault::List.to_string())
        })
        .await;
    }
}

#[test]
fn every_step_of_a_pod_has_its_fault() {
    let update = StepKind::Pod(PodStep::Grow { disk: "rootfs".into(), size_gib: 9 });
    for (step, fault) in [
        (StepKind::CreatePod, PodFault::Creation),
        (StepKind::Start, PodFault::Start),
        (StepKind::Kill, PodFault::Stop),
        (StepKind::Delete, PodFault::Deletion),
        (update, PodFault::ResourceUpdate),
    ] {
        assert_eq!(PodFault::of(&step, "exit code 1"), Some(fault));
    }
}
