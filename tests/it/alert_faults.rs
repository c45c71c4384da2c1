//! Alerts where something else fails or is forbidden: a storage that hangs holds up nobody's news, a rule that keeps a
//! guest from somebody keeps its alerts from them, and what is wrong is found behind whatever else is wrong.

use std::time::Duration;

use discord_twin::world as ids;
use gantry_core::alert::{Book, Desk, Kind, Route, Rules, Severity};
use gantry_core::id::{ChannelId, GuildId, IncidentId};
use proxmox_twin::{GuestSpec, Trouble};
use serde_json::json;

use gantry_store::{Kind as Db, testing};

use crate::alerts::{cards, config, first_look, told};
use crate::bot_test;
use crate::harness::{Bot, Database, run, text_of, until};

/// Backups and disks answer nobody: what a storage that hangs and a disk that dies look like.
fn hangs(bot: &Bot) -> Vec<u64> {
    let paths = ["GET /nodes/*/storage/*/content", "GET /nodes/*/disks/list"];
    let hang = |path: &str| Trouble::Hang {
        matching: path.to_owned(),
        ms: None,
        times: None,
        anyway: false,
    };
    paths.map(|path| bot.trouble(hang(path))).into()
}

/// How often backups were asked for.
fn asked(bot: &Bot) -> usize {
    let requests = bot.proxmox.requests();
    requests.iter().filter(|r| r.path.contains("/storage/") && r.path.contains("/content")).count()
}

bot_test! {
    async fn a_storage_that_hangs_keeps_nobody_from_hearing_of_a_node(bot: &mut Bot) {
        hangs(bot);
        bot.configured(&config("")).await;
        first_look(bot).await;
        until("backups are read", async || asked(bot) > 0).await;
        let begun = std::time::Instant::now();
        let down = bot.trouble(Trouble::NodeDown { node: "pve3".into() });
        let message = told(bot, "Node down: pve3").await;
        // Proxmox itself gives such a call up after half a minute, and gantry a little later.
        assert!(begun.elapsed() < Duration::from_secs(20), "told after {:?}", begun.elapsed());
        let before = asked(bot);
        // The lead is renewed all the while, and nothing is read over and over.
        for _ in 0..4 {
            bot.clock.advance(Duration::from_secs(25));
            bot.looks().await;
        }
        bot.proxmox.clear_trouble(down);
        bot.until_says(message, "Over").await;
        assert!(asked(bot) <= before + 1, "asked {} times, then {}", before, asked(bot));
        bot.proxmox.clear_all_trouble();
    }
}

#[test]
fn a_storage_that_hangs_does_not_make_two_processes_take_the_lead_from_each_other() {
    let Some(database) = Database::postgres() else { return };
    run(database, |mut bot| async move {
        hangs(&bot);
        bot.configured(&config("")).await;
        bot.begin_other().await;
        bot.trouble(Trouble::NodeDown { node: "pve3".into() });
        told(&bot, "Node down: pve3").await;
        bot.proxmox.clear_all_trouble();
        bot.close().await;
    });
}

/// Operators have everything in the lab but what is critical.
const CRITICAL_IS_CLOSED: &str = r#"
[[policy.rules]]
name = "critical is closed"
effect = "deny"
roles = [ROLE]
verbs = ["alert.*", "maintenance.*", "guest.list"]
on = ["tag:critical"]

[[policy.rules]]
name = "operators see everything else"
roles = [ROLE]
verbs = ["read", "board.*"]
on = ["cluster:lab"]
"#;

bot_test! {
    async fn a_rule_that_keeps_a_guest_from_somebody_keeps_its_alerts_from_them(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "vault").running().pool("prod").tags("critical")).await;
        bot.has_guest(GuestSpec::lxc(5001, "shop").running().pool("prod")).await;
        let role = ids::OPERATOR_ROLE.to_string();
        bot.configured(&config(&CRITICAL_IS_CLOSED.replace("ROLE", &role))).await;
        first_look(bot).await;
        bot.meddles(&json!({"action": "stop", "vmid": 5000}));
        let message = told(bot, "Guest went off: vault (CT 5000)").await;

        let menu = bot.custom_id(message, "mute");
        let pressed = bot.discord.select(message, "operator", &menu, &["7d"]).await.unwrap();
        assert_eq!(pressed.error, None);
        until("it was refused", async || {
            bot.audit().await.iter().any(|r| r.starts_with("denied alert.silence"))
        })
        .await;
        let list = bot.operator().runs("/alert list").await.text();
        assert!(!list.contains("vault"), "{list}");
        let list = bot.admin().runs("/alert list").await.text();
        assert!(list.contains("vault"), "{list}");
        let whole = bot.operator().runs("/maintenance start hours:2 cluster:lab").await.text();
        assert!(whole.contains("critical is closed"), "{whole}");
        let board = bot.operator().runs("/board create").await.text();
        assert!(board.contains("critical is closed"), "{board}");

        // What is not critical is theirs as before.
        bot.meddles(&json!({"action": "start", "vmid": 5000}));
        bot.until_says(message, "Over").await;
        let shop = bot.operator().runs("/maintenance start hours:2 guest:shop").await.text();
        assert!(shop.contains("Maintenance of"), "{shop}");
        bot.admin().runs("/maintenance start hours:2 guest:vault").await;
        let seen = bot.operator().runs("/maintenance list").await.text();
        assert!(seen.contains("shop (CT 5001)") && !seen.contains("vault"), "{seen}");
        assert!(seen.contains("1 more about what is not yours to see"), "{seen}");
    }
}

bot_test! {
    async fn what_is_wrong_is_found_behind_what_else_is_wrong(bot: &mut Bot) {
        let own = format!(
            "[[policy.rules]]\nname = \"not the lab\"\neffect = \"deny\"\nroles = [{}]\nverbs = [\"alert.list\"]\non = [\"cluster:lab\"]\n",
            ids::VIEWER_ROLE
        );
        bot.configured(&config(&own)).await;
        let (guild, channel) = (GuildId(ids::HOMELAB_GUILD), ChannelId(ids::ALERTS_CHANNEL));
        let desk = Desk {
            route: Route::of(guild, channel),
            rules: Rules::default(),
            mutes: vec![],
            book: Book::default(),
            incidents: std::collections::BTreeMap::new(),
        };
        let now_ms = bot.clock.now_ms();
        let happens = async |n: i64, cluster: &str| {
            let (id, title) = (IncidentId::new(now_ms + n, 7), format!("Trouble in {cluster}"));
            let mut incident = desk.fresh(id, Kind::CatchUp, &title, Severity::Critical, now_ms + n);
            incident.cluster = cluster.parse().ok();
            bot.engine().store().post_unasked(&incident).await.unwrap();
        };
        // One elsewhere, then more in the lab than any list takes.
        happens(0, "far").await;
        for n in 1..=25 {
            happens(n, "lab").await;
        }
        let list = bot.viewer().runs("/alert list").await.text();
        assert!(list.contains("Trouble in far") && !list.contains("in lab"), "{list}");
        assert!(!list.contains("of 2"), "what is not theirs is not counted: {list}");

        // Then as many in a cluster that no board knows.
        for n in 26..=51 {
            happens(n, "far").await;
        }
        bot.admin().runs("/board create").await;
        until("the board shows it", async || {
            let all = bot.discord.messages("#ops", "viewer").unwrap();
            let board = all.iter().map(text_of).find(|t| t.contains("Looked at"));
            board.is_some_and(|text| text.contains("Trouble in lab") && !text.contains("all is well"))
        })
        .await;
    }
}

bot_test! {
    async fn what_a_rule_hides_is_neither_explained_nor_reported(bot: &mut Bot) {
        let heavy = GuestSpec::lxc(5000, "vault").running().tags("critical").set("memory", "65536");
        bot.has_guest(heavy).await;
        let hidden = format!(
            "[[policy.rules]]\nname = \"critical is closed\"\neffect = \"deny\"\nroles = [{}]\nverbs = [\"alert.explain\", \"guest.list\"]\non = [\"tag:critical\"]\n",
            ids::OPERATOR_ROLE
        );
        bot.configured(&config(&hidden)).await;
        first_look(bot).await;
        let report = bot.admin().runs("/report").await.text();
        assert!(report.contains("vault"), "it uses most memory: {report}");
        let report = bot.operator().runs("/report").await.text();
        assert!(report.contains("Most memory") && !report.contains("vault"), "{report}");

        bot.meddles(&json!({"action": "stop", "vmid": 5000}));
        let message = told(bot, "Guest went off: vault (CT 5000)").await;
        let text = text_of(&bot.message(message));
        let id = text.split("ref ").nth(1).map_or("", |t| t.split_whitespace().next().unwrap_or_default());
        let show = bot.operator().runs(&format!("/alert show incident:{id}")).await.text();
        assert!(show.contains("vault"), "{show}");
        let why = bot.operator().runs(&format!("/alert explain incident:{id}")).await.text();
        assert!(why.contains("No such incident") && !why.contains("vault"), "{why}");
        let why = bot.admin().runs(&format!("/alert explain incident:{id}")).await.text();
        assert!(why.contains("Why") && why.contains("vault"), "{why}");
    }
}

bot_test! {
    async fn after_a_clock_that_ran_ahead_nothing_stands_still(bot: &mut Bot) {
        bot.has_guest(GuestSpec::lxc(5000, "shop").running().pool("prod")).await;
        bot.configured(&config("")).await;
        first_look(bot).await;
        bot.clock.advance(Duration::from_secs(7200));
        let (node, storage) = ("pve1".to_owned(), "local-lvm".to_owned());
        let full = bot.trouble(Trouble::FillStorage { node, storage, percent: 90.0 });
        let message = told(bot, "Storage fills up: local-lvm on pve1").await;
        let begun = bot.operator().runs("/maintenance start hours:2 guest:shop reason:\"new disk\"").await;
        assert!(begun.text().contains("Maintenance of"), "{}", begun.text());

        // The machine's time is set right, and gantry is started again.
        bot.kill();
        bot.clock_set_right();
        bot.begin().await;
        bot.meddles(&json!({"action": "stop", "vmid": 5000}));
        until("the maintenance holds", async || {
            bot.operator().runs("/alert list").await.text().contains("new disk")
        })
        .await;
        assert_eq!(cards(bot, "Guest went off"), 0);
        bot.proxmox.clear_trouble(full);
        bot.until_says(message, "Over").await;
        assert_eq!(cards(bot, "Storage fills up"), 1, "in the same message");
    }
}

bot_test! {
    async fn what_happened_meanwhile_is_told_once_though_it_cannot_be_kept_at_first(bot: &mut Bot) {
        bot.configured(&config("")).await;
        first_look(bot).await;
        let (close, open) = match bot.engine().store().kind() {
            Db::Sqlite => (
                "CREATE TRIGGER room BEFORE INSERT ON incidents WHEN NEW.kind = 'catch-up' \
                 BEGIN SELECT RAISE(ABORT, 'no room'); END",
                "DROP TRIGGER room",
            ),
            Db::Postgres => (
                "ALTER TABLE incidents ADD CONSTRAINT room CHECK (kind <> 'catch-up') NOT VALID",
                "ALTER TABLE incidents DROP CONSTRAINT room",
            ),
        };
        testing::execute(bot.engine().store(), close).await.unwrap();
        bot.kill();
        bot.clock.advance(Duration::from_secs(1200));
        bot.begin().await;
        let looks = || {
            let requests = bot.proxmox.requests();
            requests.iter().filter(|r| r.path.ends_with("/cluster/tasks")).count()
        };
        let before = looks();
        until("it has looked again and again", async || looks() >= before + 6).await;
        assert_eq!(cards(bot, "did not see lab for a while"), 0, "none of it could be kept");
        testing::execute(bot.engine().store(), open).await.unwrap();
        told(bot, "did not see lab for a while").await;
        let store = bot.engine().store().clone();
        until("everything is told", async || !store.cards_pending().await.unwrap_or(true)).await;
        assert_eq!(cards(bot, "did not see lab for a while"), 1);
    }
}
