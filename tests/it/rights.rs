//! What cannot be had back takes the name, whatever command leads there; and what belongs to others takes their
//! consent: volumes another team left, images on nodes one may not clear.

use discord_twin::Outcome;
use discord_twin::world::{ADMIN_ROLE, OPERATOR_ROLE};
use proxmox_twin::{GuestSpec, RemoteImage};
use serde_json::json;

use crate::bot_test;
use crate::harness::{Bot, Person, Reply, until};
use crate::images::read;

/// The pod's number and that of the container that keeps its volume.
const POD: u32 = 7400;
const KEEPER: u32 = 7409;

/// Asks for a set with a volume for each pod, in a pool.
async fn applies(bot: &Bot, who: &Person<'_>, pool: &str, more: &str) -> Reply {
    let more = if more.is_empty() { "replicas = 1" } else { more };
    let text = format!(
        r#"
name = "kept"
nodes = ["pve1"]
vmids = {{ from = {POD}, to = {KEEPER} }}
{more}

[[volumes]]
name = "data"
storage = "local-lvm"
size_gib = 1
path = "/data"

[template]
image = "local:vztmpl/{image}"
pool = "{pool}"
root = {{ storage = "local-lvm", size_gib = 1 }}
networks = [{{ bridge = "vmbr0" }}]
"#,
        image = proxmox_twin::DEBIAN_TEMPLATE,
    );
    let id = bot.discord.upload("kept.toml", text.as_bytes());
    who.runs(&format!("/set apply file:{id}")).await
}

/// A set of one that stands.
async fn stands(bot: &Bot, pool: &str) {
    let question = applies(bot, &bot.admin(), pool, "").await;
    bot.admin().confirms(&question, "").await;
    bot.until_says(question.message, "1 of 1 pods ready, revision 1: as it shall be").await;
    bot.settle().await;
}

fn can_be_confirmed(bot: &Bot, reply: &Reply) -> bool {
    bot.message(reply.message)["components"].to_string().contains(":confirm:")
}

/// What the volume of the set's pod holds; another number, other content.
fn data(bot: &Bot) -> Option<u64> {
    let all = bot.proxmox.volumes("pve1", "local-lvm");
    let name = format!("vm-{KEEPER}-disk-1");
    all.into_iter().find(|v| v.volid.ends_with(&name)).map(|v| v.data)
}

bot_test! {
    async fn volumes_another_team_left_are_not_taken_up(bot: &mut Bot) {
        bot.configured(&format!(
            r#"
[[policy.rules]]
name = "operators keep sets of lab"
roles = [{OPERATOR_ROLE}]
verbs = ["set.*"]
on = ["pool:lab"]
"#
        ))
        .await;
        stands(bot, "prod").await;
        let kept = data(bot);
        assert!(kept.is_some());
        let card = bot.confirmed("/set delete set:kept", "kept").await;
        bot.until_says(card.message, "was deleted").await;
        bot.settle().await;
        assert!(bot.proxmox.guest(POD).is_none() && bot.proxmox.guest(KEEPER).is_some());

        // Same name, same numbers, another team: what the earlier one left is not theirs.
        let refused = applies(bot, &bot.operator(), "lab", "").await;
        let text = read(&refused);
        assert!(text.contains("volumes that an earlier set of this name left would be taken up"), "{text}");
        assert!(!text.contains("kept-0-volumes") && !can_be_confirmed(bot, &refused), "{text}");
        assert!(bot.audit().await.iter().any(|row| row.starts_with("denied set.apply")));

        // A plan of somebody who may is not confirmed by somebody who may not.
        let question = applies(bot, &bot.admin(), "lab", "").await;
        let text = read(&question);
        let whose = format!("Take up the volumes that an earlier set of this name left: kept-0-volumes (CT {KEEPER} on pve1)");
        assert!(text.contains(&whose), "{text}");
        let pressed = bot.operator().does(&question, "confirm").await;
        assert!(read(&pressed).contains("would be taken up"), "{}", read(&pressed));
        assert!(bot.proxmox.guest(POD).is_none());
        bot.admin().confirms(&question, "").await;
        bot.until_says(question.message, "1 of 1 pods ready, revision 1: as it shall be").await;
        bot.settle().await;
        let pod = bot.proxmox.guest(POD).unwrap();
        assert!(pod.config["mp0"].contains(&format!("vm-{KEEPER}-disk-1")), "{:?}", pod.config);
        assert_eq!(data(bot), kept);
    }
}

/// Started again with other rules; the set is known again.
async fn anew(bot: &mut Bot, rules: &str) {
    bot.configured(rules).await;
    bot.looks().await;
    let known = async || read(&bot.admin().runs("/set list").await).contains("kept");
    until("the set is known again", known).await;
}

bot_test! {
    async fn what_may_not_be_done_to_a_pod_is_not_done_to_its_set(bot: &mut Bot) {
        let rules = |on: &str| {
            format!(
                "[[policy.rules]]\nname = \"not these\"\neffect = \"deny\"\nroles = [{ADMIN_ROLE}]\n\
                 verbs = [\"set.delete\", \"set.scale\", \"guest.delete\"]\non = [\"{on}\"]\n"
            )
        };
        stands(bot, "prod").await;
        // By what its pods are called; and by what one of them is now, which the set does not know of.
        bot.meddles(&json!({ "action": "set", "vmid": POD, "config": { "tags": "gantry;gantry-set.kept;critical" } }));
        for on in ["name:kept-*", "tag:critical"] {
            anew(bot, &rules(on)).await;
            for command in ["/set delete set:kept", "/set scale set:kept replicas:0"] {
                let refused = bot.admin().runs(command).await;
                assert!(read(&refused).contains("not these"), "{command} on {on}: {}", read(&refused));
                assert!(!can_be_confirmed(bot, &refused), "{command} on {on}");
            }
        }
        anew(bot, &rules("name:other-*")).await;
        let question = bot.admin().runs("/set delete set:kept").await;
        assert!(can_be_confirmed(bot, &question), "{}", read(&question));
    }
}

bot_test! {
    async fn volumes_that_would_be_lost_are_named_and_take_the_name(bot: &mut Bot) {
        stands(bot, "prod").await;
        let card = bot.confirmed("/set scale set:kept replicas:0", "").await;
        bot.until_says(card.message, "0 of 0 pods ready").await;
        bot.settle().await;
        assert!(data(bot).is_some(), "it stays as the set says");
        // From now on the set keeps no volumes of pods that are gone: the one that stayed would go as well.
        let more = "replicas = 0\non_scale_down = \"delete\"";
        let question = applies(bot, &bot.admin(), "prod", more).await;
        let told = read(&question);
        for words in ["Delete the volumes of kept-0.", "cannot be undone"] {
            assert!(told.contains(words), "{words} is not in:\n{told}");
        }
        let pressed = bot.admin().does(&question, "confirm").await;
        assert_eq!(pressed.answer.outcome, Outcome::Modal, "the name is asked for");
        let wrong = bot.admin().types(&pressed, "another").await;
        assert!(read(&wrong).contains("does not match"), "{}", read(&wrong));
        assert!(data(bot).is_some());
        bot.admin().confirms(&question, "kept").await;
        until("the volume is gone", async || bot.proxmox.guest(KEEPER).is_none()).await;
        bot.settle().await;
        assert_eq!(data(bot), None);
    }
}

bot_test! {
    async fn what_a_set_keeps_is_not_moved_away_under_its_pods(bot: &mut Bot) {
        stands(bot, "prod").await;
        for command in [
            "/image convert guest:kept-0-volumes disk:mp0 storage:nas delete_original:True".to_owned(),
            "/image convert guest:kept-0-volumes to:template".to_owned(),
            format!("/image convert guest:{POD} disk:mp0 storage:nas"),
        ] {
            let answer = bot.admin().runs(&command).await;
            assert!(read(&answer).contains("belongs to set kept"), "{command}: {}", read(&answer));
            assert!(!can_be_confirmed(bot, &answer), "{command}");
        }
    }
}

bot_test! {
    async fn what_no_guest_can_be_made_of_again_takes_the_name(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "golden").on("pve1")).await;
        for command in [
            "/image convert guest:golden storage:nas delete_original:True",
            "/image convert guest:golden to:template",
        ] {
            bot.proxmox.forget();
            let question = bot.admin().runs(command).await;
            let pressed = bot.admin().does(&question, "confirm").await;
            assert_eq!(pressed.answer.outcome, Outcome::Modal, "{command}: the name is asked for");
            let wrong = bot.admin().types(&pressed, "silver").await;
            assert!(read(&wrong).contains("does not match"), "{command}: {}", read(&wrong));
            assert_eq!(bot.changes(), Vec::<String>::new(), "{command}");
            bot.admin().confirms(&question, "golden").await;
            until("it is done", async || bot.changes().len() == 1).await;
            bot.settle().await;
            bot.looks().await;
        }
        // What can be had back takes a button.
        bot.has_guest(GuestSpec::lxc(5001, "silver").on("pve1")).await;
        let question = bot.admin().runs("/image convert guest:silver storage:nas").await;
        let pressed = bot.admin().does(&question, "confirm").await;
        assert_ne!(pressed.answer.outcome, Outcome::Modal);
        bot.settle().await;
    }
}

bot_test! {
    async fn images_are_cleared_only_from_nodes_one_may_clear(bot: &mut Bot) {
        bot.configured(&format!(
            r#"
[[policy.rules]]
name = "pve2 is kept as it is"
effect = "deny"
roles = [{ADMIN_ROLE}]
verbs = ["image.prune"]
on = ["node:pve2"]
"#
        ))
        .await;
        let pull = async |bot: &Bot, tag: &str, node: &str, storage: &str| {
            bot.proxmox.publish_image(RemoteImage::new("registry.demo/old/one", tag, 1 << 20));
            let command = format!("/image pull image:registry.demo/old/one:{tag} node:{node} storage:{storage}");
            let card = bot.confirmed(&command, "").await;
            bot.until_says(card.message, "is there").await;
            bot.settle().await;
        };
        pull(bot, "1", "pve1", "local").await;
        pull(bot, "2", "pve2", "local").await;
        bot.proxmox.forget();
        let all = bot.admin().runs("/image prune days:0").await;
        assert!(read(&all).contains("pve2 is kept as it is") && !can_be_confirmed(bot, &all), "{}", read(&all));
        let one = bot.admin().runs("/image prune days:0 node:pve1").await;
        assert!(read(&one).contains("one_1.tar") && !read(&one).contains("one_2.tar"), "{}", read(&one));
        bot.admin().confirms(&one, "unused images").await;
        bot.until_says(one.message, "deleted").await;
        bot.settle().await;
        // What lies on a shared storage is pve2's as well.
        pull(bot, "3", "pve1", "nas").await;
        bot.proxmox.forget();
        let shared = bot.admin().runs("/image prune days:0 node:pve1").await;
        assert!(read(&shared).contains("pve2 is kept as it is") && !can_be_confirmed(bot, &shared), "{}", read(&shared));
        assert_eq!(bot.changes(), Vec::<String>::new());
    }
}
