//! The program as a service manager sees it: what it prints, when it ends, with which exit code.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use discord_twin::Twin as Discord;
use proxmox_twin::Twin as Proxmox;

/// Longest a stop may take.
const STOP_MAX: Duration = Duration::from_secs(10);
/// Longest anything here may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Twins in this process and a folder with a configuration for them.
struct Place {
    discord: Discord,
    proxmox: Proxmox,
    folder: tempfile::TempDir,
}

impl Place {
    async fn start() -> Self {
        let world = proxmox_twin::World::demo();
        let proxmox = Proxmox::start(proxmox_twin::Options::quick(world)).await.unwrap();
        let discord = Discord::start(discord_twin::Options::default()).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), proxmox.ca_pem()).unwrap();
        let place = Self { discord, proxmox, folder };
        place.write(&place.discord.url(), &place.discord.token(), "{ ca_file = \"ca.pem\" }");
        place
    }

    fn write(&self, api_url: &str, token: &str, tls: &str) {
        let (token_id, secret) = self.proxmox.token();
        let text = format!(
            "[discord]\napi_url = \"{api_url}\"\ntoken = \"{token}\"\n\
             [[clusters]]\nid = \"lab\"\nendpoints = {:?}\ntoken_id = \"{token_id}\"\ntoken_secret = \"{secret}\"\ntls = {tls}\n\
             [[policy.rules]]\nname = \"all\"\nroles = [{role}]\nverbs = [\"*\"]\non = [\"*\"]\n",
            self.proxmox.endpoints(),
            role = discord_twin::world::ADMIN_ROLE,
        );
        std::fs::write(self.config(), text).unwrap();
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("gantry.toml")
    }

    fn run(&self) -> Process {
        Process::start(&["run"], &self.config(), self.folder.path())
    }
}

fn gantry(words: &[&str], config: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gantry"));
    command.args(words).arg("--config").arg(config).env_remove("RUST_LOG");
    command
}

fn output(words: &[&str], config: &Path) -> (i32, String, String) {
    let Output { status, stdout, stderr } = gantry(words, config).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap_or(-1), text(stdout), text(stderr))
}

/// A gantry in a process of its own; killed when dropped.
struct Process {
    child: Child,
    log: PathBuf,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    fn start(words: &[&str], config: &Path, folder: &Path) -> Self {
        let log = folder.join(format!("log-{}", std::fs::read_dir(folder).unwrap().count()));
        let file = std::fs::File::create(&log).unwrap();
        let child = gantry(words, config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(file)
            .spawn()
            .unwrap();
        Self { child, log }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    async fn ended(&mut self) -> i32 {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(begin.elapsed() < PATIENCE, "it goes on:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn says(&mut self, words: &str) {
        let begin = Instant::now();
        while !self.log().contains(words) {
            let over = self.child.try_wait().unwrap();
            assert!(over.is_none(), "it ended ({over:?}) without saying {words}:\n{}", self.log());
            assert!(begin.elapsed() < PATIENCE, "it does not say {words}:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[test]
fn a_wrong_configuration_is_refused_with_every_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gantry.toml");
    std::fs::write(&path, "[discord]\ntokn = \"canary\"\n[log]\nformat = \"xml\"\n").unwrap();
    for words in [&["run"][..], &["config", "check"], &["migrate"]] {
        let (code, out, err) = output(words, &path);
        assert_eq!(code, 2, "{words:?}: {err}");
        assert_eq!(out, "");
        for part in ["did you mean `token`?", "log.format", "clusters: is missing"] {
            assert!(err.contains(part), "{words:?}: {err}");
        }
        assert!(!err.contains("canary"), "{err}");
    }
    let (code, _, err) = output(&["config", "check"], &folder.path().join("absent.toml"));
    assert_eq!(code, 2);
    assert!(err.contains("absent.toml"), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_shown_holds_no_secret() {
    let place = Place::start().await;
    let (code, out, err) = output(&["config", "show"], &place.config());
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("token = \"********\"  # file"), "{out}");
    assert!(!out.contains(&place.proxmox.token().1), "{out}");
    let (code, out, _) = output(&["config", "check"], &place.config());
    assert_eq!(code, 0);
    assert!(out.contains("in order (clusters: 1, policy rules: 1)"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_runs_until_it_is_asked_to_stop_and_keeps_a_second_one_out() {
    let place = Place::start().await;
    let mut first = place.run();
    first.says("connected to Discord").await;
    assert!(place.discord.bot_online());

    let mut second = place.run();
    assert_eq!(second.ended().await, 3, "{}", second.log());
    assert!(second.log().contains("in use by another gantry process"), "{}", second.log());

    let begin = Instant::now();
    first.signal("TERM");
    assert_eq!(first.ended().await, 0, "{}", first.log());
    assert!(begin.elapsed() < STOP_MAX, "{:?}", begin.elapsed());
    assert!(first.log().contains("stopped"), "{}", first.log());

    // And again on the same database, with the other signal.
    let mut third = place.run();
    third.says("connected to Discord").await;
    third.says("Unchanged").await;
    third.signal("INT");
    assert_eq!(third.ended().await, 0, "{}", third.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_discord_refuses_ends_it_with_a_code_of_its_own() {
    let place = Place::start().await;
    place.write(&place.discord.url(), "not-the-token-at-all", "{ ca_file = \"ca.pem\" }");
    let mut process = place.run();
    assert_eq!(process.ended().await, 20, "{}", process.log());
    assert!(process.log().contains("Discord refused the bot token"), "{}", process.log());
    assert!(!process.log().contains("not-the-token-at-all"), "{}", process.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_of_discord_is_waited_out_and_can_be_stopped() {
    let place = Place::start().await;
    // A port that nobody listens on.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    place.write(&format!("http://{free}"), "some-token-of-a-bot", "{ ca_file = \"ca.pem\" }");
    let mut process = place.run();
    process.says("trying again").await;
    let begin = Instant::now();
    process.signal("TERM");
    assert_eq!(process.ended().await, 0, "{}", process.log());
    assert!(begin.elapsed() < STOP_MAX);
}

#[tokio::test(flavor = "multi_thread")]
async fn unchecked_certificates_are_announced_on_every_start() {
    let place = Place::start().await;
    place.write(&place.discord.url(), &place.discord.token(), "\"insecure\"");
    for _ in 0..2 {
        let mut process = place.run();
        process.says("NOT checked").await;
        process.signal("TERM");
        process.ended().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_ends_with_a_code_and_speaks_json() {
    let place = Place::start().await;
    let (code, out, err) = output(&["doctor"], &place.config());
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("ok    discord: token"), "{out}");
    place.proxmox.revoke("gantry@pve!bot");
    let (code, out, _) = output(&["doctor", "--json"], &place.config());
    assert_eq!(code, 1);
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    let lines = report["lines"].as_array().unwrap();
    let token = lines.iter().find(|l| l["subject"] == "lab: token").unwrap();
    assert_eq!(token["state"], "fail");
    assert!(token["fix"].as_str().unwrap().contains("pveum acl modify"));
}

#[test]
fn run_knows_nothing_of_the_demo() {
    // The twins are reached from src/demo.rs only, and src/demo.rs from the command `demo` only.
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![src.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if path.file_name().is_some_and(|n| n != "tests") {
                    folders.push(path);
                }
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap();
            let name = path.strip_prefix(&src).unwrap().display().to_string();
            let twins = code.contains("discord_twin") || code.contains("proxmox_twin");
            assert!(
                !twins || name == "demo.rs" || name.ends_with("tests.rs"),
                "{name} reaches a twin"
            );
            let demo = code.contains("demo::");
            assert!(!demo || name == "cli.rs" || name == "demo.rs", "{name} reaches the demo");
        }
    }
}

/// Everything a message says.
fn says(discord: &Discord, message: u64) -> String {
    discord.message(message).map(|m| crate::harness::text_of(&m)).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_9_in_the_middle_of_an_operation_loses_and_doubles_nothing() {
    let place = Place::start().await;
    place.proxmox.has(proxmox_twin::GuestSpec::lxc(5000, "shop").running());
    let slow = proxmox_twin::Trouble::TaskSlow { task: "vzshutdown".into(), seconds: 4.0 };
    place.proxmox.trouble(slow).unwrap();
    let mut first = place.run();
    first.says("connected to Discord").await;
    first.says("cluster read").await;
    first.says("commands are registered").await;

    let asked = place.discord.run("admin", "#ops", "/guest stop guest:shop").await.unwrap();
    let message = asked.message_id().unwrap();
    let proposed =
        |twin: &Discord| twin.message(message).is_some_and(|m| m.to_string().contains(":confirm:"));
    assert!(place.discord.until(PATIENCE, proposed).await, "{}", says(&place.discord, message));
    place.discord.press(message, "admin", "Shut down shop").await.unwrap();
    let working = |twin: &Discord| says(twin, message).contains("Shutting down");
    assert!(place.discord.until(PATIENCE, working).await, "{}", says(&place.discord, message));
    first.child.kill().unwrap();
    first.child.wait().unwrap();

    let mut second = place.run();
    let done = |twin: &Discord| says(twin, message).contains("has shut down");
    assert!(
        place.discord.until(PATIENCE, done).await,
        "{}\n{}",
        says(&place.discord, message),
        second.log()
    );
    assert_eq!(place.proxmox.count("shutdown", 5000), 1);
    second.signal("TERM");
    assert_eq!(second.ended().await, 0, "{}", second.log());
}
