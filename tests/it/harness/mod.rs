//! The bench on which every test of the whole bot runs: both twins, a database, the real process.
//!
//! Only addresses, speeds and the clock differ from production. A test says what a person did and what they saw.

pub mod canary;
mod contract;
mod database;
mod guillotine;
mod outsider;
mod person;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use discord_twin::world as ids;
use gantry::config::Config;
use gantry_core::operation::Operation;
use gantry_engine::store::{AuditFilter, OpFilter};
use gantry_engine::{Clock, Engine, Witness};
use serde_json::Value;

pub use database::Database;
pub use guillotine::{Guillotine, moments, points};
pub use person::{Person, Reply};

/// How many clock seconds pass in one real second: pauses shrink, deadlines of real sockets do not.
const SPEED: f64 = 20.0;
/// Longest a test waits for anything, in real time.
pub const PATIENCE: Duration = Duration::from_secs(90);
/// The bot's token at the simulated Discord. Looked for in every log by the canary test.
pub const DISCORD_TOKEN: &str = "MTEwMDAwMDAwMDAwMDAwMDAwMQ.canary.discord-token-never-in-a-log";

/// The key of the simulated name server. Looked for in every log by the canary test.
pub const DNS_KEY: &str = "canary-key-of-the-name-server";

/// Runs a test twice: on SQLite and on PostgreSQL.
#[macro_export]
macro_rules! bot_test {
    ($(#[$meta:meta])* async fn $name:ident($bot:ident: &mut Bot) $body:block) => {
        async fn $name($bot: &mut $crate::harness::Bot) $body

        mod $name {
            $(#[$meta])*
            #[test]
            fn sqlite() {
                $crate::harness::run($crate::harness::Database::sqlite(), |mut bot| async move {
                    super::$name(&mut bot).await;
                    bot.close().await;
                });
            }

            $(#[$meta])*
            #[test]
            fn postgres() {
                let Some(database) = $crate::harness::Database::postgres() else { return };
                $crate::harness::run(database, |mut bot| async move {
                    super::$name(&mut bot).await;
                    bot.close().await;
                });
            }
        }
    };
}

/// Starts a bot on `database` and lets `test` have it.
pub fn run<F: Future<Output = ()>>(database: Database, test: impl FnOnce(Bot) -> F) {
    run_with(database, false, test);
}

/// The same at a Discord that keeps its limits, in real time: twenty times as tight for a bot whose clock is that fast.
pub fn run_limited<F: Future<Output = ()>>(database: Database, test: impl FnOnce(Bot) -> F) {
    run_with(database, true, test);
}

fn run_with<F: Future<Output = ()>>(database: Database, limits: bool, test: impl FnOnce(Bot) -> F) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    canary::install();
    canary::watch_for(DISCORD_TOKEN);
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async move {
        let bot = Bot::start(database, limits).await;
        test(bot).await;
    });
}

/// A running bot between its twins.
pub struct Bot {
    pub discord: discord_twin::Twin,
    pub proxmox: proxmox_twin::Twin,
    /// A name server with the zones `lab.example` and `0.0.10.in-addr.arpa`.
    pub dns: dns_twin::DnsTwin,
    pub clock: Clock,
    pub guillotine: Arc<Guillotine>,
    /// Whether the nodes have a node shell; read at the next start.
    pub shell: bool,
    database: Database,
    process: Option<Process>,
    /// A second process on the same database.
    other: Option<Process>,
    /// More configuration than every test has.
    more: String,
}

/// The bot's own runtime, so that killing it leaves nothing running.
struct Process {
    runtime: tokio::runtime::Runtime,
    running: gantry::Running,
}

impl Bot {
    /// Starts the twins and a bot that is connected and has read the cluster.
    pub async fn start(database: Database, limits: bool) -> Self {
        let discord = discord_twin::Twin::start(discord_twin::Options {
            token: DISCORD_TOKEN.into(),
            identify_window: Duration::from_millis(50),
            // Limits are real time; the bot's clock here is not. Most tests about limits make them as trouble.
            rate_limits: limits,
            global_per_second: if limits { 50 } else { 0 },
            ..discord_twin::Options::default()
        })
        .await
        .unwrap();
        let proxmox = proxmox_twin::Twin::start(proxmox_options()).await.unwrap();
        let dns = dns_twin::DnsTwin::start(DNS_KEY).await.unwrap();
        canary::watch_for(DNS_KEY);
        for zone in ["lab.example.", "0.0.10.in-addr.arpa."] {
            dns.has_zone(zone);
        }
        let mut bot = Self {
            discord,
            proxmox,
            dns,
            clock: Clock::adjustable(SPEED),
            guillotine: Arc::new(Guillotine::default()),
            shell: true,
            database,
            process: None,
            other: None,
            more: String::new(),
        };
        bot.begin().await;
        bot
    }

    /// Starts the process and waits until it is connected and has seen the cluster.
    pub async fn begin(&mut self) {
        self.begin_unread().await;
        let engine = self.engine();
        until("the cluster is read", async || engine.views().iter().all(|v| v.observed_ms > 0))
            .await;
    }

    /// Starts the process and waits until it is connected, whether it has seen the cluster or not.
    pub async fn begin_unread(&mut self) {
        assert!(self.process.is_none(), "the bot already runs");
        self.process = Some(self.launch().await);
        let discord = &self.discord;
        until("commands are registered", async || {
            discord.commands("admin", "#ops").is_ok_and(|all| !all.is_empty())
        })
        .await;
    }

    /// Starts a second process on the same database, as on another machine.
    pub async fn begin_other(&mut self) {
        assert!(self.other.is_none(), "there are two already");
        self.other = Some(self.launch().await);
        let engine = self.other_engine();
        until("the other one reads", async || engine.views().iter().all(|v| v.observed_ms > 0))
            .await;
    }

    /// `kill -9` of the first process; the other one is the bot from now on.
    pub fn kill_first(&mut self) {
        self.kill();
        self.process = self.other.take();
    }

    /// The engine of the second process.
    pub fn other_engine(&self) -> Engine {
        self.other.as_ref().expect("there are two").running.engine().clone()
    }

    async fn launch(&self) -> Process {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_stack_size(16 * 1024 * 1024) // as the program has it
            .thread_name("bot")
            .enable_all()
            .build()
            .unwrap();
        let deadline = std::time::Instant::now() + PATIENCE;
        let running = loop {
            let (config, clock) = (self.config(), self.clock.clone());
            let witness: Arc<dyn Witness> = self.guillotine.clone();
            let started = runtime
                .spawn(async move {
                    let mut running = gantry::build(&config, clock, witness).await?;
                    if let Err(ended) = running.connected().await {
                        panic!("the bot ended while starting: {ended:?}");
                    }
                    Ok::<_, gantry::running::Error>(running)
                })
                .await
                .unwrap();
            match started {
                Ok(running) => break running,
                // A process that was just killed may hold its lock for a moment.
                Err(error) if std::time::Instant::now() < deadline => {
                    eprintln!("not yet: {error}");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                Err(error) => panic!("the bot did not start: {error}"),
            }
        };
        Process { runtime, running }
    }

    fn config(&self) -> Config {
        let endpoints: Vec<String> =
            self.proxmox.endpoints().iter().map(|e| format!("\"{e}\"")).collect();
        let (token_id, token_secret) = self.proxmox.token();
        canary::watch_for(&token_secret);
        let text = format!(
            r##"
[discord]
token = "{DISCORD_TOKEN}"
api_url = "{discord}"
register = "global"

[store]
url = "{database}"

[[clusters]]
id = "lab"
endpoints = [{endpoints}]
token_id = "{token_id}"
token_secret = "{token_secret}"
tls = {{ ca_file = "{ca}" }}

[clusters.limits]
requests_per_second = 500
concurrent = 32

{shell}
[operations]
poll_s = 5
settle_s = 5

[[dns]]
name = "ns1"
provider = "powerdns"
zones = ["lab.example", "0.0.10.in-addr.arpa"]
url = "{dns}"
key = "{DNS_KEY}"

[images]
hosts = ["cloud.demo", "iso.demo", "templates.demo"]
registries = ["registry.demo", "docker.io"]

[health]
loopback = true

{policy}
{more}
"##,
            discord = self.discord.url(),
            dns = self.dns.url(),
            database = self.database.url(),
            endpoints = endpoints.join(", "),
            ca = self.database.file("ca.pem", &self.proxmox.ca_pem()).display(),
            policy = policy(),
            shell = self.shell_config(),
            more = self.more,
        );
        let path = PathBuf::from("test.toml");
        Config::parse(&text, &path, []).unwrap_or_else(|e| panic!("{e}")).config
    }

    /// The node shell of every node.
    fn shell_config(&self) -> String {
        if !self.shell {
            return String::new();
        }
        let key = self.proxmox.shell_key();
        // One line of the key is enough to find it in a log.
        canary::watch_for(key.lines().nth(2).unwrap());
        let nodes: Vec<String> = self
            .proxmox
            .shells()
            .into_iter()
            .map(|(node, at, key)| {
                format!("{node} = {{ address = \"{at}\", host_keys = [\"{key}\"] }}")
            })
            .collect();
        format!(
            "[clusters.node_shell]\nnodes = {{ {} }}\nprivate_key_file = \"{}\"\n",
            nodes.join(", "),
            self.database.file("node-key", &key).display()
        )
    }

    /// Starts anew without a node shell.
    pub async fn without_shell(&mut self) {
        self.shell = false;
        self.restart().await;
    }

    /// Ends the process as `kill -9` does: nothing more of it runs, nothing is put in order.
    pub fn kill(&mut self) {
        let process = self.process.take().expect("the bot runs");
        let Process { runtime, running } = process;
        runtime.shutdown_background();
        drop(running);
    }

    /// Kills and starts again. Leases of the dead process run out on the way.
    pub async fn restart(&mut self) {
        self.kill();
        self.clock.advance(Duration::from_secs(60));
        self.begin().await;
    }

    /// The bot's clock runs like any other from its next start on.
    pub fn real_clock(&mut self) {
        self.clock = Clock::adjustable(1.0);
    }

    /// The machine's time is set right: the next start's clock begins at the wall's time, before what was ahead of it.
    pub fn clock_set_right(&mut self) {
        self.clock = Clock::adjustable(SPEED);
    }

    /// Starts again with more configuration.
    pub async fn configured(&mut self, more: &str) {
        self.kill();
        self.more = more.to_owned();
        self.begin().await;
    }

    /// Stops politely and fails when something is left.
    pub async fn close(mut self) {
        for Process { runtime, running } in
            [self.process.take(), self.other.take()].into_iter().flatten()
        {
            let overran = runtime.spawn(running.stop()).await.unwrap();
            runtime.shutdown_background();
            assert!(overran.is_empty(), "did not stop in time: {overran:?}");
        }
        canary::check();
        contract::check(&self.discord.log());
    }

    /// The engine of the running process.
    pub fn engine(&self) -> Engine {
        self.process.as_ref().expect("the bot runs").running.engine().clone()
    }

    /// Where the HTTP side listens: `http://127.0.0.1:1234`.
    pub fn http(&self) -> String {
        let process = self.process.as_ref().expect("the bot runs");
        format!("http://{}", process.running.http_address().expect("[http] is configured"))
    }

    pub fn admin(&self) -> Person<'_> {
        Person::new(self, "admin")
    }

    pub fn operator(&self) -> Person<'_> {
        Person::new(self, "operator")
    }

    pub fn viewer(&self) -> Person<'_> {
        Person::new(self, "viewer")
    }

    /// Waits until no operation is open, and says which there were.
    pub async fn settle(&self) -> Vec<Operation> {
        let engine = self.engine();
        until("no operation is open", async || {
            let open = OpFilter { open_only: true, ..OpFilter::default() };
            engine.operations(&open, 0, 1).await.is_ok_and(|page| page.total == 0)
        })
        .await;
        engine.operations(&OpFilter::default(), 0, 100).await.unwrap().rows
    }

    /// Audit rows, oldest first: `event verb target – detail`.
    pub async fn audit(&self) -> Vec<String> {
        let mut rows = self.engine().audit(&AuditFilter::default(), 0, 100).await.unwrap().rows;
        rows.reverse();
        rows.iter().map(|r| format!("{} {} by {}", r.event.as_str(), r.verb, r.user_name)).collect()
    }

    /// What Proxmox really did, oldest first: `destroy 201`.
    pub fn changes(&self) -> Vec<String> {
        self.proxmox
            .changes()
            .iter()
            .filter(|c| c.user != "control")
            .map(|c| format!("{} {}", c.what, c.vmid.unwrap_or(0)))
            .collect()
    }

    /// The custom_id of the button or menu on `message` that does `action`.
    pub fn custom_id(&self, message: u64, action: &str) -> String {
        fn find(value: &Value, action: &str) -> Option<String> {
            let own = value["custom_id"].as_str();
            if let Some(id) = own.filter(|id| id.split(':').nth(2) == Some(action)) {
                return Some(id.to_owned());
            }
            let inner = value["components"].as_array().into_iter().flatten();
            inner.into_iter().find_map(|c| find(c, action))
        }
        let message = self.message(message);
        find(&message, action)
            .unwrap_or_else(|| panic!("nothing does {action} on: {}", text_of(&message)))
    }

    /// Makes trouble at Proxmox.
    pub fn trouble(&self, trouble: proxmox_twin::Trouble) -> u64 {
        self.proxmox.trouble(trouble).unwrap()
    }

    /// Somebody changes the cluster behind gantry's back.
    pub fn meddles(&self, order: &Value) {
        let order = serde_json::from_value(order.clone()).unwrap();
        self.proxmox.meddle(&order).unwrap();
    }

    /// Puts a running container into the cluster and lets the bot see it.
    pub async fn has_guest(&self, guest: proxmox_twin::GuestSpec) {
        self.proxmox.has(guest);
        self.looks().await;
    }

    /// Lets the bot read the cluster again.
    pub async fn looks(&self) {
        let engine = self.engine();
        for view in engine.views() {
            engine.refresh(&view.cluster, Duration::ZERO).await;
        }
    }

    /// The admin asks for a pod and fills in the form; the answer is the plan.
    pub async fn asks_for_pod(&self, name: &str) -> Reply {
        let image = format!("local:vztmpl/{}", proxmox_twin::DEBIAN_TEMPLATE);
        let form = self
            .admin()
            .runs(&format!("/pod create name:{name} image:{image} node:pve1 storage:local-lvm"))
            .await;
        self.admin().fills(&form, &serde_json::json!({ "address": "dhcp" })).await
    }

    /// Somebody deletes a message of the bot's.
    pub async fn delete_message(&self, message: u64) {
        let url = format!(
            "{}/api/v10/channels/{}/messages/{message}",
            self.discord.url(),
            ids::OPS_CHANNEL
        );
        let answer = reqwest::Client::builder()
            .build()
            .unwrap()
            .delete(url)
            .header("Authorization", format!("Bot {DISCORD_TOKEN}"))
            .header("User-Agent", "DiscordBot (https://example.invalid, 1)")
            .send()
            .await
            .unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
    }

    /// A message as it stands.
    pub fn message(&self, id: u64) -> Value {
        self.discord.message(id).unwrap_or_else(|| panic!("there is no message {id}"))
    }

    /// Waits until the message says `text`, and gives everything it says. Markdown's escapes are not part of what a
    /// reader sees.
    pub async fn until_says(&self, message: u64, text: &str) -> String {
        let mut last = String::new();
        let found = self
            .discord
            .until(PATIENCE, |twin| {
                last = twin.message(message).map(|m| text_of(&m)).unwrap_or_default();
                last.contains(text) || last.replace('\\', "").contains(text)
            })
            .await;
        assert!(found, "the message never said “{text}”; it says:\n{last}");
        last
    }
}

/// Everything a message says. A space that holds a number and its unit together reads like any other.
pub fn text_of(message: &Value) -> String {
    discord_twin::text_of(message).replace('\u{a0}', " ")
}

/// Waits until `ready` holds; fails with `what` when it never does.
pub async fn until(what: &str, mut ready: impl AsyncFnMut() -> bool) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !ready().await {
        assert!(std::time::Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A cluster whose tasks take milliseconds.
fn proxmox_options() -> proxmox_twin::Options {
    proxmox_twin::Options {
        speed: 0.02,
        unauthorised_delay: Duration::ZERO,
        proxy_timeout: Duration::from_secs(1),
        ..proxmox_twin::Options::default()
    }
}

/// Admins everything, operators the pools prod and lab and all pods, viewers read. In the other server everybody
/// reads what gantry did, here everybody what it did to guests tagged `mine`.
fn policy() -> String {
    format!(
        r#"
[[policy.rules]]
name = "admins may do everything"
roles = [{admin}]
verbs = ["*"]
on = ["*"]

[[policy.rules]]
name = "operators look"
roles = [{operator}]
verbs = ["read", "op.cancel"]
on = ["*"]

[[policy.rules]]
name = "operators run prod and lab"
roles = [{operator}]
verbs = ["guest.*", "pod.*", "task.cancel"]
on = ["pool:prod", "pool:lab", "tag:gantry"]

[[policy.rules]]
name = "critical stays"
effect = "deny"
roles = [{operator}]
verbs = ["guest.delete", "pod.delete"]
on = ["tag:critical"]

[[policy.rules]]
name = "viewers look"
roles = [{viewer}]
verbs = ["read"]
on = ["*"]

[[policy.rules]]
name = "the other server reads what was done"
roles = [{other}]
verbs = ["op.list", "op.show", "audit.list"]
on = ["*"]

[[policy.rules]]
name = "everybody reads what was done to their own"
roles = [{everyone}]
verbs = ["audit.list"]
on = ["tag:mine"]
"#,
        admin = ids::ADMIN_ROLE,
        operator = ids::OPERATOR_ROLE,
        viewer = ids::VIEWER_ROLE,
        other = ids::OTHER_GUILD,
        everyone = ids::HOMELAB_GUILD,
    )
}
