//! Storms of alerts through the whole bot: whatever Discord answers and whenever the process is killed, each alert is on
//! one card or counted in one digest, and the channel stays readable.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use discord_twin::Trouble as Weather;
use gantry_core::alert::{Heard, HeardState};
use gantry_core::id::GuildId;
use gantry_store::{Kind, testing};
use serde_json::{Value, json};

use crate::alerts::{alerts, config as alerts_config, id_of, told};
use crate::bot_test;
use crate::harness::{Bot, Database, canary, run, run_limited, text_of, until};
use crate::http::{client, config as http_config};

const SECRET: &str = "canary-secret-of-the-storm";
/// Groups and alerts of each: ten thousand.
const GROUPS: usize = 200;
const EACH: usize = 50;
/// Messages an hour; what is beyond stands in the digest.
const PER_HOUR: u32 = 150;
/// Least time between two messages about one group, on the bot's clock, which runs twenty times as fast.
const EVERY: Duration = Duration::from_millis(5_000 / 20);

fn config(more: &str) -> String {
    canary::watch_for(SECRET);
    let hook =
        format!("[[http.hooks]]\nname = \"prom\"\nkind = \"alertmanager\"\ntoken = \"{SECRET}\"\n");
    format!("{}{}", alerts_config(more), http_config(&hook))
}

/// A group as Alertmanager sends it: all of it, each time.
fn group(title: &str, alerts: impl IntoIterator<Item = (String, bool, u32)>) -> String {
    let alerts: Vec<Value> = alerts
        .into_iter()
        .map(|(name, firing, episode)| {
            let status = if firing { "firing" } else { "resolved" };
            json!({
                "status": status, "fingerprint": format!("{title}-{name}"),
                "labels": {"alertname": title, "host": name, "severity": "error"}, "annotations": {},
                "startsAt": format!("2026-11-21T01:{:02}:{:02}Z", episode / 60, episode % 60),
                "endsAt": format!("2026-11-21T02:{:02}:{:02}Z", episode / 60, episode % 60),
            })
        })
        .collect();
    json!({"version": "4", "groupKey": title, "status": "firing", "truncatedAlerts": 0, "alerts": alerts})
        .to_string()
}

fn title(n: usize) -> String {
    format!("Storm {n:03}")
}

/// Group `n`, of which the first `over` are over.
fn storm(n: usize, over: usize) -> String {
    group(&title(n), (0..EACH).map(|a| (format!("h{a}"), a >= over, 0)))
}

/// Sends without waiting for the answer here.
fn send(bot: &Bot, body: String) -> tokio::task::JoinHandle<u16> {
    let url = format!("{}/hooks/alertmanager/prom", bot.http());
    tokio::spawn(async move {
        let call = client().post(url).bearer_auth(SECRET);
        let call = call.header("Content-Type", "application/json").body(body);
        call.send().await.map_or(0, |answer| answer.status().as_u16())
    })
}

/// Sends until it is taken, as Alertmanager does.
async fn says(bot: &Bot, body: String) {
    until("the webhook is answered 200", async || send(bot, body.clone()).await.unwrap() == 200)
        .await;
}

/// Waits until everything that was said is told.
async fn settled(bot: &Bot) {
    let store = bot.engine().store().clone();
    until("everything is taken in and told", async || {
        let waiting = store.heard_waiting().await.unwrap_or(1);
        waiting == 0 && !store.cards_pending().await.unwrap_or(true)
    })
    .await;
}

/// The messages about groups, by title: id, alerts that fire, alerts that are over.
fn shown(bot: &Bot, title: &str) -> BTreeMap<String, Vec<(u64, usize, usize)>> {
    let mut all: BTreeMap<String, Vec<(u64, usize, usize)>> = BTreeMap::new();
    for message in alerts(bot) {
        let embed = &message["embeds"][0];
        let heading = embed["title"].as_str().unwrap_or_default();
        let Some(name) = heading.find(title).map(|at| &heading[at..]) else { continue };
        let name = name.split(':').next().unwrap_or_default().to_owned();
        let fields = embed["fields"].as_array().cloned().unwrap_or_default();
        let counts = fields.iter().find(|f| f["name"] == "Firing").map(|f| numbers(&f["value"]));
        let counts = counts.unwrap_or_default();
        let entry = (
            id_of(&message),
            counts.first().copied().unwrap_or(0),
            counts.get(1).copied().unwrap_or(0),
        );
        all.entry(name).or_default().push(entry);
    }
    all
}

fn numbers(value: &Value) -> Vec<usize> {
    let text = value.as_str().unwrap_or_default();
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect()
}

/// What is kept of the groups, by title: whether it has a message of its own, alerts that fire, alerts that are over.
async fn groups(bot: &Bot) -> BTreeMap<String, Vec<(bool, usize, usize)>> {
    let (store, guild) =
        (bot.engine().store().clone(), GuildId(discord_twin::world::HOMELAB_GUILD));
    let mut all: BTreeMap<String, Vec<(bool, usize, usize)>> = BTreeMap::new();
    for page in 0..10 {
        for i in store.list_incidents(guild, false, page * 200, 200).await.unwrap().rows {
            if i.title.starts_with("Storm ") {
                let counts = (i.counted() as usize, i.summary.over as usize);
                all.entry(i.title).or_default().push((i.posted_ms.is_some(), counts.0, counts.1));
            }
        }
    }
    all
}

/// What the newest digest counts: incidents and alerts.
fn counted(bot: &Bot) -> (usize, usize) {
    let of_lab =
        |m: &Value| m["embeds"][0]["title"].as_str().is_some_and(|t| t.contains("this hour: lab"));
    let digests: Vec<String> = alerts(bot)
        .iter()
        .filter(|m| of_lab(m))
        .map(text_of)
        .filter(|t| t.contains("counted here"))
        .collect();
    let line = digests.last().and_then(|t| t.lines().find(|l| l.contains("counted here")));
    let counts = numbers(&json!(line.unwrap_or_default()));
    (counts.first().copied().unwrap_or(0), counts.get(1).copied().unwrap_or(0))
}

bot_test! {
    async fn ten_thousand_alerts_are_each_counted_once_whatever_fails_and_dies(bot: &mut Bot) {
        bot.configured(&config(&format!("per_hour = {PER_HOUR}"))).await;
        bot.looks().await;
        // Bad weather, nobody dies.
        for weather in [
            Weather::Error { route: "create message".into(), status: 502, times: 8, body: None },
            Weather::RateLimit { route: "create message".into(), times: 3, retry_after_ms: 40, scope: "user".into() },
            Weather::RateLimit { route: "edit message".into(), times: 3, retry_after_ms: 40, scope: "shared".into() },
            Weather::CutAfter { route: "create message".into(), times: 8 },
            Weather::CutBefore { route: "create message".into(), times: 4 },
            Weather::CutAfter { route: "edit message".into(), times: 5 },
            Weather::CutAfter { route: "create thread from message".into(), times: 5 },
            Weather::Hang { route: "create message".into(), ms: 300, times: 6 },
        ] {
            bot.discord.trouble(weather);
        }
        for n in 0..GROUPS / 4 {
            says(bot, storm(n, 0)).await;
            if n % 10 == 0 {
                // Its answer was lost on the way: said again.
                says(bot, storm(n, 0)).await;
            }
        }
        settled(bot).await;
        bot.discord.end_troubles();
        let before = shown(bot, "Storm ");
        assert_eq!(before.len(), GROUPS / 4);
        for (name, messages) in &before {
            assert!(matches!(messages[..], [(_, EACH, 0)]), "{name}: one message, all of it: {messages:?}");
        }
        // It dies in the middle of being told and of telling, again and again.
        let (mut kills, mut next) = (0, GROUPS / 4);
        while next < GROUPS {
            let some: Vec<usize> = (next..GROUPS.min(next + 30)).collect();
            bot.discord.trouble(Weather::CutAfter { route: "create message".into(), times: 3 });
            bot.discord.trouble(Weather::Error { route: "edit message".into(), status: 503, times: 3, body: None });
            for n in &some[..some.len() / 2] {
                says(bot, storm(*n, 0)).await;
            }
            let under_way: Vec<_> = some[some.len() / 2..].iter().map(|n| (*n, send(bot, storm(*n, 0)))).collect();
            tokio::task::yield_now().await;
            bot.restart().await;
            kills += 1;
            bot.discord.end_troubles();
            for (n, answer) in under_way {
                if answer.await.unwrap() != 200 {
                    says(bot, storm(n, 0)).await;
                }
            }
            next += some.len();
        }
        // A quarter is over, of another some are.
        for n in 0..GROUPS / 4 {
            says(bot, storm(n, EACH)).await;
        }
        bot.restart().await;
        kills += 1;
        for n in GROUPS / 4..GROUPS / 2 {
            says(bot, storm(n, 20)).await;
        }
        settled(bot).await;

        let all = shown(bot, "Storm ");
        let told: usize = all.values().map(Vec::len).sum();
        assert!(told - all.len() <= kills, "{} doubled in {kills} kills", told - all.len());
        let mut alerts_told = 0;
        for (name, messages) in &all {
            let n: usize = name.trim_start_matches("Storm ").parse().unwrap();
            let want = match n {
                n if n < GROUPS / 4 => (0, EACH),
                n if n < GROUPS / 2 => (EACH - 20, 20),
                _ => (EACH, 0),
            };
            let newest = messages.first().unwrap();
            assert_eq!((newest.1, newest.2), want, "{name}");
            if let Some(old) = before.get(name) {
                assert_eq!(newest.0, old[0].0, "{name}: its end is told in the same message");
            }
            alerts_told += newest.1 + newest.2;
        }
        // Of each group every alert, in its message or in the digest; no group is missing, none is there twice.
        let mut kept = groups(bot).await;
        for n in 0..GROUPS {
            let name = title(n);
            let found = kept.remove(&name).unwrap_or_default();
            let [(posted, firing, over)] = found[..] else { panic!("{name}: {found:?}") };
            assert_eq!(firing + over, EACH, "{name}: {found:?}");
            match all.get(&name).and_then(|m| m.first()) {
                Some(shown) => assert_eq!((posted, firing, over), (true, shown.1, shown.2), "{name}"),
                None => assert!(!posted, "{name} was posted, and no message is there"),
            }
        }
        assert!(kept.is_empty(), "{kept:?}");
        let (incidents, alerts) = counted(bot);
        assert!(incidents >= GROUPS - PER_HOUR as usize - 10, "{incidents} in the digest");
        // The simulated cluster's own trouble may stand there as well.
        let rest = alerts_told + alerts;
        assert!((GROUPS * EACH..GROUPS * EACH + 20).contains(&rest), "{alerts_told} told + {alerts} counted");
        assert!(all.len() + incidents >= GROUPS && all.len() + incidents < GROUPS + 20);
    }
}

bot_test! {
    async fn what_is_said_of_one_thing_is_taken_in_in_its_order(bot: &mut Bot) {
        bot.configured(&config("")).await;
        bot.looks().await;
        for (name, course) in [("Ends well", vec![true, false, true, false]), ("Goes on", vec![true, false, true])] {
            for (n, firing) in course.iter().enumerate() {
                let episode = u32::try_from(n / 2).unwrap();
                says(bot, group(name, [("h".to_owned(), *firing, episode)])).await;
            }
        }
        settled(bot).await;
        let (well, on) = (shown(bot, "Ends well"), shown(bot, "Goes on"));
        assert!(matches!(well["Ends well"][..], [(_, 0, 2)]), "{well:?}");
        assert!(matches!(on["Goes on"][..], [(_, 1, 1)]), "{on:?}");
    }
}

/// Five thousand alerts at once, then a thousand times of one thing, with Discord's real limits.
async fn a_storm(bot: &mut Bot) {
    bot.configured(&config("")).await;
    bot.looks().await;
    settled(bot).await;
    bot.discord.clear_log();
    let began = Instant::now();
    let groups = 4;
    for part in 0..5 {
        let send: Vec<_> = (0..groups)
            .map(|g| {
                let names = (part * 250..(part + 1) * 250).map(|a| (format!("h{a}"), true, 0));
                send(bot, group(&format!("Flood {g}"), names))
            })
            .collect();
        for answer in send {
            assert_eq!(answer.await.unwrap(), 200);
        }
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let flaps = (0..1000).flat_map(|n| [("one".to_owned(), true, n), ("one".to_owned(), false, n)]);
    let flaps: Vec<_> = flaps.collect();
    for part in flaps.chunks(200) {
        says(bot, group("Flaps", part.iter().cloned())).await;
    }
    settled(bot).await;
    let all = shown(bot, "Flood ");
    assert_eq!(all.len(), groups);
    for messages in all.values() {
        assert!(matches!(messages[..], [(_, 1250, 0)]), "{all:?}");
    }
    let flaps = shown(bot, "Flaps");
    assert_eq!(flaps["Flaps"].len(), 1, "{flaps:?}");

    let log = bot.discord.log();
    assert_eq!(bot.discord.log_dropped(), 0);
    assert_eq!(log.iter().filter(|e| e.status == 429).count(), 0, "no limit was run into");
    // Of each group: one message, and edits of it, no two within five seconds. In its thread the same.
    let mut last: BTreeMap<String, u64> = BTreeMap::new();
    for e in log.iter().filter(|e| e.status < 300) {
        let edits = e.method == "PATCH" && e.path.contains("/messages/");
        let posts = e.method == "POST" && e.path.ends_with("/messages");
        let about = match (edits, posts) {
            (true, _) => e.path.clone(),
            // The message itself, and in a thread, whose id is the message's.
            (_, true) if e.answer["embeds"].as_array().is_some_and(|a| !a.is_empty()) => {
                format!("{}/{}", e.path, e.answer["id"].as_str().unwrap_or_default())
            }
            (_, true) => e.path.clone(),
            _ => continue,
        };
        let calls = e.body["message_reference"].is_object();
        if let Some(before) = last.insert(about.clone(), e.at_ms).filter(|_| !calls) {
            let pause = Duration::from_millis(e.at_ms - before);
            // A twentieth for the clocks.
            assert!(pause + EVERY / 20 >= EVERY, "{about}: {pause:?} after the one before");
        }
    }
}

#[test]
fn a_storm_is_a_message_a_group_every_five_seconds_on_sqlite() {
    run_limited(Database::sqlite(), |mut bot| async move {
        a_storm(&mut bot).await;
        bot.close().await;
    });
}

#[test]
fn a_storm_is_a_message_a_group_every_five_seconds_on_postgres() {
    let Some(database) = Database::postgres() else { return };
    run_limited(database, |mut bot| async move {
        a_storm(&mut bot).await;
        bot.close().await;
    });
}

bot_test! {
    async fn what_is_too_much_is_counted_and_told(bot: &mut Bot) {
        bot.configured(&config("")).await;
        bot.looks().await;
        // More than once thought to be enough for one request.
        says(bot, group("Wide", (0..1500).map(|a| (format!("h{a}"), true, 0)))).await;
        settled(bot).await;
        let wide = shown(bot, "Wide");
        assert!(matches!(wide["Wide"][..], [(_, 1500, 0)]), "{wide:?}");
        let huge = format!("[{}]", " ".repeat(5 * 1024 * 1024));
        assert_ne!(send(bot, huge).await.unwrap(), 200);
        let message = told(bot, "More is told through webhooks than gantry takes in").await;
        bot.until_says(message, "1 thing was turned away").await;
    }
}

bot_test! {
    async fn when_very_much_is_remembered_nothing_more_is_taken_in_but_ends(bot: &mut Bot) {
        bot.configured(&config("")).await;
        bot.looks().await;
        says(bot, group("Seed", [("h0".to_owned(), true, 0)])).await;
        told(bot, "Seed: h0").await;
        let (store, guild) = (bot.engine().store().clone(), GuildId(discord_twin::world::HOMELAB_GUILD));
        let seed = store.list_alerts(guild).await.unwrap().into_iter().find(|t| t.rule == "told").unwrap();
        let (subject, data) = (seed.subject.key(), serde_json::to_string(&seed).unwrap());
        let like = |text: &str| text.replace("Seed-h0", "Bulk-@").replace('\'', "''");
        let (subject, data) = (like(&subject), like(&data));
        // As many as the desks walk with each look.
        let fill = format!(
            "INSERT INTO alerts (guild_id, rule, subject, cluster, phase, changed_ms, data) \
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 19999) \
             SELECT '{guild}', 'told', replace('{subject}', '@', CAST(i AS TEXT)), 'lab', 'firing', 1, \
             replace('{data}', '@', CAST(i AS TEXT)) FROM n"
        );
        testing::execute(&store, &fill).await.unwrap();
        assert!(store.alerts_most().await.unwrap() >= 20_000);
        let one = |name: &str, firing| group("More", [(name.to_owned(), firing, 0)]);
        assert_eq!(send(bot, one("new", true)).await.unwrap(), 503);
        assert_eq!(send(bot, one("old", false)).await.unwrap(), 200, "an end makes room");
        let message = told(bot, "More is told through webhooks than gantry takes in").await;
        bot.until_says(message, "1 thing was turned away").await;
        if store.kind() == Kind::Postgres {
            // The bound is the database's: another process, which leads nothing, keeps to it and is told of.
            bot.begin_other().await;
            let heard = Heard {
                key: "x".into(), name: "x".into(), state: HeardState::Firing, at_ms: 1, detail: String::new(),
                cluster: "lab".parse().unwrap(), node: None, vmid: None, task: None,
                told: (*seed.told.clone().unwrap()).clone(),
            };
            assert!(bot.other_engine().hear(vec![heard]).await.unwrap().is_none());
            told(bot, "2 things were turned away").await;
        }
        testing::execute(&store, "DELETE FROM alerts WHERE subject LIKE '%Bulk-%'").await.unwrap();
        assert_eq!(send(bot, one("new", true)).await.unwrap(), 200);
        told(bot, "More: new").await;
    }
}

/// From a change at Proxmox to the message, at the speed of real clocks.
#[test]
fn what_happens_is_told_within_a_poll_and_two_seconds() {
    run(Database::sqlite(), |mut bot| async move {
        bot.real_clock();
        bot.configured(&alerts_config("")).await;
        crate::alerts::first_look(&bot).await;
        let within = Duration::from_secs(10 + 2);
        let mut took = Vec::new();
        for node in ["pve3", "pve4", "pve2"] {
            let began = Instant::now();
            let down = bot.trouble(proxmox_twin::Trouble::NodeDown { node: node.into() });
            let message = told(&bot, &format!("Node down: {node}")).await;
            took.push(began.elapsed());
            if took.last() <= Some(&within) {
                break;
            }
            // A machine that was busy gets another chance.
            bot.proxmox.clear_trouble(down);
            bot.until_says(message, "Over").await;
        }
        assert!(took.last() <= Some(&within), "{took:?}");
        bot.close().await;
    });
}
