//! Answers that get lost, requests that never arrive, calls that fail, at every step of a set's whole life: it gets
//! where it shall be, and Proxmox does each thing once.

use proxmox_twin::Trouble;

use crate::bot_test;
use crate::harness::{Bot, until};

/// The pod's number and that of the container that keeps its volume.
const POD: u32 = 7600;
const KEEPER: u32 = 7609;
/// Every call that is made in the life of a set, with the type of its task.
const CALLS: [(&str, &str); 5] = [
    ("POST /nodes/*/lxc", "vzcreate"),
    ("POST /nodes/*/lxc/*/status/start", "vzstart"),
    ("POST /nodes/*/lxc/*/status/shutdown", "vzshutdown"),
    ("DELETE /nodes/*/lxc/*", "vzdestroy"),
    ("PUT /nodes/*/lxc/*/config", ""),
];

/// How often Proxmox really did this to a guest, for gantry.
fn times(bot: &Bot, what: &[&str], vmid: u32) -> usize {
    let all = bot.proxmox.changes();
    let ours = all.iter().filter(|c| c.user != "control" && c.vmid == Some(vmid));
    ours.filter(|c| what.contains(&c.what.as_str())).count()
}

/// What a person asks of a set in its life, the name typed where that is asked, and what the message says at last.
pub fn life() -> [(String, &'static str, String); 5] {
    let image = format!("local:vztmpl/{}", proxmox_twin::DEBIAN_TEMPLATE);
    let stands = |n: u32, revision: u32| {
        format!("{n} of {n} pods ready, revision {revision}: as it shall be")
    };
    let create = format!(
        "/set create name:life replicas:1 image:{image} vmids:{POD}-{KEEPER} nodes:pve1 \
         storage:local-lvm volume:data:1:/data"
    );
    [
        (create, "", stands(1, 1)),
        ("/set rollout start set:life".into(), "", stands(1, 2)),
        ("/set scale set:life replicas:0".into(), "", stands(0, 2)),
        ("/set scale set:life replicas:1".into(), "", stands(1, 2)),
        ("/set delete set:life volumes:true".into(), "life", "was deleted".into()),
    ]
}

/// At the end of that nothing is left, and Proxmox did each thing as often as it was wanted.
pub async fn is_over(bot: &Bot, at: &str) {
    until("nothing is left", async || {
        [POD, KEEPER].into_iter().all(|vmid| bot.proxmox.guest(vmid).is_none())
    })
    .await;
    let pod = ["create", "start", "destroy"].map(|what| times(bot, &[what], POD));
    assert_eq!(pod, [3, 3, 3], "{at}: {:?}", bot.changes());
    // One that did not go when it was asked to is switched off the second time.
    assert_eq!(times(bot, &["shutdown", "stop"], POD), 3, "{at}: {:?}", bot.changes());
    // The volume outlived its pod twice.
    let keeper = ["create", "start", "destroy"].map(|what| times(bot, &[what], KEEPER));
    assert_eq!(keeper, [1, 0, 1], "{at}: {:?}", bot.changes());
}

async fn lives(bot: &Bot, at: &str) {
    bot.proxmox.forget();
    for (command, name, words) in life() {
        let question = bot.admin().runs(&command).await;
        bot.admin().confirms(&question, name).await;
        bot.until_says(question.message, &words).await;
        bot.settle().await;
    }
    is_over(bot, at).await;
}

/// Each call goes wrong once in the same way.
async fn once_each(bot: &Bot, at: &str, make: impl Fn(&str, &str) -> Option<Trouble>) {
    for (call, task) in CALLS {
        if let Some(trouble) = make(call, task) {
            bot.trouble(trouble);
        }
    }
    lives(bot, at).await;
    bot.proxmox.clear_all_trouble();
}

bot_test! {
    async fn a_sets_life_with_every_answer_lost(bot: &mut Bot) {
        for (call, _) in CALLS {
            bot.trouble(Trouble::AnswerLost { matching: call.into(), times: None });
        }
        lives(bot, "every answer is lost").await;
        bot.proxmox.clear_all_trouble();
        once_each(bot, "cut short", |call, _| {
            Some(Trouble::Truncate { matching: call.into(), times: Some(1) })
        })
        .await;
    }
}

bot_test! {
    async fn a_sets_life_with_requests_that_never_arrive(bot: &mut Bot) {
        once_each(bot, "the request is lost", |call, _| {
            Some(Trouble::RequestLost { matching: call.into(), times: Some(1) })
        })
        .await;
    }
}

bot_test! {
    async fn a_sets_life_with_calls_that_are_refused(bot: &mut Bot) {
        once_each(bot, "an error is answered", |call, _| {
            let reason = "unable to fork worker".into();
            Some(Trouble::Error { matching: call.into(), status: 500, reason, times: Some(1) })
        })
        .await;
    }
}

bot_test! {
    async fn a_sets_life_with_tasks_that_fail(bot: &mut Bot) {
        once_each(bot, "a task fails", |_, task| {
            let exitstatus = "command 'false' failed: exit code 1".to_owned();
            let task = task.to_owned();
            (!task.is_empty()).then_some(Trouble::TaskFails { task, exitstatus, times: Some(1) })
        })
        .await;
    }
}
