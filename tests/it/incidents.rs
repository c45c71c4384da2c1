//! Threads of incidents: their course and people's notes, each once; the file at the end; posts in a forum; and the same
//! whatever is lost or killed at which call.

use discord_twin::{Outcome, Trouble as Weather, world as ids};
use gantry_core::alert::Incident;
use gantry_core::id::GuildId;
use proxmox_twin::Trouble;
use serde_json::json;

use crate::alerts::{alerts, config, id_of, told};
use crate::bot_test;
use crate::harness::{Bot, text_of, until};

/// What stands in a channel or thread, oldest first, as people read it.
fn says(bot: &Bot, channel: u64) -> Vec<String> {
    let all = bot.discord.messages(channel, "operator").unwrap_or_default();
    all.iter().map(|m| text_of(m).replace('\\', "")).collect()
}

/// Waits until a thread says `text`; everything in it.
async fn thread_says(bot: &Bot, thread: u64, text: &str) -> Vec<String> {
    let what = format!("the thread says “{text}”");
    until(&what, async || says(bot, thread).iter().any(|m| m.contains(text))).await;
    says(bot, thread)
}

fn fill() -> Trouble {
    Trouble::FillStorage { node: "pve1".into(), storage: "local-lvm".into(), percent: 90.0 }
}

bot_test! {
    async fn an_incident_has_a_thread_with_its_course_and_notes_and_leaves_a_file(bot: &mut Bot) {
        bot.configured(&config("")).await;
        let full = bot.trouble(fill());
        let message = told(bot, "Storage fills up: local-lvm on pve1").await;
        let course = thread_says(bot, message, "began: local-lvm on pve1").await;
        assert_eq!(course.len(), 1, "{course:?}");
        let threads = bot.discord.threads(ids::ALERTS_CHANNEL);
        let named = threads.iter().find(|(id, _, _)| *id == message).map(|(_, name, _)| name.as_str());
        assert_eq!(named, Some("Storage fills up: local-lvm on pve1"));

        // A note, by the button and its form; a viewer may not.
        let button = bot.custom_id(message, "note");
        let viewer = bot.discord.press(message, "viewer", &button).await.unwrap();
        assert_ne!(viewer.outcome, Outcome::Modal, "{viewer:?}");
        let form = bot.discord.press(message, "operator", &button).await.unwrap();
        assert_eq!(form.outcome, Outcome::Modal, "{form:?}");
        let text = "a disk is *on its way*\n@everyone";
        bot.discord.submit(form.interaction_id, "operator", &json!({ "text": text })).await.unwrap();
        let thread = thread_says(bot, message, "a disk is *on its way*").await;
        assert_eq!(thread.iter().filter(|m| m.contains("on its way")).count(), 1, "{thread:?}");
        let card = bot.until_says(message, "a disk is").await;
        assert!(card.contains("Notes"), "{card}");

        let ack = bot.custom_id(message, "ack");
        bot.discord.press(message, "operator", &ack).await.unwrap();
        thread_says(bot, message, "acknowledged by").await;
        bot.proxmox.clear_trouble(full);
        bot.until_says(message, "Over").await;
        let thread = thread_says(bot, message, "is good again").await;
        assert_eq!(thread.iter().filter(|m| m.contains("began")).count(), 1, "told once: {thread:?}");

        // Over: the file, for whoever presses.
        let button = bot.custom_id(message, "post-mortem");
        let file = bot.discord.press(message, "viewer", &button).await.unwrap();
        assert_eq!(file.error, None);
        let found = |m: &serde_json::Value| {
            let files = m["attachments"].as_array().into_iter().flatten();
            files.into_iter().any(|f| f["filename"].as_str().is_some_and(|n| n.ends_with(".md")))
        };
        until("the file is there", async || {
            let seen = bot.discord.messages("#alerts", "viewer").unwrap_or_default();
            seen.iter().any(found)
        })
        .await;
        let audit = bot.audit().await;
        assert_eq!(audit.iter().filter(|r| r.starts_with("confirmed alert.note")).count(), 1, "{audit:?}");
        assert!(audit.iter().any(|r| r.starts_with("denied alert.note")), "{audit:?}");
    }
}

bot_test! {
    async fn whatever_call_is_lost_or_killed_an_incident_is_told_once(bot: &mut Bot) {
        bot.configured(&config("")).await;
        for (node, route, call) in [
            ("pve1", "create message", "POST /channels/{channel_id}/messages"),
            (
                "pve2",
                "create thread from message",
                "POST /channels/{channel_id}/messages/{message_id}/threads",
            ),
            ("pve4", "edit message", "PATCH /channels/{channel_id}/messages/{message_id}"),
        ] {
            let before: Vec<u64> = alerts(bot).iter().map(id_of).collect();
            let place = format!("Storage fills up: local on {node}");
            let fill = Trouble::FillStorage { node: node.into(), storage: "local".into(), percent: 90.0 };
            // Carried out, and the answer does not arrive; the process is killed when it was carried out.
            let weather = || Weather::CutAfter { route: route.into(), times: 2 };
            let full = if route == "edit message" {
                let full = bot.trouble(fill);
                let message = told(bot, &place).await;
                thread_says(bot, message, "began").await;
                bot.discord.clear_log();
                bot.discord.trouble(weather());
                let ack = bot.custom_id(message, "ack");
                bot.discord.press(message, "operator", &ack).await.unwrap();
                full
            } else {
                bot.discord.clear_log();
                bot.discord.trouble(weather());
                bot.trouble(fill)
            };
            let what = format!("{route} was carried out");
            until(&what, async || bot.discord.log().iter().any(|e| e.route == call)).await;
            bot.restart().await;
            bot.discord.end_troubles();
            let message = told(bot, &place).await;
            thread_says(bot, message, "began").await;
            bot.proxmox.clear_trouble(full);
            bot.until_says(message, "Over").await;
            let thread = thread_says(bot, message, "is good again").await;
            for what in ["began", "is good again"] {
                let told =
                    thread.iter().flat_map(|m| m.lines()).filter(|l| l.contains(what)).count();
                assert_eq!(told, 1, "{route}: {thread:?}");
            }
            let cards: Vec<u64> = alerts(bot)
                .iter()
                .filter(|m| !before.contains(&id_of(m)) && text_of(m).contains("Timeline"))
                .filter(|m| text_of(m).contains("Storage fills up"))
                .map(id_of)
                .collect();
            assert_eq!(cards, [message], "{route}: one message");
            // The next one is an incident of its own.
            bot.clock.advance(std::time::Duration::from_secs(400));
            bot.looks().await;
        }
    }
}

bot_test! {
    async fn without_the_permission_there_is_no_thread_and_the_message_goes_on(bot: &mut Bot) {
        bot.discord.trouble(Weather::Error {
            route: "create thread from message".into(),
            status: 403,
            times: 50,
            body: Some(json!({"message": "Missing Permissions", "code": 50013})),
        });
        bot.configured(&config("")).await;
        let full = bot.trouble(fill());
        let message = told(bot, "Storage fills up: local-lvm on pve1").await;
        bot.proxmox.clear_trouble(full);
        bot.until_says(message, "Over").await;
        let tries = bot.discord.log().iter().filter(|e| e.route.ends_with("/threads") && e.path.contains(&message.to_string())).count();
        assert_eq!(tries, 1, "asked once, not again and again");
    }
}

bot_test! {
    async fn in_a_forum_an_incident_is_a_post_with_tags(bot: &mut Bot) {
        bot.discord.becomes_forum(ids::ALERTS_CHANNEL, &["Warning", "critical", "open", "over", "lab"]);
        bot.configured(&config("")).await;
        let full = bot.trouble(fill());
        let place = || {
            let posts = bot.discord.threads(ids::ALERTS_CHANNEL);
            posts.into_iter().find(|(_, name, _)| name.contains("Storage fills up"))
        };
        until("there is a post", async || place().is_some()).await;
        let (post, name, tags) = place().unwrap();
        assert_eq!(name, "Storage fills up: local-lvm on pve1");
        assert_eq!(tags, ["Warning", "open", "lab"]);
        thread_says(bot, post, "began").await;
        bot.until_says(post, "Severity").await;
        // Pressed inside the post, as anywhere.
        let ack = bot.custom_id(post, "ack");
        let pressed = bot.discord.press(post, "operator", &ack).await.unwrap();
        assert_eq!(pressed.error, None);
        bot.proxmox.clear_trouble(full);
        bot.until_says(post, "Over").await;
        until("its tags say so", async || {
            place().is_some_and(|(_, _, tags)| tags == ["Warning", "over", "lab"])
        })
        .await;
        let posts = bot.discord.threads(ids::ALERTS_CHANNEL);
        assert_eq!(posts.iter().filter(|(_, n, _)| n.contains("Storage")).count(), 1);
    }
}

bot_test! {
    async fn a_forum_that_wants_tags_and_has_none_that_fits_is_told_all_the_same(bot: &mut Bot) {
        bot.discord.becomes_forum(ids::ALERTS_CHANNEL, &["Talk", "News"]);
        bot.discord.requires_tags(ids::ALERTS_CHANNEL);
        bot.configured(&config("")).await;
        let full = bot.trouble(fill());
        let posts = || {
            let mut posts = bot.discord.threads(ids::ALERTS_CHANNEL);
            posts.retain(|(_, name, _)| name.contains("Storage fills up"));
            posts
        };
        until("there is a post", async || !posts().is_empty()).await;
        let (post, _, tags) = posts().remove(0);
        assert_eq!(tags, ["Talk"]);
        thread_says(bot, post, "began").await;
        bot.proxmox.clear_trouble(full);
        bot.until_says(post, "Over").await;
        thread_says(bot, post, "over").await;
        assert_eq!(posts().len(), 1);
        let refused = bot.discord.log().iter().filter(|e| e.answer["code"] == 40_067).count();
        assert_eq!(refused, 0);
    }
}

bot_test! {
    async fn a_post_that_was_archived_is_opened_again_to_stay_true(bot: &mut Bot) {
        bot.discord.becomes_forum(ids::ALERTS_CHANNEL, &["open", "over"]);
        bot.configured(&config("")).await;
        let full = bot.trouble(fill());
        let post = || {
            let posts = bot.discord.threads(ids::ALERTS_CHANNEL);
            posts.into_iter().find(|(_, name, _)| name.contains("Storage fills up")).map(|p| p.0)
        };
        until("there is a post", async || post().is_some()).await;
        let post = post().unwrap();
        thread_says(bot, post, "began").await;
        bot.discord.archives(post);
        bot.proxmox.clear_trouble(full);
        bot.until_says(post, "Over").await;
        thread_says(bot, post, "over").await;
        until("its tags say so", async || {
            let posts = bot.discord.threads(ids::ALERTS_CHANNEL);
            posts.iter().any(|(id, _, tags)| *id == post && *tags == ["over"])
        })
        .await;
    }
}

bot_test! {
    async fn a_post_made_before_a_crash_is_found_again(bot: &mut Bot) {
        bot.discord.becomes_forum(ids::ALERTS_CHANNEL, &["open", "over"]);
        bot.discord.trouble(Weather::CutAfter { route: "create thread".into(), times: 1 });
        bot.configured(&config("")).await;
        bot.trouble(fill());
        until("a post was made", async || {
            bot.discord.threads(ids::ALERTS_CHANNEL).iter().any(|(_, n, _)| n.contains("Storage"))
        })
        .await;
        // It cannot be looked at for a moment: nothing is posted before that is known.
        bot.discord.trouble(Weather::Error {
            route: "get message".into(),
            status: 503,
            times: 2,
            body: None,
        });
        bot.restart().await;
        let posts = || -> Vec<u64> {
            let all = bot.discord.threads(ids::ALERTS_CHANNEL);
            all.into_iter().filter(|(_, n, _)| n.contains("Storage")).map(|(id, _, _)| id).collect()
        };
        thread_says(bot, posts()[0], "began").await;
        let store = bot.engine().store().clone();
        until("everything is told", async || !store.cards_pending().await.unwrap_or(true)).await;
        assert_eq!(posts().len(), 1, "one post");
    }
}

bot_test! {
    async fn a_note_whose_message_was_lost_stands_in_the_thread_once(bot: &mut Bot) {
        bot.configured(&config("")).await;
        bot.trouble(fill());
        let message = told(bot, "Storage fills up: local-lvm on pve1").await;
        thread_says(bot, message, "began").await;
        bot.discord.clear_log();
        // Written into the thread, and the answer does not arrive; the process is killed then.
        bot.discord.trouble(Weather::CutAfter { route: "create message".into(), times: 2 });
        let button = bot.custom_id(message, "note");
        let form = bot.discord.press(message, "operator", &button).await.unwrap();
        let text = json!({ "text": "a disk is on its way" });
        bot.discord.submit(form.interaction_id, "operator", &text).await.unwrap();
        until("the note was written", async || {
            says(bot, message).iter().any(|m| m.contains("on its way"))
        })
        .await;
        bot.restart().await;
        bot.discord.end_troubles();
        let store = bot.engine().store().clone();
        until("everything is told", async || !store.cards_pending().await.unwrap_or(true)).await;
        let thread = says(bot, message);
        assert_eq!(thread.iter().filter(|m| m.contains("on its way")).count(), 1, "{thread:?}");
        assert_eq!(thread.iter().filter(|m| m.contains("began")).count(), 1, "{thread:?}");
    }
}

bot_test! {
    async fn a_message_made_long_before_a_crash_is_found_again(bot: &mut Bot) {
        bot.discord.trouble(Weather::CutAfter { route: "create message".into(), times: 4 });
        bot.configured(&config("")).await;
        bot.trouble(fill());
        told(bot, "Storage fills up: local-lvm on pve1").await;
        bot.kill();
        // So long that Discord has forgotten the nonce.
        bot.discord.advance(std::time::Duration::from_secs(1200));
        bot.clock.advance(std::time::Duration::from_secs(1200));
        bot.discord.end_troubles();
        bot.begin().await;
        let message = told(bot, "Storage fills up: local-lvm on pve1").await;
        thread_says(bot, message, "began").await;
        let cards = alerts(bot)
            .iter()
            .filter(|m| m["embeds"][0]["title"].as_str().is_some_and(|t| t.contains("Storage fills up")))
            .count();
        assert_eq!(cards, 1, "looked for, not posted again");
    }
}

bot_test! {
    async fn what_discord_refused_for_a_while_is_told_when_it_does_no_more(bot: &mut Bot) {
        bot.discord.trouble(Weather::Error {
            route: "create message".into(),
            status: 403,
            times: 2,
            body: Some(json!({"message": "Missing Access", "code": 50001})),
        });
        bot.configured(&config("")).await;
        bot.trouble(fill());
        until("it was refused", async || bot.discord.log().iter().any(|e| e.status == 403)).await;
        bot.clock.advance(std::time::Duration::from_secs(700));
        bot.looks().await;
        until("it was refused again, or told", async || {
            bot.discord.log().iter().filter(|e| e.route.ends_with("/messages")).count() > 1
        })
        .await;
        bot.clock.advance(std::time::Duration::from_secs(700));
        told(bot, "Storage fills up: local-lvm on pve1").await;
    }
}

bot_test! {
    async fn killed_between_its_end_and_telling_it_an_incident_leaves_one_file(bot: &mut Bot) {
        bot.configured(&config("")).await;
        let full = bot.trouble(fill());
        let message = told(bot, "Storage fills up: local-lvm on pve1").await;
        thread_says(bot, message, "began").await;
        // It ends, and that is kept; nothing that says so arrives any more.
        for route in ["edit message", "create message"] {
            bot.discord.trouble(Weather::Error { route: route.into(), status: 503, times: 500, body: None });
        }
        bot.proxmox.clear_trouble(full);
        let (store, guild) = (bot.engine().store().clone(), GuildId(ids::HOMELAB_GUILD));
        let ours = |i: &Incident| i.title == "Storage fills up";
        until("its end is kept", async || {
            let open = store.list_incidents(guild, true, 0, 100).await.unwrap().rows;
            !open.iter().any(ours)
        })
        .await;
        drop(store);
        let text = text_of(&bot.message(message));
        assert!(!text.contains("Over"), "nobody was told: {text}");
        bot.restart().await;
        bot.discord.end_troubles();
        bot.until_says(message, "Over").await;
        let thread = thread_says(bot, message, "is good again").await;
        let ends = thread.iter().flat_map(|m| m.lines()).filter(|l| l.contains("is good again")).count();
        assert_eq!(ends, 1, "{thread:?}");

        // The file, once for each who asks for it; a kill while it is asked for makes none, or one.
        let files = |bot: &Bot| {
            let all = bot.discord.messages("#alerts", "viewer").unwrap_or_default();
            let files = all.iter().flat_map(|m| m["attachments"].as_array().cloned().unwrap_or_default());
            files.filter(|f| f["filename"].as_str().is_some_and(|n| n.ends_with(".md"))).count()
        };
        let button = bot.custom_id(message, "post-mortem");
        let file = bot.discord.press(message, "viewer", &button).await.unwrap();
        assert_eq!(file.error, None);
        until("the file is there", async || files(bot) == 1).await;
        bot.restart().await;
        bot.looks().await;
        let store = bot.engine().store().clone();
        until("everything is told", async || !store.cards_pending().await.unwrap_or(true)).await;
        assert_eq!(files(bot), 1, "exactly one");
        let all = alerts(bot);
        let title = |m: &&serde_json::Value| m["embeds"][0]["title"].as_str().map(str::to_owned);
        let titles = all.iter().filter_map(|m| title(&m));
        assert_eq!(titles.filter(|t| t.contains("Storage fills up")).count(), 1);
    }
}
