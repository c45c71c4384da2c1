//! The demo: the real bot between a simulated Discord, a simulated cluster and a simulated name server.
//!
//! Everything in between is what `gantry run` does: it writes a configuration, loads it with the same loader and
//! builds the same process. Only this room knows the twins; `gantry run` never comes here. Called by `cli`.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gantry_engine::{Clock, Tracer};
use toml::{Table, Value};

use crate::cli::{self, Demo};
use crate::config::{Config, Format, Log};
use crate::supervise::asked_to_stop;
use crate::telemetry::{self, Secrets};
use crate::{exit, running};

/// The page's port when it is free.
pub const PORT: u16 = 8787;

/// What a small team would write; the addresses are added here.
const POLICY: &str = include_str!("../config/demo.toml");

/// The rules of its alerts, named in that file.
const RULES: &str = include_str!("../config/demo-alerts.toml");

/// The URL is printed after this at the latest, whether or not the bot is online yet: the page says which it is.
const READY_WITHIN: Duration = Duration::from_millis(1_500);

/// The zones of the simulated name server: one for names, and the reverse zone of the addresses that answer here.
const ZONES: [&str; 2] = ["lab.internal", "127.in-addr.arpa"];

/// A record that is somebody else's, for all to see that gantry leaves it alone.
const FOREIGN: (&str, &str) = ("nas.lab.internal.", "127.20.0.9");

/// Logs of the demo are for whoever looks for a mistake; the page shows the rest.
const LOG_FILTER: &str = "warn";

const TRY: &str = "
  As the admin, type      /pod create      and watch its card until the pod runs,
  then                    /pod delete      and type the pod's name to confirm.
  Become the operator: the same asks for a confirmation; guests tagged critical are not theirs to delete.
  Become the viewer: pressing somebody else's button is refused, with the reason.
  A service of several pods, from its image to its names in the DNS: docs/walkthrough.md.
  Side panel: kill a node, lose an answer, and look what the cards say.
  Alerts: open #alerts; fill a storage, take a node down and bring it back, stop a guest, let a backup fail. Acknowledge,
  silence, look at the graph; leave one alone for a minute and see who is called next. docs/alerts.md.

  Ctrl-C ends it.
";

/// Why there is no demo.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("cannot write {path}: {source}")]
    File { path: PathBuf, source: io::Error },
    #[error("the simulated cluster could not start: {0}")]
    Proxmox(#[from] proxmox_twin::Error),
    #[error("the simulated Discord could not start: {0}{cause}", cause = cause(.0))]
    Discord(#[from] discord_twin::Error),
    #[error("the simulated name server could not start: {0}")]
    Dns(io::Error),
    #[error("no key for the simulated name server: {0}")]
    Key(#[from] getrandom::Error),
    #[error("config/demo.toml is not as it must be: {0}")]
    Policy(String),
    #[error(transparent)]
    Config(#[from] crate::config::Error),
    #[error(transparent)]
    Build(#[from] running::Error),
}

fn cause(error: &discord_twin::Error) -> String {
    std::error::Error::source(error).map(|s| format!(" ({s})")).unwrap_or_default()
}

/// The simulated ends; they stop when dropped.
struct Twins {
    discord: discord_twin::Twin,
    proxmox: proxmox_twin::Twin,
    dns: dns_twin::DnsTwin,
    dns_key: String,
}

/// Runs the demo until a signal. Gives the exit code.
pub async fn run(options: Demo, secrets: &Secrets) -> u8 {
    telemetry::start(
        &Log { filter: LOG_FILTER.to_owned(), format: Format::Human, ..Log::default() },
        secrets,
    );
    let done = if options.twins_only {
        twins_only(&options, secrets).await
    } else {
        everything(&options, secrets).await
    };
    done.unwrap_or_else(|error| {
        cli::complain(&error.to_string());
        match error {
            Error::Build(error) => error.exit_code(),
            Error::Config(_) => exit::USAGE,
            _ => exit::FAILED,
        }
    })
}

async fn everything(options: &Demo, secrets: &Secrets) -> Result<u8, Error> {
    // Kept until the end: a scratch folder is removed when it is dropped.
    let scratch;
    let folder = match &options.state {
        Some(folder) => folder.clone(),
        None => {
            scratch = tempfile::Builder::new()
                .prefix("gantry-demo-")
                .tempdir()
                .map_err(|source| Error::File { path: std::env::temp_dir(), source })?;
            scratch.path().to_owned()
        }
    };
    let twins = Twins::start(options).await?;
    let config = twins.write_config(&folder, secrets)?;
    let mut config = Config::load(Some(&config))?.config;
    config.operations.poll_s = (config.operations.poll_s / u32::from(options.speed)).max(1);
    let mut running = running::build(&config, Clock::system(), Arc::new(Tracer)).await?;
    match tokio::time::timeout(READY_WITHIN, running.connected()).await {
        Ok(Err(ended)) => {
            cli::complain(&ended.to_string());
            running.stop().await;
            return Ok(ended.code);
        }
        Ok(Ok(())) => {}
        Err(_) => tracing::warn!("the bot is not online yet"),
    }
    cli::print(&format!("gantry demo is ready: {}/\n{TRY}", twins.discord.url()));
    Ok(cli::until_stopped(running).await)
}

async fn twins_only(options: &Demo, secrets: &Secrets) -> Result<u8, Error> {
    let folder = options.state.clone().unwrap_or_else(|| PathBuf::from("."));
    let twins = Twins::start(options).await?;
    let config = twins.write_config(&folder, secrets)?;
    cli::print(&format!(
        "The simulated Discord and cluster are ready: {}/\n\
         Cluster: {} (control: {})\n\n\
         Start the bot in another terminal, kill -9 it and start it again as you like:\n\n  \
         gantry run --config {}\n\n\
         Ctrl-C ends the simulation; what the simulated ends know is gone then.\n",
        twins.discord.url(),
        twins.proxmox.endpoints().join(" "),
        twins.proxmox.control_url(),
        config.display(),
    ));
    match asked_to_stop().await {
        Ok(_) => Ok(exit::OK),
        Err(source) => Err(Error::File { path: PathBuf::from("signals"), source }),
    }
}

impl Twins {
    /// Starts them; the page takes another port when its own is taken.
    async fn start(demo: &Demo) -> Result<Self, Error> {
        let proxmox = proxmox_twin::Twin::start(proxmox_twin::Options {
            speed: 1.0 / f64::from(demo.speed.max(1)),
            world: if demo.empty { empty() } else { proxmox_twin::World::demo() },
            ..proxmox_twin::Options::default()
        })
        .await?;
        let mut key = [0_u8; 16];
        getrandom::fill(&mut key)?;
        let dns_key: String = key.iter().map(|b| format!("{b:02x}")).collect();
        let dns = dns_twin::DnsTwin::start(&dns_key).await.map_err(Error::Dns)?;
        for zone in ZONES {
            dns.has_zone(&format!("{zone}."));
        }
        dns.has(FOREIGN.0, "A", 300, &[FOREIGN.1]);
        let options = |port| discord_twin::Options {
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            panel_url: Some(proxmox.control_url()),
            dns_url: Some(dns.control_url()),
            ..discord_twin::Options::default()
        };
        let discord = match discord_twin::Twin::start(options(demo.port)).await {
            Err(discord_twin::Error::Listen { source, .. })
                if source.kind() == io::ErrorKind::AddrInUse =>
            {
                discord_twin::Twin::start(options(0)).await?
            }
            other => other?,
        };
        Ok(Self { discord, proxmox, dns, dns_key })
    }

    /// Writes a configuration for `gantry run` with everything it names into `folder`. Gives its path.
    fn write_config(&self, folder: &Path, secrets: &Secrets) -> Result<PathBuf, Error> {
        let wrong = |what: &str| Error::Policy(what.to_owned());
        let mut config: Table = POLICY.parse().map_err(|e| Error::Policy(format!("{e}")))?;
        let discord = config
            .entry("discord")
            .or_insert_with(|| Table::new().into())
            .as_table_mut()
            .ok_or_else(|| wrong("[discord]"))?;
        discord.insert("api_url".to_owned(), self.discord.url().into());
        discord.insert("token_file".to_owned(), "discord-token".into());
        let cluster = config
            .get_mut("clusters")
            .and_then(|c| c.as_array_mut()?.first_mut()?.as_table_mut())
            .ok_or_else(|| wrong("[[clusters]]"))?;
        let (token_id, token_secret) = self.proxmox.token();
        let endpoints = self.proxmox.endpoints().into_iter().map(Value::from).collect();
        cluster.insert("endpoints".to_owned(), Value::Array(endpoints));
        cluster.insert("token_id".to_owned(), token_id.into());
        cluster.insert("token_secret_file".to_owned(), "cluster-token".into());
        let tls = Table::from_iter([("ca_file".to_owned(), Value::from("ca.pem"))]);
        cluster.insert("tls".to_owned(), tls.into());
        let nodes = self.proxmox.shells().into_iter().map(|(node, address, key)| {
            let end = [
                ("address".to_owned(), Value::from(address)),
                ("host_keys".to_owned(), Value::Array(vec![key.into()])),
            ];
            (node, Value::from(Table::from_iter(end)))
        });
        let shell = [
            ("nodes".to_owned(), Value::from(Table::from_iter(nodes))),
            ("private_key_file".to_owned(), "node-key".into()),
        ];
        cluster.insert("node_shell".to_owned(), Table::from_iter(shell).into());
        config.insert("dns".to_owned(), Value::Array(vec![self.name_server().into()]));

        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|source| Error::File { path: folder.to_owned(), source })?;
        secrets.add(&self.discord.token());
        secrets.add(&token_secret);
        let node_key = self.proxmox.shell_key();
        for line in node_key.lines().filter(|l| !l.starts_with("-----")) {
            secrets.add(line);
        }
        write(&folder.join("node-key"), &node_key)?;
        secrets.add(&self.dns_key);
        write(&folder.join("discord-token"), &self.discord.token())?;
        write(&folder.join("cluster-token"), &token_secret)?;
        write(&folder.join("dns-key"), &self.dns_key)?;
        write(&folder.join("ca.pem"), &self.proxmox.ca_pem())?;
        write(&folder.join("demo-alerts.toml"), RULES)?;
        let path = folder.join("gantry.toml");
        let text =
            format!("# Written by `gantry demo`; written again at its next start.\n\n{config}");
        write(&path, &text)?;
        Ok(path)
    }
}

/// The demo's nodes and storages with nothing on them.
fn empty() -> proxmox_twin::World {
    let mut world = proxmox_twin::World::demo();
    world.guests.clear();
    world.history.clear();
    for storage in &mut world.storages {
        storage.volumes.clear();
        storage.used = 0.02;
    }
    world
}

impl Twins {
    /// The simulated name server as a `[[dns]]` section.
    fn name_server(&self) -> Table {
        let zones = ZONES.iter().map(|z| Value::from(*z)).collect();
        Table::from_iter([
            ("name".to_owned(), "demo-dns".into()),
            ("provider".to_owned(), "powerdns".into()),
            ("zones".to_owned(), Value::Array(zones)),
            ("url".to_owned(), self.dns.url().into()),
            ("key_file".to_owned(), "dns-key".into()),
            // Pods of the demo answer on this machine.
            ("loopback".to_owned(), true.into()),
        ])
    }
}

/// Writes a file that only its owner may read.
fn write(path: &Path, text: &str) -> Result<(), Error> {
    let write = || {
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?;
        io::Write::write_all(&mut file, text.as_bytes())
    };
    write().map_err(|source| Error::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use discord_twin::world;
    use gantry_core::action::Verb;
    use gantry_core::id::{ChannelId, GuildId, RoleId, UserId};
    use gantry_core::policy::{Actor, Target, rule};

    fn at(port: u16) -> Demo {
        Demo { port, state: None, twins_only: false, empty: false, speed: 1 }
    }

    fn member(user: u64, role: u64) -> Actor {
        Actor {
            user: UserId(user),
            name: "somebody".to_owned(),
            roles: vec![RoleId(role), RoleId(world::HOMELAB_GUILD)],
            guild: GuildId(world::HOMELAB_GUILD),
            channel: ChannelId(world::OPS_CHANNEL),
            parent_channel: None,
        }
    }

    #[tokio::test]
    async fn the_demo_writes_a_configuration_that_run_accepts() {
        let twins = Twins::start(&at(0)).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let secrets = Secrets::default();
        let path = twins.write_config(folder.path(), &secrets).unwrap();
        let loaded = Config::load(Some(&path)).unwrap();
        assert_eq!(loaded.config.clusters[0].endpoints.len(), twins.proxmox.endpoints().len());
        assert_eq!(loaded.config.dns[0].zones.len(), ZONES.len());
        let alerts = &loaded.config.alerts;
        assert_eq!(alerts.routes[0].channel, ChannelId(world::ALERTS_CHANNEL));
        assert_eq!(alerts.rules.find("storage-full").map(|r| r.hold_s), Some(5), "quick ones");
        let policy = &loaded.config.policy;
        let may =
            |user, role, verb| rule(policy, &member(user, role), verb, Target::Any).is_allowed();
        for verb in Verb::ALL {
            assert!(may(world::ADMIN_USER, world::ADMIN_ROLE, *verb), "admin: {verb}");
            let viewer = may(world::VIEWER_USER, world::VIEWER_ROLE, *verb);
            assert_eq!(viewer, !verb.writes(), "viewer: {verb}");
        }
        assert!(may(world::OPERATOR_USER, world::OPERATOR_ROLE, Verb::PodCreate));
        assert!(may(world::OPERATOR_USER, world::OPERATOR_ROLE, Verb::GuestStop));
        assert!(may(world::OPERATOR_USER, world::OPERATOR_ROLE, Verb::AlertAck));
        assert!(!may(1, 2, Verb::GuestList), "strangers may nothing");
    }

    #[tokio::test]
    async fn the_page_takes_another_port_when_its_own_is_taken() {
        let holder = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = holder.local_addr().unwrap().port();
        let twins = Twins::start(&at(port)).await.unwrap();
        assert!(!twins.discord.url().ends_with(&format!(":{port}")), "{}", twins.discord.url());
    }
}
