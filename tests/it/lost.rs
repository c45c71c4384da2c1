//! Answers that get lost, requests that never arrive, calls that fail: nothing is done twice, nobody is told
//! what is not so.

use std::time::Duration;

use gantry_core::operation::OpState;
use proxmox_twin::{GuestSpec, Trouble};

use crate::bot_test;
use crate::harness::{Bot, Reply};

/// What can happen to one call.
#[derive(Clone, Copy, Debug)]
pub enum Mishap {
    AnswerLost,
    RequestLost,
    Truncated,
    ServerError,
    Task,
}

const MISHAPS: &[Mishap] = &[
    Mishap::AnswerLost,
    Mishap::RequestLost,
    Mishap::Truncated,
    Mishap::ServerError,
    Mishap::Task,
];

/// Makes the next call that matches go wrong; tasks go wrong by their type.
pub fn trouble(mishap: Mishap, call: &str, task: &str) -> Trouble {
    let (matching, times) = (call.to_owned(), Some(1));
    match mishap {
        Mishap::AnswerLost => Trouble::AnswerLost { matching, times },
        Mishap::RequestLost => Trouble::RequestLost { matching, times },
        Mishap::Truncated => Trouble::Truncate { matching, times },
        Mishap::ServerError => {
            Trouble::Error { matching, status: 500, reason: "unable to fork worker".into(), times }
        }
        Mishap::Task => Trouble::TaskFails {
            task: task.to_owned(),
            exitstatus: "command 'false' failed: exit code 1".into(),
            times,
        },
    }
}

/// Every way in which a call without a task can go wrong, once each; one over SSH ends with `status` and `reason`.
pub fn mishaps(call: &str, (status, reason): (u32, &str)) -> [Trouble; 4] {
    let (matching, times) = (|| call.to_owned(), Some(1));
    let error = match call.starts_with("SSH ") {
        true => Trouble::ShellFails { matching: matching(), status, reason: reason.into(), times },
        false => trouble(Mishap::ServerError, call, ""),
    };
    [
        Trouble::AnswerLost { matching: matching(), times },
        Trouble::RequestLost { matching: matching(), times },
        Trouble::Truncate { matching: matching(), times },
        error,
    ]
}

/// One call that goes wrong in every way; `did` is what Proxmox does when it is carried out.
pub async fn goes_wrong(
    bot: &mut Bot,
    call: &str,
    task: &str,
    did: &str,
    start: impl AsyncFn(&Bot, usize) -> Reply,
) {
    goes_wrong_from(
        bot,
        (call, task, did),
        async |_, _| {},
        async |bot, round, ()| start(bot, round).await,
    )
    .await;
}

/// The same where something has to be there first: in `ready` nothing goes wrong, in `start` it does. A card without a
/// message is not looked at.
pub async fn goes_wrong_from<T>(
    bot: &mut Bot,
    (call, task, did): (&str, &str, &str),
    ready: impl AsyncFn(&Bot, usize) -> T,
    start: impl AsyncFn(&Bot, usize, T) -> Reply,
) {
    for (round, mishap) in MISHAPS.iter().enumerate() {
        if task.is_empty() && matches!(mishap, Mishap::Task) {
            continue;
        }
        let made = ready(bot, round).await;
        bot.proxmox.forget();
        bot.trouble(trouble(*mishap, call, task));
        let card = start(bot, round, made).await;
        let op = bot.settle().await.remove(0);
        let times = bot.proxmox.changes().iter().filter(|c| c.what == did).count();
        let outcome = op.outcome.clone().unwrap();
        let at = format!("{call}, {mishap:?}: {:?}, {outcome:?}", op.state);
        match mishap {
            Mishap::AnswerLost | Mishap::Truncated => {
                assert_eq!((times, op.state), (1, OpState::Succeeded), "{at}");
            }
            Mishap::RequestLost => assert_eq!((times, op.state), (0, OpState::Unknown), "{at}"),
            Mishap::ServerError => {
                assert_eq!(times, 0, "{at}");
                assert!(matches!(op.state, OpState::Unknown | OpState::Failed), "{at}");
                assert!(outcome.reason.unwrap().contains("unable to fork worker"), "{at}");
            }
            Mishap::Task => {
                assert_eq!((times, op.state), (0, OpState::Failed), "{at}");
                assert!(outcome.reason.unwrap().contains("exit code 1"), "{at}");
            }
        }
        let first: String = outcome.summary.chars().take(12).collect();
        if card.message != 0 {
            bot.until_says(card.message, &first).await;
        }
        bot.proxmox.clear_all_trouble();
    }
}

bot_test! {
    async fn a_delete_that_goes_wrong(bot: &mut Bot) {
        goes_wrong(bot, "DELETE /nodes/*/lxc/*", "vzdestroy", "destroy", async |bot, round| {
            let (vmid, name) = (5000 + round as u32, format!("lost-{round}"));
            bot.has_guest(GuestSpec::lxc(vmid, &name)).await;
            let question = bot.admin().runs(&format!("/guest delete guest:{name}")).await;
            bot.admin().confirms(&question, &name).await;
            question
        })
        .await;
    }
}

bot_test! {
    async fn a_stop_that_goes_wrong(bot: &mut Bot) {
        goes_wrong(bot, "POST /nodes/*/lxc/*/status/shutdown", "vzshutdown", "shutdown", async |bot, round| {
            let (vmid, name) = (5000 + round as u32, format!("lost-{round}"));
            bot.has_guest(GuestSpec::lxc(vmid, &name).running()).await;
            let question = bot.admin().runs(&format!("/guest stop guest:{name}")).await;
            bot.admin().confirms(&question, &name).await;
            question
        })
        .await;
    }
}

bot_test! {
    async fn a_create_that_goes_wrong(bot: &mut Bot) {
        goes_wrong(bot, "POST /nodes/*/lxc", "vzcreate", "create", async |bot, round| {
            let question = bot.asks_for_pod(&format!("lost-{round}")).await;
            bot.admin().confirms(&question, "").await;
            question
        })
        .await;
    }
}

bot_test! {
    async fn a_start_that_goes_wrong(bot: &mut Bot) {
        goes_wrong(bot, "POST /nodes/*/lxc/*/status/start", "vzstart", "start", async |bot, round| {
            let (vmid, name) = (5000 + round as u32, format!("lost-{round}"));
            bot.has_guest(GuestSpec::lxc(vmid, &name)).await;
            bot.admin().runs(&format!("/guest start guest:{name}")).await
        })
        .await;
    }
}

bot_test! {
    async fn answers_lost_at_every_step_of_create_and_delete(bot: &mut Bot) {
        for call in ["POST /nodes/*/lxc", "POST /nodes/*/lxc/*/status/*", "DELETE /nodes/*/lxc/*"] {
            bot.trouble(Trouble::AnswerLost { matching: call.into(), times: None });
        }
        let question = bot.asks_for_pod("unlucky").await;
        bot.admin().confirms(&question, "").await;
        bot.until_says(question.message, "was created").await;
        let op = bot.settle().await.remove(0);
        let vmid = op.vmid.unwrap();
        bot.looks().await;
        let question = bot.admin().runs("/pod delete pod:unlucky").await;
        bot.admin().confirms(&question, "unlucky").await;
        bot.until_says(question.message, "was deleted").await;
        let did: Vec<String> = ["create", "start", "shutdown", "destroy"].map(|d| format!("{d} {vmid}")).into();
        assert_eq!(bot.changes(), did);
    }
}

bot_test! {
    async fn warnings_are_neither_success_nor_failure(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "warned")).await;
        bot.trouble(Trouble::TaskWarns { task: "vzstart".into(), warnings: 2, times: Some(1) });
        let card = bot.admin().runs("/guest start guest:warned").await;
        let op = bot.settle().await.remove(0);
        assert_eq!(op.state, OpState::Warned);
        bot.until_says(card.message, "WARNINGS: 2").await;
    }
}

bot_test! {
    async fn two_pods_at_once_get_two_numbers(bot: &mut Bot) {
        let (one, two) = (bot.asks_for_pod("twin-a").await, bot.asks_for_pod("twin-b").await);
        let (admin, other) = (bot.admin(), bot.admin());
        tokio::join!(admin.confirms(&one, ""), other.confirms(&two, ""));
        let ops = bot.settle().await;
        let mut numbers: Vec<_> = ops.iter().map(|op| op.vmid).collect();
        numbers.dedup();
        assert_eq!(numbers.len(), 2, "{numbers:?}");
        assert!(ops.iter().all(|op| op.state == OpState::Succeeded), "{ops:?}");
    }
}

bot_test! {
    async fn what_was_too_slow_to_be_sent_was_not_sent(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "slow").running()).await;
        let question = bot.admin().runs("/guest stop guest:slow").await;
        // Recording it takes longer than a look is good for, twice.
        let clock = bot.clock.clone();
        bot.guillotine.meanwhile("before intent", 2, move || clock.advance(Duration::from_secs(6)));
        bot.admin().confirms(&question, "slow").await;
        let text = bot.until_says(question.message, "has shut down").await;
        let op = bot.settle().await.remove(0);
        assert_eq!((op.state, op.steps[0].attempt), (OpState::Succeeded, 1), "{:?}", op.steps);
        assert!(!text.contains("never arrived"), "{text}");
        assert_eq!(bot.proxmox.count("shutdown", 5000), 1);
        let rows = bot.engine().audit(&Default::default(), 0, 100).await.unwrap().rows;
        assert!(rows.iter().all(|r| !r.detail.contains("never arrived")), "{rows:?}");
    }
}
