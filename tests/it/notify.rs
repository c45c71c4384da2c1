//! One command has Proxmox tell gantry what it notices, another takes that away: what people see, what Proxmox has
//! afterwards, and that nothing of it stands or falls with a secret anybody could read.

use gantry_core::operation::OpState;
use proxmox_twin::Trouble;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::alerts::{cards, config as alerts_config};
use crate::bot_test;
use crate::harness::{Bot, canary, until};
use crate::http::TOKEN;

/// The secret of the webhook.
pub const SECRET: &str = "canary-secret-of-the-notifications";
/// The same in Base64, as it goes to Proxmox.
const SECRET_BASE64: &str = "Y2FuYXJ5LXNlY3JldC1vZi10aGUtbm90aWZpY2F0aW9ucw";
/// What the webhook is called at Proxmox.
pub const TARGET: &str = "gantry-pve";
pub const MATCHER: &str = "match-gantry-pve";

/// A port that is free now; it stays the same over restarts, since Proxmox was told of it.
pub fn port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A gantry that listens at `port` and says that it is reached at `url`.
pub fn config(port: u16, url: &str, secret: &str) -> String {
    for secret in [TOKEN, secret] {
        canary::watch_for(secret);
    }
    format!(
        "{}[http]\nlisten = \"127.0.0.1:{port}\"\ntoken = \"{TOKEN}\"\npublic_url = \"{url}\"\n\
         [[http.hooks]]\nname = \"pve\"\nkind = \"proxmox\"\ntoken = \"{secret}\"\n",
        alerts_config("")
    )
}

/// Starts the bot with a webhook for Proxmox; where it listens.
pub async fn begins(bot: &mut Bot) -> u16 {
    let port = port();
    bot.configured(&config(port, &format!("http://127.0.0.1:{port}"), SECRET)).await;
    bot.looks().await;
    port
}

/// Asks, confirms, and waits for the end.
async fn done(bot: &Bot, command: &str) -> (OpState, String) {
    let question = bot.confirmed(command, "").await;
    let op = bot.settle().await.remove(0);
    let summary = op.outcome.as_ref().unwrap().summary.clone();
    (op.state, bot.until_says(question.message, &summary).await.replace('\\', ""))
}

async fn installed(bot: &Bot) {
    let (state, text) = done(bot, "/cluster notify install").await;
    assert_eq!(state, OpState::Succeeded, "{text}");
    bot.proxmox.forget();
}

fn matcher(bot: &Bot) -> Value {
    bot.proxmox.notifications()["matchers"][MATCHER].clone()
}

bot_test! {
    async fn one_command_makes_both_and_a_failed_backup_is_matched_to_its_task(bot: &mut Bot) {
        let port = begins(bot).await;
        let question = bot.admin().runs("/cluster notify install").await;
        let text = question.text().replace('\\', "");
        let url = format!("http://127.0.0.1:{port}/hooks/proxmox/pve");
        for shown in [TARGET, MATCHER, &url, "Authorization, Content-Type", "every notification", "send a test", "not https"] {
            assert!(text.contains(shown), "{shown} is missing in:\n{text}");
        }
        assert!(bot.changes().is_empty(), "nothing before somebody confirmed");
        bot.admin().confirms(&question, "").await;
        let op = bot.settle().await.remove(0);
        assert_eq!(op.state, OpState::Succeeded, "{:?}", op.outcome);
        let text = bot.until_says(question.message, "a test was heard").await;
        assert!(text.contains("Proxmox was asked to send a test; heard"), "{text}");
        assert_eq!(bot.changes(), ["notify-target 0", "notify-matcher 0", "notify-test 0"]);
        assert_eq!(bot.proxmox.webhook_secret(TARGET, "token").as_deref(), Some(SECRET));

        // No own word about the test: it stands in the history, and calls nobody.
        assert_eq!(cards(bot, "Test notification"), 0);
        bot.proxmox.forget();
        bot.proxmox.ran("vzdump", "", "pve1", "root@pam", "job errors");
        let mut listed = String::new();
        until("the list says that gantry saw it itself", async || {
            listed = bot.operator().runs("/alert list").await.text().replace('\\', "");
            listed.contains("gantry saw it itself: UPID:pve1:") && listed.contains("vzdump")
        })
        .await;
        assert_eq!(cards(bot, "vzdump backup status"), 0, "not told twice: {listed}");
        bot.proxmox.tells("pve1", "fencing", "error", "Node pve3 fenced", "see the log");
        crate::alerts::told(bot, "Node pve3 fenced: pve1").await;

        let shown = bot.viewer().runs("/cluster notify show").await.text();
        assert!(shown.contains("is as it shall be") && shown.contains("Something was heard"), "{shown}");

        // The secret is where Proxmox keeps it and nowhere else.
        let ops = bot.settle().await;
        let rows = bot.engine().audit(&Default::default(), 0, 100).await.unwrap().rows;
        let plans = serde_json::to_string(&ops).unwrap();
        let page = crate::http::metrics(bot).await;
        let told: String = ["#ops", "#alerts"]
            .iter()
            .flat_map(|c| bot.discord.messages(*c, "admin").unwrap())
            .map(|m| m.to_string())
            .collect();
        let requests = format!("{:?}", bot.proxmox.requests());
        for (place, text) in [
            ("operations", &plans),
            ("audit", &format!("{rows:?}")),
            ("metrics", &page),
            ("messages", &told),
            ("Proxmox's answers", &bot.proxmox.notifications().to_string()),
            ("requests as they are shown", &requests),
        ] {
            assert!(!text.contains(SECRET) && !text.contains(SECRET_BASE64), "the secret stands in the {place}");
        }
    }
}

bot_test! {
    async fn what_is_so_is_left_alone_and_what_somebody_changed_is_put_right(bot: &mut Bot) {
        begins(bot).await;
        installed(bot).await;
        let again = bot.admin().runs("/cluster notify install").await;
        let text = again.text();
        assert!(text.contains("Nothing to do") && again.is_ephemeral(), "{text}");
        assert!(bot.changes().is_empty(), "nothing is written");

        bot.proxmox.meddle_notifications(MATCHER, Some(("match-severity", json!(["error"]))));
        let question = bot.admin().runs("/cluster notify install").await;
        let text = question.text().replace('\\', "");
        assert!(text.contains("severity error, to gantry-pve") && !text.contains("Secret"), "{text}");
        bot.admin().confirms(&question, "").await;
        assert_eq!(bot.settle().await[0].state, OpState::Succeeded);
        assert_eq!(bot.changes(), ["notify-matcher 0", "notify-test 0"]);
        assert!(matcher(bot).get("match-severity").is_none(), "{}", matcher(bot));

        // Changed once more between the question and the press: asked anew.
        bot.proxmox.forget();
        bot.proxmox.meddle_notifications(TARGET, Some(("disable", json!("1"))));
        let question = bot.admin().runs("/cluster notify install").await;
        bot.proxmox.meddle_notifications(TARGET, Some(("url", json!("http://127.0.0.1:1/theirs"))));
        let pressed = bot.admin().confirms(&question, "").await;
        assert!(pressed.text().contains("things changed meanwhile"), "{}", pressed.text());
        assert!(bot.changes().is_empty());
        bot.until_says(question.message, "Target sends to").await;
        bot.admin().confirms(&question, "").await;
        assert_eq!(bot.settle().await[0].state, OpState::Succeeded);
        let target = bot.proxmox.notifications()["webhooks"][TARGET].clone();
        assert_eq!(target["disable"], "0", "{target}");
        assert!(target["url"].as_str().unwrap().ends_with("/hooks/proxmox/pve"), "{target}");
    }
}

bot_test! {
    async fn a_secret_that_was_changed_is_noticed_by_the_test_and_sent_again(bot: &mut Bot) {
        let port = begins(bot).await;
        installed(bot).await;
        let new = "canary-secret-after-it-was-changed";
        bot.configured(&config(port, &format!("http://127.0.0.1:{port}"), new)).await;
        bot.looks().await;
        let card = bot.admin().runs("/cluster notify test").await;
        let op = bot.settle().await.remove(0);
        assert_eq!(op.state, OpState::Failed, "{:?}", op.outcome);
        let text = bot.until_says(card.message, "status code 401").await;
        assert!(text.contains("secret:True"), "{text}");
        let same = bot.admin().runs("/cluster notify install").await.text();
        assert!(same.contains("Nothing to do") && same.contains("secret:True"), "{same}");
        bot.proxmox.forget();
        let (state, text) = done(bot, "/cluster notify install secret:True").await;
        assert_eq!(state, OpState::Succeeded, "{text}");
        assert_eq!(bot.changes(), ["notify-target 0", "notify-test 0"]);
        assert_eq!(bot.proxmox.webhook_secret(TARGET, "token").as_deref(), Some(new));
        let card = bot.admin().runs("/cluster notify test").await;
        assert_eq!(bot.settle().await[0].state, OpState::Succeeded);
        bot.until_says(card.message, "the test was heard").await;
    }
}

bot_test! {
    async fn only_what_is_gantrys_own_is_removed(bot: &mut Bot) {
        begins(bot).await;
        installed(bot).await;
        bot.proxmox.meddle_notifications(TARGET, Some(("comment", json!("mine"))));
        let refused = bot.admin().runs("/cluster notify remove").await.text();
        assert!(refused.contains("does not bear gantry's comment"), "{refused}");
        let (state, text) = done(bot, "/cluster notify install").await;
        assert_eq!(state, OpState::Succeeded, "{text}");
        bot.proxmox.meddle_notifications("night", Some(("target", json!([TARGET]))));
        let refused = bot.admin().runs("/cluster notify remove").await.text();
        assert!(refused.contains("night send to gantry-pve as well"), "{refused}");
        bot.proxmox.meddle_notifications("night", None);
        bot.proxmox.forget();
        let (state, text) = done(bot, "/cluster notify remove").await;
        assert_eq!(state, OpState::Succeeded, "{text}");
        assert_eq!(bot.changes(), ["notify-matcher-gone 0", "notify-target-gone 0"]);
        assert_eq!(bot.proxmox.notifications(), json!({"webhooks": {}, "matchers": {}}));
        let gone = bot.admin().runs("/cluster notify remove").await.text();
        assert!(gone.contains("Nothing to do"), "{gone}");
        let test = bot.admin().runs("/cluster notify test").await.text();
        assert!(test.contains("/cluster notify install"), "{test}");
    }
}

bot_test! {
    async fn whoever_may_not_or_cannot_is_told_why_and_nothing_is_written(bot: &mut Bot) {
        let none = bot.admin().runs("/cluster notify install").await.text().replace('\\', "");
        assert!(none.contains("[[http.hooks]]") && none.contains("proxmox"), "{none}");
        let port = port();
        let unsaid = config(port, "URL", SECRET).replace("public_url = \"URL\"\n", "");
        bot.configured(&unsaid).await;
        bot.looks().await;
        let unsaid = bot.admin().runs("/cluster notify install").await.text().replace('\\', "");
        assert!(unsaid.contains("http.public_url"), "{unsaid}");

        bot.configured(&config(port, &format!("http://127.0.0.1:{port}"), SECRET)).await;
        bot.looks().await;
        for command in ["/cluster notify install", "/cluster notify test", "/cluster notify remove"] {
            let refused = bot.viewer().runs(command).await;
            assert!(refused.is_ephemeral() && refused.text().contains("Not allowed"), "{command}: {}", refused.text());
        }
        until("the refusals are written down", async || {
            bot.audit().await.join("\n").contains("denied cluster.notify.remove by")
        })
        .await;
        // Somebody who may not press either.
        let question = bot.admin().runs("/cluster notify install").await;
        let pressed = bot.viewer().does(&question, "confirm").await;
        assert!(pressed.text().contains("Not allowed"), "{}", pressed.text());

        for node in ["pve1", "pve2", "pve3", "pve4", "pve5"] {
            bot.proxmox.installs(node, "8.2.7");
        }
        let old = bot.admin().runs("/cluster notify install").await.text();
        assert!(old.contains("came with Proxmox VE 8.3") && old.contains("generic"), "{old}");
        let old = bot.viewer().runs("/cluster notify show").await.text();
        assert!(old.contains("came with Proxmox VE 8.3"), "{old}");
        for node in ["pve1", "pve2", "pve3", "pve4", "pve5"] {
            bot.proxmox.installs(node, "9.1.4");
        }
        bot.proxmox.role("GantryNotify", &[]);
        let denied = bot.admin().runs("/cluster notify install").await.text();
        assert!(denied.contains("/mapping/notifications"), "{denied}");
        assert!(bot.changes().is_empty(), "{:?}", bot.changes());
    }
}

/// Somebody else who takes whatever is sent and says that all is well.
async fn stranger() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut part = [0_u8; 8192];
            let _ = stream.read(&mut part).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        }
    });
    port
}

bot_test! {
    async fn a_test_that_does_not_arrive_is_told_and_what_was_made_stands(bot: &mut Bot) {
        let (here, there) = (port(), stranger().await);
        for (url, said) in [
            (format!("http://127.0.0.1:{there}"), "not heard within 15 s: can the nodes of lab reach"),
            ("http://127.0.0.1:1".to_owned(), "could not deliver the test"),
        ] {
            bot.configured(&config(here, &url, SECRET)).await;
            bot.looks().await;
            let (state, text) = done(bot, "/cluster notify install").await;
            assert_eq!(state, OpState::Warned, "{text}");
            assert!(text.contains(said) && text.contains("is as it shall be"), "{text}");
            assert!(text.contains("in place, but not seen to work"), "{text}");
            let card = bot.admin().runs("/cluster notify test").await;
            assert_eq!(bot.settle().await[0].state, OpState::Failed);
            let text = bot.until_says(card.message, said).await;
            assert!(!text.contains("task said"), "{text}");
        }
    }
}

bot_test! {
    async fn a_cluster_without_quorum_is_waited_for(bot: &mut Bot) {
        begins(bot).await;
        let question = bot.admin().runs("/cluster notify install").await;
        let trouble = bot.trouble(Trouble::NoQuorum {});
        bot.admin().confirms(&question, "").await;
        bot.until_says(question.message, "no quorum").await;
        bot.proxmox.clear_trouble(trouble);
        bot.until_says(question.message, "a test was heard").await;
        assert_eq!(bot.changes(), ["notify-target 0", "notify-matcher 0", "notify-test 0"]);
    }
}
