//! The command line. Parses, loads the configuration, starts logging, calls the right room, gives the exit code.
//!
//! The only room that prints to standard output. Called by `main`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

const AFTER_HELP: &str = "\
Start here:
  gantry demo                         try it: no token, no cluster, one page in the browser
  cp config/gantry.example.toml gantry.toml
  gantry config check                 every mistake at once, with what would be right
  gantry doctor                       database, Discord, every cluster: one line each, with the fix
  gantry run                          the bot

Exit codes:
  0  all went well
  1  doctor found something, or another failure
  2  command line or configuration wrong       (do not restart)
  3  database out of reach, in use or outdated
  4  Discord refused the bot: token, intents   (do not restart)
  5  a part of gantry ended that must not      (restart)
  6  Discord out of reach at the start         (restart later)

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
        use crate::exit;
        for code in [
            exit::OK,
            exit::FAILED,
            exit::USAGE,
            exit::DATABASE,
            exit::REFUSED,
            exit::BROKEN,
            exit::UNREACHABLE,
        ] {
            assert!(AFTER_HELP.contains(&format!("\n  {code}  ")), "{code} is not explained");
        }
    }
}
