//! What an operator reads when something is wrong: each trouble, its line, its fix. Against the twins.

use std::fmt::Write as _;

use super::*;
use crate::config::Config;

/// A configuration for running twins, with `more` in the cluster's section.
struct Place {
    folder: tempfile::TempDir,
    discord: discord_twin::Twin,
    proxmox: proxmox_twin::Twin,
}

impl Place {
    async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let world = proxmox_twin::World::demo();
        let proxmox = proxmox_twin::Twin::start(proxmox_twin::Options::quick(world)).await.unwrap();
        let discord = discord_twin::Twin::start(discord_twin::Options::default()).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), proxmox.ca_pem()).unwrap();
        Self { folder, discord, proxmox }
    }

    fn loaded(&self, tls: &str, token: &str, secret: &str) -> Loaded {
        let text = self.text(tls, token, secret);
        Config::parse(&text, &self.folder.path().join("gantry.toml"), []).unwrap()
    }

    fn text(&self, tls: &str, token: &str, secret: &str) -> String {
        let mut text = format!(
            "[discord]\ntoken = \"{token}\"\napi_url = \"{}\"\n[[clusters]]\nid = \"lab\"\n",
            self.discord.url()
        );
        let _ = write!(
            text,
            "endpoints = {:?}\ntoken_id = \"gantry@pve!bot\"\ntoken_secret = \"{secret}\"\ntls = {tls}\n\
             [[policy.rules]]\nname = \"all\"\nroles = [1]\nverbs = [\"*\"]\non = [\"*\"]\n",
            self.proxmox.endpoints()
        );
        text
    }

    async fn report(&self, tls: &str) -> Report {
        let loaded = self.loaded(tls, &self.discord.token(), &self.proxmox.token().1);
        examine(&loaded).await
    }
}

const BY_CA: &str = "{ ca_file = \"ca.pem\" }";

fn line<'r>(report: &'r Report, subject: &str) -> &'r Line {
    report
        .lines
        .iter()
        .find(|l| l.subject == subject)
        .unwrap_or_else(|| panic!("no line about {subject}:\n{report}"))
}

#[test]
fn a_report_is_one_line_each_with_the_fix_below() {
    let mut report = Report::default();
    report.ok("database", "reachable");
    report.warn("policy", "no rules", "write some");
    report.fail("lab: token", "lacks VM.Audit", "first line\nsecond line");
    assert_eq!(
        report.to_string(),
        "ok    database    reachable\n\
         warn  policy      no rules\n\
         \x20                 fix: write some\n\
         FAIL  lab: token  lacks VM.Audit\n\
         \x20                 fix: first line\n\
         \x20                      second line\n\
         1 to mend.\n"
    );
    assert!(report.failed());
}

#[tokio::test]
async fn a_healthy_place_has_nothing_to_mend() {
    let place = Place::start().await;
    let report = place.report(BY_CA).await;
    assert!(!report.failed(), "{report}");
    assert!(line(&report, "discord: commands").text.contains("none is registered yet"));
    assert!(line(&report, "lab: TLS").text.contains("by the CA"));
    assert!(line(&report, "database").text.contains("the first start makes it"));
    assert!(!place.folder.path().join("gantry.db").exists(), "a doctor makes nothing");
    assert!(place.proxmox.changes().is_empty());
}

#[tokio::test]
async fn a_token_without_rights_is_told_with_the_lines_that_give_them() {
    let place = Place::start().await;
    place.proxmox.revoke("gantry@pve!bot");
    let report = place.report(BY_CA).await;
    let token = line(&report, "lab: token");
    assert_eq!(token.state, State::Fail);
    assert!(token.text.contains("privilege separation"), "{report}");
    let fix = token.fix.as_deref().unwrap();
    assert!(
        fix.contains("pveum acl modify / --tokens 'gantry@pve!bot' --roles Gantry")
            && fix.contains("pveum acl modify / --users gantry@pve --roles Gantry"),
        "{fix}"
    );
}

#[tokio::test]
async fn missing_privileges_are_named_with_what_needs_them() {
    let place = Place::start().await;
    place.proxmox.revoke("gantry@pve!bot");
    place.proxmox.role("Looker", &["VM.Audit", "Sys.Audit", "Datastore.Audit", "Pool.Audit"]);
    place.proxmox.grant("gantry@pve!bot", "/", "Looker");
    let report = place.report(BY_CA).await;
    let token = line(&report, "lab: token");
    assert_eq!(token.state, State::Fail, "{report}");
    assert!(token.text.contains("VM.PowerMgmt") && token.text.contains("guest.start"), "{report}");
    assert!(!token.text.contains("VM.Audit"), "{report}");
    assert!(token.fix.as_deref().unwrap().contains("pveum role modify Gantry --append 1"));
    assert!(line(&report, "lab: Sys.Modify").text.contains("/task cancel"));
}

#[tokio::test]
async fn wrong_secrets_are_told_apart() {
    let place = Place::start().await;
    let loaded = place.loaded(BY_CA, "not-the-token", "00000000-0000-0000-0000-000000000000");
    let report = examine(&loaded).await;
    assert_eq!(line(&report, "discord: token").state, State::Fail, "{report}");
    let failed: Vec<&Line> = report
        .lines
        .iter()
        .filter(|l| l.subject.starts_with("lab:") && l.state == State::Fail)
        .collect();
    assert_eq!(failed.len(), 1, "a wrong token is asked about once: {report}");
    assert!(failed[0].fix.as_deref().unwrap().contains("pveum user token add gantry@pve bot"));
    let text = report.to_string();
    assert!(!text.contains("not-the-token") && !text.contains("00000000-0000"), "{text}");
}

#[tokio::test]
async fn a_forum_that_wants_tags_is_looked_at() {
    use discord_twin::world::{ALERTS_CHANNEL, HOMELAB_GUILD};
    let place = Place::start().await;
    let look = async |tags: &[&str]| {
        if !tags.is_empty() {
            place.discord.becomes_forum(ALERTS_CHANNEL, tags);
        }
        let mut text = place.text(BY_CA, &place.discord.token(), &place.proxmox.token().1);
        let _ = write!(
            text,
            "[[alerts.servers]]\nguild = {HOMELAB_GUILD}\nchannel = {ALERTS_CHANNEL}\n"
        );
        let path = place.folder.path().join("gantry.toml");
        let report = examine(&Config::parse(&text, &path, []).unwrap()).await;
        let found = line(&report, &format!("discord: alerts in {HOMELAB_GUILD}"));
        (found.state, found.text.clone())
    };
    assert_eq!(look(&[]).await, (State::Ok, "#alerts".to_owned()));
    assert_eq!(look(&["Talk"]).await.0, State::Ok, "a forum that wants none");
    place.discord.requires_tags(ALERTS_CHANNEL);
    let (state, text) = look(&["Talk"]).await;
    assert_eq!(state, State::Warn, "{text}");
    assert!(text.contains("each gets “Talk”"), "{text}");
    assert_eq!(look(&["Talk", "Critical"]).await.0, State::Ok);
    place.discord.becomes_forum(ALERTS_CHANNEL, &[]);
    assert_eq!(look(&[]).await.0, State::Fail);
}

#[tokio::test]
async fn a_changed_certificate_is_told_with_the_one_that_was_seen() {
    let place = Place::start().await;
    let report =
        place.report(&format!("{{ fingerprints = [\"{}\"] }}", "AB:".repeat(31) + "AB")).await;
    let failed = report.lines.iter().find(|l| l.state == State::Fail).unwrap();
    let seen = place.proxmox.fingerprint("pve1").unwrap();
    let fix = failed.fix.as_deref().unwrap();
    assert!(fix.contains(&seen) && fix.contains("pvenode cert info"), "{report}");
}

#[tokio::test]
async fn an_unchecked_certificate_is_warned_of_with_the_pins_to_write() {
    let place = Place::start().await;
    let report = place.report("\"insecure\"").await;
    let tls = line(&report, "lab: TLS");
    assert_eq!(tls.state, State::Warn, "{report}");
    assert!(tls.fix.as_deref().unwrap().contains(&place.proxmox.fingerprint("pve1").unwrap()));
}

#[tokio::test]
async fn an_endpoint_that_is_down_is_one_line_and_the_rest_is_looked_at() {
    let place = Place::start().await;
    place.proxmox.trouble(proxmox_twin::Trouble::NodeDown { node: "pve1".to_owned() }).unwrap();
    let report = place.report(BY_CA).await;
    let failed = report.lines.iter().filter(|l| l.state == State::Fail).count();
    assert_eq!(failed, 1, "{report}");
    assert!(line(&report, "lab: nodes").text.contains("pve1"), "{report}");
    assert_eq!(line(&report, "lab: token").state, State::Ok, "{report}");
}

#[tokio::test]
async fn a_database_out_of_reach_is_told_without_its_password() {
    let place = Place::start().await;
    let mut loaded = place.loaded(BY_CA, &place.discord.token(), &place.proxmox.token().1);
    loaded.config.store.url =
        secrecy::Secret::new("postgres://gantry:canary-db@127.0.0.1:1/gantry".to_owned());
    let report = examine(&loaded).await;
    assert_eq!(line(&report, "database").state, State::Fail, "{report}");
    assert!(!report.to_string().contains("canary-db"), "{report}");
}

#[tokio::test]
async fn name_servers_are_looked_at_zone_by_zone() {
    let place = Place::start().await;
    let dns = dns_twin::DnsTwin::start("right").await.unwrap();
    dns.has_zone("lab.example.");
    let server = |name: &str, key: &str, zone: &str| {
        format!(
            "[[dns]]\nname = \"{name}\"\nprovider = \"powerdns\"\nurl = \"{}\"\nkey = \"{key}\"\nzones = [\"{zone}\"]\n",
            dns.url()
        )
    };
    let more = [
        server("good", "right", "lab.example"),
        server("bare", "right", "other.example"),
        server("shut", "wrong", "third.example"),
    ];
    let text = format!(
        "{}{}",
        place.text(BY_CA, &place.discord.token(), &place.proxmox.token().1),
        more.concat()
    );
    let loaded = Config::parse(&text, &place.folder.path().join("gantry.toml"), []).unwrap();
    let report = examine(&loaded).await;
    assert_eq!(line(&report, "dns good: lab.example").state, State::Ok);
    let bare = line(&report, "dns bare: other.example");
    assert!(bare.text.contains("has no zone other.example"), "{report}");
    assert_eq!(bare.fix.as_deref(), Some("Create the zone there, or correct zones in [[dns]]."));
    let shut = line(&report, "dns shut: third.example");
    assert!(shut.text.contains("does not accept the API key"), "{report}");
    assert!(!report.to_string().contains("wrong"), "a key is shown:\n{report}");
    assert_eq!(dns.writes(), Vec::<String>::new());
}
