//! Answers that get lost, requests that never arrive, calls that fail, at every step of a set's whole life: it gets
//! where it shall be, and Proxmox does each thing once.

use std::time::Duration;

use proxmox_twin::Trouble;
use serde_json::{Value, json};

use crate::bot_test;
use crate::harness::{Bot, Reply, until};

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

/// Something in the life of a set.
pub enum Deed {
    /// A person asks for it; the name is typed where that is asked.
    Asks(String, &'static str),
    /// Somebody gives its pod that much memory by hand, and this is chosen on the card that tells of it.
    Changes(u32, &'static str),
}

impl Deed {
    /// Does it; the message that tells of it.
    pub async fn begins(&self, bot: &Bot) -> Reply {
        match self {
            Self::Asks(command, name) => {
                let question = bot.admin().runs(command).await;
                // A rollout is paused at once.
                if !command.starts_with("/set rollout pause") {
                    bot.admin().confirms(&question, name).await;
                }
                question
            }
            Self::Changes(mib, choice) => {
                let memory = json!({ "memory": mib.to_string() });
                bot.meddles(&json!({ "action": "set", "vmid": POD, "config": memory }));
                let words = format!("{mib} MiB of memory instead of");
                let mut found = None;
                until(&format!("somebody says “{words}”"), async || {
                    bot.looks().await;
                    let told = |m: &Value| crate::harness::text_of(m).contains(&words);
                    let wait = Duration::from_millis(200);
                    found = bot.discord.until_message("#ops", "admin", wait, told).await;
                    found.is_some()
                })
                .await;
                // Any answer will do that stands for a message; this one is of that.
                let listed = bot.admin().runs("/set list").await;
                let message = found.unwrap()["id"].as_str().unwrap().parse().unwrap();
                let card = Reply { message, ..listed };
                bot.admin().does(&card, choice).await;
                card
            }
        }
    }
}

/// What comes to a set in its life, with what the message says at last; and how often its pod is made in it.
pub struct Life(pub Vec<(Deed, String)>, pub usize);

fn asks(command: &str, name: &'static str, says: &str) -> (Deed, String) {
    (Deed::Asks(command.to_owned(), name), says.to_owned())
}

/// A pod has more time to get ready than it takes to be killed as often as it may be on a machine that is busy.
fn create() -> String {
    let image = format!("local:vztmpl/{}", proxmox_twin::DEBIAN_TEMPLATE);
    format!(
        "/set create name:life replicas:1 image:{image} vmids:{POD}-{KEEPER} nodes:pve1 \
         storage:local-lvm volume:data:1:/data address:10.0.0.10/24 \
         service:life.lab.example deadline:3600"
    )
}

fn stands(n: u32, revision: u32) -> String {
    format!("{n} of {n} pods ready, revision {revision}: as it shall be")
}

/// Made, rolled out, scaled to nothing and back, deleted with its volume.
pub fn life() -> Life {
    Life(
        vec![
            asks(&create(), "", &stands(1, 1)),
            asks("/set rollout start set:life", "", &stands(1, 2)),
            asks("/set scale set:life replicas:0", "", &stands(0, 2)),
            asks("/set scale set:life replicas:1", "", &stands(1, 2)),
            asks("/set delete set:life volumes:true", "life", "was deleted"),
        ],
        3,
    )
}

/// Undone, paused and resumed, changed by hand and adopted, changed and restored, deleted without its volume, made again with it.
pub fn second_life() -> Life {
    Life(
        vec![
            asks(&create(), "", &stands(1, 1)),
            asks("/set rollout start set:life", "", &stands(1, 2)),
            asks("/set rollout undo set:life revision:1", "", &stands(1, 3)),
            asks("/set rollout pause set:life", "", "is paused"),
            asks("/set rollout resume set:life", "", &stands(1, 3)),
            (Deed::Changes(1024, "adopt"), "done".to_owned()),
            (Deed::Changes(2048, "ignore"), "done".to_owned()),
            (Deed::Changes(4096, "confirm"), stands(1, 3)),
            asks("/set delete set:life", "life", "was deleted"),
            asks(&create(), "", &stands(1, 1)),
            asks("/set delete set:life volumes:true", "life", "was deleted"),
        ],
        5,
    )
}

/// At the end of that nothing is left, and Proxmox did each thing as often as it was wanted.
pub async fn is_over(bot: &Bot, pods: usize, at: &str) {
    until("nothing is left", async || {
        [POD, KEEPER].into_iter().all(|vmid| bot.proxmox.guest(vmid).is_none())
    })
    .await;
    let pod = ["create", "start", "destroy"].map(|what| times(bot, &[what], POD));
    assert_eq!(pod, [pods; 3], "{at}: {:?}", bot.changes());
    // One that did not go when it was asked to is switched off the second time.
    assert_eq!(times(bot, &["shutdown", "stop"], POD), pods, "{at}: {:?}", bot.changes());
    // The volume outlived its pod each time.
    let keeper = ["create", "start", "destroy"].map(|what| times(bot, &[what], KEEPER));
    assert_eq!(keeper, [1, 0, 1], "{at}: {:?}", bot.changes());
    assert_eq!(bot.dns.records(), Vec::<String>::new(), "{at}: names are left");
}

/// What resolvers see of it; the claim is gantry's own.
fn names(bot: &Bot) -> Vec<String> {
    bot.dns.records().into_iter().filter(|r| !r.contains(" TXT ")).collect()
}

async fn lives(bot: &Bot, Life(deeds, pods): Life, at: &str) {
    bot.proxmox.forget();
    for (deed, words) in deeds {
        let card = deed.begins(bot).await;
        bot.until_says(card.message, &words).await;
        bot.settle().await;
        // A pod that is ready answers by its name and the set's, and backwards; another one does not.
        if words.contains("as it shall be") {
            let wanted = if words.starts_with('0') { 0 } else { 3 };
            assert_eq!(names(bot).len(), wanted, "{at}: {words}: {:?}", names(bot));
        }
    }
    is_over(bot, pods, at).await;
}

/// Both lives, each call going wrong once in the same way in each.
async fn once_each(bot: &Bot, at: &str, make: impl Fn(&str, &str) -> Option<Trouble>) {
    for life in [life(), second_life()] {
        for (call, task) in CALLS {
            if let Some(trouble) = make(call, task) {
                bot.trouble(trouble);
            }
        }
        lives(bot, life, at).await;
        bot.proxmox.clear_all_trouble();
    }
}

bot_test! {
    async fn a_sets_life_with_every_answer_lost(bot: &mut Bot) {
        for life in [life(), second_life()] {
            for (call, _) in CALLS {
                bot.trouble(Trouble::AnswerLost { matching: call.into(), times: None });
            }
            bot.dns.loses_answers(u32::MAX);
            lives(bot, life, "every answer is lost").await;
            bot.proxmox.clear_all_trouble();
        }
    }
}

bot_test! {
    async fn a_sets_life_with_answers_that_are_cut_short(bot: &mut Bot) {
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
