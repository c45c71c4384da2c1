//! Held against the real thing: Prometheus scrapes gantry, Alertmanager tells it what fires, and is told what somebody
//! silenced in Discord. Needs Debian's packages prometheus and prometheus-alertmanager; left out loudly without, unless
//! `GANTRY_REQUIRE_PROMETHEUS` is set.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use proxmox_twin::Trouble;
use serde_json::Value;
use tempfile::TempDir;

use crate::alerts::{cards, config as alerts_config, told};
use crate::bot_test;
use crate::harness::{Bot, canary, until};
use crate::http::{TOKEN, client, config as http_config, metrics};

/// The secret Alertmanager brings.
const SECRET: &str = "canary-secret-of-the-real-alertmanager";

/// Whether the programs are here. Says so where not.
fn here(program: &str) -> bool {
    let there = Command::new(program).arg("--version").output().is_ok_and(|o| o.status.success());
    if !there {
        let required = std::env::var("GANTRY_REQUIRE_PROMETHEUS").is_ok_and(|v| v == "1");
        assert!(!required, "{program} is not installed");
        eprintln!(
            "\n!!!!!! no {program} here: the real Prometheus and Alertmanager are NOT TESTED\n"
        );
    }
    there
}

/// A program that ends with the test.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(program: &str, folder: &Path, arguments: &[String]) -> Daemon {
    let log = std::fs::File::create(folder.join(format!("{program}.log"))).unwrap();
    let child = Command::new(program)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn();
    Daemon(child.unwrap())
}

/// A port that nobody had a moment ago.
fn port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn promtool(arguments: &[&str], stdin: &str) -> Output {
    let mut child = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn clean(output: &Output) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
}

#[test]
fn promtool_finds_nothing_wrong_with_the_rules() {
    if !here("promtool") {
        return;
    }
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/config/prometheus/gantry.rules.yml");
    clean(&promtool(&["check", "rules", rules], ""));
}

/// The real pair, pointed at the bot.
struct Pair {
    prometheus: String,
    alertmanager: String,
    folder: TempDir,
    daemons: Vec<Daemon>,
}

impl Pair {
    /// Takes ports; nothing runs yet.
    fn new() -> Self {
        Self {
            prometheus: format!("127.0.0.1:{}", port()),
            alertmanager: format!("127.0.0.1:{}", port()),
            folder: tempfile::tempdir().unwrap(),
            daemons: Vec::new(),
        }
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn run(&mut self, bot: &Bot) {
        let http = bot.http();
        let target = http.trim_start_matches("http://");
        let am = &self.alertmanager;
        self.write(
            "prometheus.yml",
            &format!(
                "global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [rules.yml]\n\
                 alerting: {{alertmanagers: [{{static_configs: [{{targets: ['{am}']}}]}}]}}\n\
                 scrape_configs:\n- job_name: gantry\n  authorization: {{credentials: '{TOKEN}'}}\n  static_configs: [{{targets: ['{target}']}}]\n"
            ),
        );
        self.write(
            "rules.yml",
            "groups:\n- name: t\n  rules:\n  - alert: StorageNearlyFull\n    expr: gantry_storage_used_bytes / gantry_storage_size_bytes > 0.85\n    labels: {severity: error}\n    annotations: {summary: 'measured by Prometheus'}\n",
        );
        self.write(
            "alertmanager.yml",
            &format!(
                "route: {{receiver: gantry, group_by: [alertname, cluster], group_wait: 1s, group_interval: 2s, repeat_interval: 1h}}\n\
                 receivers:\n- name: gantry\n  webhook_configs:\n  - url: '{http}/hooks/alertmanager/prom'\n    send_resolved: true\n    http_config: {{authorization: {{credentials: '{SECRET}'}}}}\n"
            ),
        );
        let folder = self.folder.path();
        let flag = |name: &str, value: &str| format!("--{name}={value}");
        let am = [
            flag("config.file", "alertmanager.yml"),
            flag("storage.path", "am"),
            flag("web.listen-address", am),
            flag("cluster.listen-address", ""),
        ];
        let pm = [
            flag("config.file", "prometheus.yml"),
            flag("storage.tsdb.path", "tsdb"),
            flag("web.listen-address", &self.prometheus),
        ];
        self.daemons =
            vec![start("prometheus-alertmanager", folder, &am), start("prometheus", folder, &pm)];
    }

    async fn silences(&self, state: &str) -> Vec<Value> {
        let url = format!("http://{}/api/v2/silences", self.alertmanager);
        let Ok(answer) = client().get(url).send().await else { return Vec::new() };
        let all: Vec<Value> = answer.json().await.unwrap_or_default();
        all.into_iter().filter(|s| s["status"]["state"] == state).collect()
    }
}

bot_test! {
    async fn the_real_pair_scrapes_fires_is_silenced_and_resolves(bot: &mut Bot) {
        if !here("prometheus") || !here("prometheus-alertmanager") || !here("promtool") {
            return;
        }
        canary::watch_for(SECRET);
        let mut pair = Pair::new();
        let hook = format!(
            "[[http.hooks]]\nname = \"prom\"\nkind = \"alertmanager\"\ntoken = \"{SECRET}\"\nurl = \"http://{}\"\n",
            pair.alertmanager
        );
        bot.configured(&format!("{}{}", alerts_config(""), http_config(&hook))).await;
        bot.looks().await;
        clean(&promtool(&["check", "metrics"], &metrics(bot).await));
        pair.run(bot);

        // Prometheus has our figures.
        let query = format!("http://{}/api/v1/query?query=gantry_node_up", pair.prometheus);
        until("Prometheus has scraped gantry", async || {
            let Ok(answer) = client().get(&query).send().await else { return false };
            let said: Value = answer.json().await.unwrap_or_default();
            said["data"]["result"].as_array().is_some_and(|all| all.len() >= 3)
        })
        .await;

        // A storage fills: Prometheus sees it in our figures, Alertmanager tells, people read.
        let (node, storage) = ("pve1".to_owned(), "local-lvm".to_owned());
        let full = bot.trouble(Trouble::FillStorage { node, storage, percent: 90.0 });
        let message = told(bot, "StorageNearlyFull: pve1").await;
        bot.until_says(message, "measured by Prometheus").await;

        // Somebody silences it in Discord: it is silent there as well, by all its labels, once.
        let menu = bot.custom_id(message, "mute");
        let picked = bot.discord.select(message, "operator", &menu, &["24h"]).await.unwrap();
        assert_eq!(picked.error, None);
        until("Alertmanager has the silence", async || !pair.silences("active").await.is_empty()).await;
        let silences = pair.silences("active").await;
        assert_eq!(silences.len(), 1, "{silences:?}");
        assert!(silences[0]["comment"].as_str().is_some_and(|c| c.contains("[gantry si_")));
        let amtool = Command::new("amtool")
            .arg(format!("--alertmanager.url=http://{}", pair.alertmanager))
            .args(["silence", "query"])
            .output();
        if let Ok(output) = amtool {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(text.contains("StorageNearlyFull") && text.contains("gantry"), "amtool sees: {text}");
        }

        // It is over while it is silenced: Alertmanager tells nobody, gantry looks for itself.
        bot.proxmox.clear_trouble(full);
        bot.until_says(message, "Over").await;
        assert_eq!(cards(bot, "StorageNearlyFull"), 1);

        // Taken back here, taken back there.
        let mutes = bot.engine().mutes(gantry_core::id::GuildId(discord_twin::world::HOMELAB_GUILD)).await.unwrap();
        let id = mutes.first().unwrap().id.to_string();
        let ended = bot.admin().runs(&format!("/maintenance end id:{id}")).await;
        assert!(ended.text().contains("Ended"), "{}", ended.text());
        until("the silence is over there", async || pair.silences("active").await.is_empty()).await;
        assert_eq!(pair.silences("expired").await.len(), 1);
    }
}
