//! The command line. Parses, loads the configuration, starts logging, calls the right room, gives the exit code.
//!
//! The only room that prints to standard output. Called by `main`.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

#[cfg(feature = "demo")]
use clap::Args;
use clap::{Parser, Subcommand};
use gantry_engine::{Clock, Tracer};
use secrecy::ExposeSecret as _;

use crate::config::{Config, Format, Loaded, Log};
use crate::supervise::asked_to_stop;
use crate::telemetry::Secrets;
use crate::{doctor, exit, running, telemetry};

const AFTER_HELP: &str = "\
Start here:
  gantry demo                         try it: no token, no cluster, one page in the browser
  cp config/gantry.example.toml gantry.toml
  gantry config check                 every mistake at once, with what would be right
  gantry doctor                       database, Discord, every cluster: one line each, with the fix
  gantry run                          the bot

Exit codes:
  0   all went well
  1   doctor found something, or another failure
  2   command line or configuration wrong                  (do not restart)
  3   database out of reach, in use or outdated            (restart later)
  5   a part of gantry ended that must not                 (restart)
  20  Discord refused the token                            (do not restart)
  21  22  shards that cannot be, or too few of them        (do not restart)
  23  24  25  gateway version or intents refused           (do not restart)
  26  the day's gateway sessions are nearly used up        (do not restart)
  27  the API named a gateway that must not see the token  (do not restart)
  28  29  Discord out of reach, or the gateway runner failed (restart later)

Logs go to standard error. RUST_LOG=debug shows more.";

/// Chat-ops for Proxmox VE: slash commands, confirmed operations, truthful cards.
#[derive(Debug, Parser)]
#[command(name = "gantry", version, after_help = AFTER_HELP, max_term_width = 110, propagate_version = true)]
pub struct Cli {
    /// The configuration file [default: gantry.toml here, then /etc/gantry/gantry.toml].
    #[arg(long, short, global = true, env = "GANTRY_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the bot until SIGTERM or SIGINT; then stop within 10 s, with nothing lost.
    ///
    /// Operations in flight are parked in the database and go on at the next start.
    Run,

    /// Run the bot against a simulated Discord and a simulated cluster, and show both in the browser.
    ///
    /// Everything is real but the two ends: gateway websocket, REST calls, HTTPS to the cluster, the database.
    #[cfg(feature = "demo")]
    #[command(after_help = "Examples:
  gantry demo                                    everything in one process, nothing kept
  gantry demo --empty --speed 5                  nothing on the nodes, and no long waits
  gantry demo --state /tmp/gantry-demo           the database is kept in that folder
  gantry demo --twins-only --state /tmp/gantry-demo
                                                 only the simulated ends; then, in another terminal,
  gantry run --config /tmp/gantry-demo/gantry.toml
                                                 the bot: kill -9 it and start it again as you like")]
    Demo(Demo),

    /// Check everything gantry needs, one line each, with the exact fix.
    ///
    /// Configuration, database, Discord token, intents, session budget, commands; for every cluster each endpoint,
    /// TLS, version and the token's privileges.
    Doctor {
        /// Print JSON instead.
        #[arg(long)]
        json: bool,
    },

    /// Bring the database up to date and say what was done.
    Migrate,

    /// The configuration.
    #[command(subcommand)]
    Config(ConfigCommand),

    /// The slash commands.
    #[command(subcommand)]
    Commands(CommandsCommand),

    /// Print the commands that make Proxmox send its notifications to a webhook of gantry's.
    #[command(after_help = "Example:
  gantry webhook pve --url https://gantry.example.org")]
    Webhook {
        /// The webhook's name in the configuration, [[http.hooks]] of kind proxmox.
        hook: String,
        /// Where the nodes reach gantry.
        #[arg(long, value_name = "URL")]
        url: url::Url,
    },

    /// Print what stands on a node for the node shell: the script, or the unit that puts things back at boot.
    #[command(after_help = "Examples:
  gantry node-script | ssh root@pve1 'cat >/usr/local/sbin/gantry-node && chmod 755 /usr/local/sbin/gantry-node'
  gantry node-script --unit | ssh root@pve1 'cat >/etc/systemd/system/gantry-node.service'")]
    NodeScript {
        /// The systemd unit instead of the script.
        #[arg(long)]
        unit: bool,
    },
}

/// The demo's options.
#[cfg(feature = "demo")]
#[derive(Debug, Args)]
pub struct Demo {
    /// The page's port; another one is taken when it is in use.
    #[arg(long, default_value_t = crate::demo::PORT)]
    pub port: u16,
    /// Keep the database and the addresses in this folder.
    #[arg(long, value_name = "DIR")]
    pub state: Option<PathBuf>,
    /// Run only the simulated Discord and cluster, and write a configuration for `gantry run`.
    #[arg(long, requires = "state")]
    pub twins_only: bool,
    /// Begin with a cluster that has nodes and storages, and nothing on them.
    #[arg(long)]
    pub empty: bool,
    /// Simulated tasks take this many times less than real ones would (1 to 50), and the cluster is read as much
    /// more often.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=50))]
    pub speed: u8,
}

/// What can be done with the configuration.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum ConfigCommand {
    /// Read it and tell every mistake.
    Check,
    /// Print what applies and where each value comes from; secrets are masked.
    Show,
}

/// What can be done with the slash commands.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum CommandsCommand {
    /// Print every slash command with its options.
    List,
}

/// Runs the program.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { exit::USAGE } else { exit::OK };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    // One provider for every TLS connection of the process; a second call changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // Few threads: the work is waiting. Each thread costs memory that a small machine needs elsewhere.
    let threads = std::thread::available_parallelism().map_or(2, |n| n.get().clamp(2, THREADS_MAX));
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_stack_size(STACK)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            complain(&format!("cannot start: {error}"));
            return ExitCode::from(exit::FAILED);
        }
    };
    let code = runtime.block_on(dispatch(cli));
    // Whatever still runs was asked to stop already and had its time.
    runtime.shutdown_timeout(std::time::Duration::from_millis(200));
    ExitCode::from(code)
}

/// Most worker threads.
const THREADS_MAX: usize = 4;
/// Stack of a thread, bytes; only what is used takes memory. An unoptimised build needs more than the usual 2 MiB for
/// the longest walks (a plan made from a press, which reads a cluster and asks policy).
const STACK: usize = 16 * 1024 * 1024;

async fn dispatch(cli: Cli) -> u8 {
    let path = cli.config.as_deref();
    match cli.command {
        Command::Run => run(path).await,
        #[cfg(feature = "demo")]
        Command::Demo(demo) => {
            let secrets = Secrets::default();
            crate::demo::run(demo, &secrets).await
        }
        Command::Doctor { json } => doctor(path, json).await,
        Command::Migrate => migrate(path).await,
        Command::Config(ConfigCommand::Check) => match load(path) {
            Ok(loaded) => {
                let (clusters, rules) =
                    (loaded.config.clusters.len(), loaded.config.policy.rules.len());
                let nobody = match rules {
                    0 => {
                        "Without a rule nobody may do anything: add [[policy.rules]], see docs/policy.md.\n"
                    }
                    _ => "",
                };
                print(&format!(
                    "{}: in order (clusters: {clusters}, policy rules: {rules})\n{nobody}",
                    loaded.path.display()
                ))
            }
            Err(code) => code,
        },
        Command::Config(ConfigCommand::Show) => match load(path) {
            Ok(loaded) => print(&loaded.shown()),
            Err(code) => code,
        },
        Command::Commands(CommandsCommand::List) => print(&gantry_commands::commands_text()),
        Command::Webhook { hook, url } => webhook(path, &hook, &url),
        Command::NodeScript { unit: false } => print(gantry_nodeshell::SCRIPT),
        Command::NodeScript { unit: true } => print(gantry_nodeshell::BOOT_UNIT),
    }
}

async fn run(path: Option<&Path>) -> u8 {
    let loaded = match load(path) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let secrets = secrets_of(&loaded.config);
    telemetry::start(&loaded.config.log, &secrets);
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        config = %loaded.path.display(),
        clusters = loaded.config.clusters.len(),
        "gantry starts"
    );
    let config = loaded.config;
    match running::build(&config, Clock::system(), Arc::new(Tracer)).await {
        Ok(running) => until_stopped(running).await,
        Err(error) => {
            tracing::error!("gantry cannot start: {error}");
            error.exit_code()
        }
    }
}

/// Runs until a signal or until a part ends that must not; then stops in order.
pub(crate) async fn until_stopped(mut running: running::Running) -> u8 {
    let code = tokio::select! {
        signal = asked_to_stop() => match signal {
            Ok(signal) => {
                tracing::info!(signal, "stopping");
                exit::OK
            }
            Err(error) => {
                tracing::error!(%error, "signals cannot be received, so gantry could not be stopped in order");
                exit::FAILED
            }
        },
        ended = running.wait() => {
            tracing::error!(task = ended.task, "stopping: {ended}");
            ended.code
        }
    };
    running.stop().await;
    tracing::info!("stopped");
    code
}

async fn doctor(path: Option<&Path>, json: bool) -> u8 {
    let report = match Config::load(path) {
        Ok(loaded) => {
            // The report says all of it, in better words; RUST_LOG shows the log beside it.
            let quiet = Log { filter: "off".to_owned(), format: Format::Human, ..Log::default() };
            telemetry::start(&quiet, &secrets_of(&loaded.config));
            doctor::examine(&loaded).await
        }
        Err(error) => doctor::of_error(&error),
    };
    let text = if json {
        serde_json::to_string_pretty(&report).unwrap_or_default() + "\n"
    } else {
        report.to_string()
    };
    let printed = print(&text);
    if report.failed() { exit::FAILED } else { printed }
}

async fn migrate(path: Option<&Path>) -> u8 {
    let loaded = match load(path) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    // The file is the running gantry's: two that put it aside would put aside what the other one writes.
    let log = Log { file: None, ..loaded.config.log.clone() };
    telemetry::start(&log, &secrets_of(&loaded.config));
    let migrated = async {
        let store = gantry_store::Store::open(loaded.config.store.url.expose_secret()).await?;
        let names = store.migrate().await?;
        store.close().await;
        Ok::<_, gantry_store::StoreError>(names)
    };
    match migrated.await {
        Ok(names) if names.is_empty() => print("The database is up to date.\n"),
        Ok(names) => print(&names.iter().map(|n| format!("applied {n}\n")).collect::<String>()),
        Err(error) => {
            complain(&error.to_string());
            exit::DATABASE
        }
    }
}

fn webhook(path: Option<&Path>, name: &str, url: &url::Url) -> u8 {
    let loaded = match load(path) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let hooks = &loaded.config.http.hooks;
    let proxmox = |h: &&gantry_http::Hook| h.kind == gantry_http::HookKind::Proxmox;
    let Some(hook) = hooks.iter().filter(proxmox).find(|h| h.name == name) else {
        let known: Vec<&str> = hooks.iter().filter(proxmox).map(|h| h.name.as_str()).collect();
        complain(&format!(
            "there is no [[http.hooks]] of kind \"proxmox\" called {name}; there are: {}",
            if known.is_empty() { "none".to_owned() } else { known.join(", ") }
        ));
        return exit::USAGE;
    };
    print(&gantry_http::proxmox_commands(hook.cluster.as_str(), name, url.as_str()))
}

fn load(path: Option<&Path>) -> Result<Loaded, u8> {
    Config::load(path).map_err(|error| {
        complain(&error.to_string());
        exit::USAGE
    })
}

/// Everything in a configuration that must never be printed.
pub fn secrets_of(config: &Config) -> Secrets {
    let secrets = Secrets::default();
    secrets.add(config.discord.token.expose_secret());
    for cluster in &config.clusters {
        secrets.add(cluster.token_secret.expose_secret());
        // A log line holds no line break: the key is painted over line by line.
        for shell in cluster.node_shell.iter() {
            let key = shell.config().private_key;
            key.expose_secret()
                .lines()
                .filter(|l| !l.starts_with('-'))
                .for_each(|l| secrets.add(l));
        }
    }
    for dns in &config.dns {
        secrets.add(dns.key.expose_secret());
    }
    let http = &config.http;
    let hooks = http.hooks.iter().flat_map(|h| [Some(&h.token), h.url_token.as_ref()]);
    for secret in hooks.chain([http.token.as_ref()]).flatten() {
        secrets.add(secret.expose_secret());
    }
    if let Ok(url) = url::Url::parse(config.store.url.expose_secret())
        && let Some(password) = url.password()
    {
        secrets.add(password);
    }
    secrets
}

/// Prints to standard output; a reader that went away (`| head`) is no failure.
pub(crate) fn print(text: &str) -> u8 {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => exit::OK,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => exit::OK,
        Err(_) => exit::FAILED,
    }
}

pub(crate) fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "gantry: {text}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_names_every_exit_code() {
        let codes = [exit::OK, exit::FAILED, exit::USAGE, exit::DATABASE, exit::BROKEN];
        for code in codes.into_iter().chain(exit::DISCORD..exit::DISCORD + 10) {
            assert!(AFTER_HELP.contains(&format!("  {code}  ")), "{code} is not explained");
        }
    }
}
