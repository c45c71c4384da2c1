//! One test for each defect that was found in bots people use today.

use proxmox_twin::{GuestSpec, Trouble};

use serde_json::json;

use crate::bot_test;

bot_test! {
    /// 1: buttons that act as whoever ran the command. Here the presser decides, and is the one on record.
    async fn the_presser_acts_not_the_asker(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "shop").running().pool("prod")).await;
        let question = bot.operator().runs("/guest kill guest:shop").await;
        assert!(bot.viewer().does(&question, "confirm").await.is_ephemeral());
        assert_eq!(bot.changes(), Vec::<String>::new());
        bot.admin().confirms(&question, "").await;
        bot.settle().await;
        let audit = bot.audit().await;
        assert!(audit.iter().any(|r| r.starts_with("proposed guest.kill by Olga")), "{audit:?}");
        assert!(audit.iter().any(|r| r.starts_with("confirmed guest.kill by Ada")), "{audit:?}");
    }
}

bot_test! {
    /// 2: success told when the request was accepted. A start of a locked guest is accepted and fails in its task.
    async fn accepted_is_not_done(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "shop")).await;
        bot.trouble(Trouble::TaskFails {
            task: "vzstart".into(),
            exitstatus: "CT is locked (backup)".into(),
            times: Some(1),
        });
        let card = bot.admin().runs("/guest start guest:shop").await;
        let text = bot.until_says(card.message, "CT is locked (backup)").await;
        assert!(text.contains("Could not start"), "{text}");
        assert!(!text.contains("was started"), "{text}");
    }
}

bot_test! {
    /// 3: a name that begins with digits taken for a number, containers asked as machines, a fixed node name.
    async fn names_numbers_kinds_and_nodes_are_not_mixed_up(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5003, "3proxy")).await;
        bot.has_guest(GuestSpec::qemu(5004, "winbox").on("pve2")).await;
        bot.admin().runs("/guest start guest:3proxy").await;
        bot.settle().await;
        bot.admin().runs("/guest start guest:winbox").await;
        bot.settle().await;
        assert_eq!(bot.changes(), ["start 5003", "start 5004"]);
        // It moves behind the bot's back; its number still finds it.
        bot.meddles(&json!({"action": "migrate", "vmid": 5003, "node": "pve3"}));
        let question = bot.admin().runs("/guest stop guest:lab/5003").await;
        bot.admin().confirms(&question, "").await;
        bot.settle().await;
        assert_eq!(bot.changes().last().map(String::as_str), Some("shutdown 5003"));
    }
}

bot_test! {
    /// 4: a locked guest “unlocked” through a path that does not exist. Here the lock is named and nothing is forced.
    async fn a_lock_is_shown_and_respected(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "shop").running().locked("backup")).await;
        bot.proxmox.forget();
        let answer = bot.admin().runs("/guest stop guest:shop").await;
        assert!(answer.text().contains("backup"), "{}", answer.text());
        assert_eq!(bot.changes(), Vec::<String>::new());
        assert!(bot.proxmox.requests().iter().all(|r| !r.path.contains("unlock") && r.status != 501));
    }
}

bot_test! {
    /// 5: lists that are cut or rejected when they get long.
    async fn a_long_list_is_paged_and_nothing_is_cut(bot: &mut Bot) {
        for n in 0..120_u32 {
            bot.proxmox.has(GuestSpec::lxc(6000 + n, &format!("a-rather-long-guest-name-for-number-{n:03}")));
        }
        bot.looks().await;
        let total = bot.engine().views()[0].guests.len();
        let mut list = bot.admin().runs("/guest list").await;
        assert!(list.text().contains(&total.to_string()), "{}", list.text());
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..40 {
            let text = crate::harness::text_of(&bot.message(list.message));
            for n in 0..120 {
                if text.contains(&format!("number-{n:03}")) {
                    seen.insert(n);
                }
            }
            let message = bot.message(list.message);
            let more = message["components"].to_string().contains("Next")
                && !next_is_disabled(&message);
            if !more {
                break;
            }
            list.message = bot.admin().does(&list, "next").await.message.max(list.message);
        }
        assert_eq!(seen.len(), 120);
    }
}

fn next_is_disabled(message: &serde_json::Value) -> bool {
    message["components"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|row| row["components"].as_array().into_iter().flatten())
        .filter(|c| c["custom_id"].as_str().is_some_and(|id| id.contains(":next:")))
        .all(|c| c["disabled"] == true)
}

bot_test! {
    /// 6: completion that asks Proxmox at every keystroke. Here it is answered from memory, even while nothing answers.
    async fn completion_asks_nobody(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "shop")).await;
        for node in ["pve1", "pve2", "pve3", "pve4", "pve5"] {
            bot.trouble(Trouble::NodeSilent { node: node.into() });
        }
        let before = bot.proxmox.requests().len();
        for typed in ["s", "sh", "sho", "shop"] {
            let offered = bot
                .discord
                .autocomplete("admin", "#ops", &format!("/guest show guest:{typed}"), "guest")
                .await
                .unwrap();
            assert!(offered.choices.to_string().contains("shop"), "{offered:?}");
        }
        let asked = bot.proxmox.requests();
        let since = &asked[before.min(asked.len())..];
        assert!(since.iter().all(|r| !r.path.contains("5000")), "{since:?}");
    }
}

/// 7: a README that names other settings than the code reads.
#[test]
fn the_readme_names_settings_that_exist() {
    let root = env!("CARGO_MANIFEST_DIR");
    let read = |name: &str| std::fs::read_to_string(format!("{root}/{name}")).unwrap();
    let docs = [read("README.md"), read("docs/config.md")].join("\n");
    let example = read("config/gantry.example.toml");
    let mut named = 0;
    for word in docs.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')) {
        let Some(rest) = word.strip_prefix("GANTRY__") else { continue };
        if rest.starts_with("SECTION") {
            continue; // the pattern itself
        }
        let parts: Vec<String> = rest.split("__").map(str::to_lowercase).collect();
        let (section, key) =
            (parts.first().cloned().unwrap_or_default(), parts.last().cloned().unwrap_or_default());
        named += 1;
        assert!(
            example.contains(&format!("[{section}")) || example.contains(&format!("[[{section}")),
            "{word}"
        );
        assert!(parts.len() == 1 || example.contains(&key), "{word} is documented but is no key");
    }
    assert!(
        named > 0,
        "the documents name no variable; is the check still looking at the right files?"
    );
}
