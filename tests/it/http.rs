//! The HTTP side as whoever reaches its port meets it: alive, ready, figures for whoever may, nothing for the others.

use std::collections::BTreeSet;
use std::time::Duration;

use gantry_http::families;
use reqwest::{Client, Response};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::bot_test;
use crate::harness::{Bot, canary, until};

/// The secret of `/metrics`.
pub const TOKEN: &str = "canary-secret-of-the-metrics-page";

/// A client that waits no longer than a test may.
pub fn client() -> Client {
    Client::builder().timeout(Duration::from_secs(30)).no_proxy().build().unwrap()
}

/// The HTTP side, with `hooks` beside it.
pub fn config(hooks: &str) -> String {
    canary::watch_for(TOKEN);
    format!("[http]\nlisten = \"127.0.0.1:0\"\ntoken = \"{TOKEN}\"\n{hooks}\n")
}

async fn get(bot: &Bot, path: &str, token: &str) -> Response {
    let url = format!("{}{path}", bot.http());
    client().get(url).bearer_auth(token).send().await.unwrap()
}

/// The page of figures.
pub async fn metrics(bot: &Bot) -> String {
    let answer = get(bot, "/metrics", TOKEN).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    answer.text().await.unwrap()
}

bot_test! {
    async fn it_is_alive_ready_and_shows_figures_to_whoever_may(bot: &mut Bot) {
        bot.configured(&config("")).await;
        assert_eq!(get(bot, "/healthz", "").await.status(), 200);
        let ready = get(bot, "/readyz", "").await;
        assert_eq!(ready.status(), 200);
        let parts = ready.text().await.unwrap();
        assert_eq!(parts, "database: ready\ngateway: ready\nclusters: ready\ncluster lab: ready\n");

        let text = metrics(bot).await;
        for line in [
            "gantry_cluster_readable{cluster=\"lab\"} 1",
            "gantry_node_up{cluster=\"lab\",node=\"pve1\"} 1",
            "gantry_discord_shard_connected{shard=\"0\"} 1",
            "gantry_database_up 1",
            "gantry_operations_open{state=\"running\"} 0",
            "gantry_proxmox_request_duration_seconds_bucket{cluster=\"lab\",kind=\"read\",le=\"+Inf\"}",
        ] {
            assert!(text.contains(line), "{line} is missing in:\n{text}");
        }
        let known: BTreeSet<&str> = families().iter().map(|f| f.name).collect();
        let shown: BTreeSet<&str> =
            text.lines().filter_map(|l| l.strip_prefix("# TYPE ")?.split(' ').next()).collect();
        assert!(shown.is_subset(&known) && shown.len() > 40, "{} of {}", shown.len(), known.len());
        let (_, secret) = bot.proxmox.token();
        for private in [crate::harness::DISCORD_TOKEN, TOKEN, &secret, "operator", "olga"] {
            assert!(!text.contains(private), "{private} stands in the figures");
        }
    }
}

bot_test! {
    async fn whoever_has_no_secret_gets_nothing_and_keeps_nobody_out(bot: &mut Bot) {
        bot.configured(&config("")).await;
        let mut codes = Vec::new();
        for n in 0..12 {
            codes.push(get(bot, "/metrics", &format!("guess {n}")).await.status().as_u16());
        }
        assert_eq!(codes[..10], [401; 10]);
        assert_eq!(codes[10..], [429; 2]);
        assert!(metrics(bot).await.contains("code=\"401\"} 10"), "the right one always opens");
        for path in ["/", "/metrics/", "/hooks", "/../etc/passwd", "/hooks/generic/x/y"] {
            assert_eq!(get(bot, path, TOKEN).await.status(), 404, "{path}");
        }
        let url = format!("{}/hooks/generic/none", bot.http());
        let answer = client().post(url).bearer_auth("x").body("{}").send().await.unwrap();
        assert!(matches!(answer.status().as_u16(), 401 | 429), "a hook that is not there is not told apart");
    }
}

bot_test! {
    async fn slow_and_huge_requests_end_by_themselves(bot: &mut Bot) {
        bot.configured(&config("")).await;
        let address = bot.http().replace("http://", "");
        let mut slow = Vec::new();
        for _ in 0..200 {
            let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
            stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: x\r\n").await.unwrap();
            slow.push(stream);
        }
        assert_eq!(get(bot, "/healthz", "").await.status(), 200, "others are served meanwhile");
        for mut stream in slow {
            let mut rest = Vec::new();
            let end = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut rest)).await;
            assert!(end.is_ok(), "a silent connection is ended");
        }
        let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
        let head = format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: {}\r\n\r\n", "a".repeat(64 * 1024));
        let _ = stream.write_all(head.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(!String::from_utf8_lossy(&answer).contains("200 OK"));
    }
}

bot_test! {
    async fn it_says_which_part_is_not_ready(bot: &mut Bot) {
        bot.configured(&config("")).await;
        let gone: Vec<u64> = ["pve1", "pve2", "pve3", "pve4", "pve5"]
            .iter()
            .map(|node| bot.trouble(proxmox_twin::Trouble::NodeDown { node: (*node).into() }))
            .collect();
        until("it says that it is not ready", async || {
            let answer = get(bot, "/readyz", "").await;
            answer.status() == 503
                && answer.text().await.is_ok_and(|t| t.contains("clusters: not ready\ncluster lab: not ready"))
        })
        .await;
        for trouble in gone {
            bot.proxmox.clear_trouble(trouble);
        }
        until("it is ready again", async || get(bot, "/readyz", "").await.status() == 200).await;
    }
}

/// Every string under a key of that name.
fn under<'v>(value: &'v Value, key: &str, found: &mut Vec<&'v str>) {
    match value {
        Value::Object(map) => {
            for (k, v) in map {
                match v.as_str().filter(|_| k == key) {
                    Some(text) => found.push(text),
                    None => under(v, key, found),
                }
            }
        }
        Value::Array(all) => all.iter().for_each(|v| under(v, key, found)),
        _ => {}
    }
}

/// Names of metrics in an expression: words that begin as ours do.
fn names(expression: &str) -> Vec<&str> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    expression
        .split(|c| !word(c))
        .filter(|w| w.starts_with("gantry_") || w.starts_with("process_"))
        .collect()
}

fn is_known(name: &str) -> bool {
    let histogram = |f: &gantry_http::Family| {
        f.kind == gantry_http::Kind::Histogram
            && ["_bucket", "_sum", "_count"].iter().any(|s| name.strip_suffix(s) == Some(f.name))
    };
    families()
        .iter()
        .any(|f| f.name == name && f.kind != gantry_http::Kind::Histogram || histogram(f))
}

#[test]
fn dashboards_and_rules_name_only_metrics_there_are() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seen = BTreeSet::new();
    for entry in std::fs::read_dir(root.join("config/dashboards")).unwrap() {
        let path = entry.unwrap().path();
        let board: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let name = path.display();
        assert!(board["uid"].as_str().is_some_and(|u| !u.is_empty() && u.len() <= 40), "{name}");
        assert!(
            board["title"].is_string() && board["schemaVersion"].as_u64() >= Some(36),
            "{name}"
        );
        let variables = board["templating"]["list"].as_array().unwrap();
        assert!(
            variables.iter().any(|v| v["name"] == "source" && v["type"] == "datasource"),
            "{name}"
        );
        let panels = board["panels"].as_array().unwrap();
        let mut ids = BTreeSet::new();
        let mut places = BTreeSet::new();
        for panel in panels {
            let title = panel["title"].as_str().unwrap();
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{name}: {title}: its id is taken");
            let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
            assert!(at("x") + at("w") <= 24 && at("h") > 0, "{name}: {title} is off the grid");
            for x in at("x")..at("x") + at("w") {
                for y in at("y")..at("y") + at("h") {
                    assert!(places.insert((x, y)), "{name}: {title} covers another panel");
                }
            }
            assert_eq!(panel["datasource"]["uid"], "${source}", "{name}: {title}");
            let targets = panel["targets"].as_array().unwrap();
            let refs: BTreeSet<&str> =
                targets.iter().map(|t| t["refId"].as_str().unwrap()).collect();
            assert_eq!(refs.len(), targets.len(), "{name}: {title}");
            assert!(!targets.is_empty(), "{name}: {title} asks nothing");
        }
        let mut expressions = Vec::new();
        under(&board, "expr", &mut expressions);
        under(&board["templating"], "query", &mut expressions);
        for expression in expressions {
            for metric in names(expression) {
                assert!(is_known(metric), "{name}: nothing is called {metric}");
                seen.insert(metric.to_owned());
            }
        }
    }
    let rules = std::fs::read_to_string(root.join("config/prometheus/gantry.rules.yml")).unwrap();
    for metric in rules.lines().filter(|l| l.trim().starts_with("expr:")).flat_map(names) {
        assert!(is_known(metric), "the rules: nothing is called {metric}");
    }
    assert!(seen.len() > 25, "{seen:?}");
    let docs = std::fs::read_to_string(root.join("docs/metrics.md")).unwrap();
    for family in families() {
        assert!(
            docs.contains(&format!("`{}`", family.name)),
            "docs/metrics.md lacks {}",
            family.name
        );
    }
    for metric in names(&docs) {
        let start = families().iter().any(|f| f.name.starts_with(metric));
        assert!(start || is_known(metric), "docs/metrics.md names {metric}, which there is not");
    }
}
