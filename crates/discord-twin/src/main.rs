//! `discord-twin`: the simulated Discord as a program. Prints one line of JSON with its
//! addresses on stdout and runs until it is interrupted.

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use discord_twin::{Options, Twin, World};

/// A simulated Discord: gateway, REST v10, control API and a page, on one loopback port.
#[derive(Debug, Parser)]
struct Arguments {
    /// Port on 127.0.0.1; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// The bot token it accepts.
    #[arg(long, default_value = "demo-token")]
    token: String,
    /// This many small guilds instead of the demo world.
    #[arg(long)]
    guilds: Option<u64>,
    /// Shards recommended to the bot.
    #[arg(long, default_value_t = 1)]
    shards: u32,
    /// Identifies taken at once.
    #[arg(long, default_value_t = 1)]
    max_concurrency: u32,
    /// Control API of the simulated cluster, for the page's side panel.
    #[arg(long)]
    panel_url: Option<String>,
    /// Milliseconds between heartbeats.
    #[arg(long, default_value_t = 41_250)]
    heartbeat_ms: u64,
    /// Milliseconds of the identify pacing window.
    #[arg(long, default_value_t = 5000)]
    identify_window_ms: u64,
    /// Guilds a single shard may serve.
    #[arg(long, default_value_t = 2500)]
    guilds_per_shard: u64,
    /// Answers without rate limits.
    #[arg(long)]
    no_rate_limits: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let arguments = Arguments::parse();
    let mut options = Options {
        bind: SocketAddr::from(([127, 0, 0, 1], arguments.port)),
        token: arguments.token,
        world: arguments.guilds.map_or_else(World::demo, World::with_guilds),
        panel_url: arguments.panel_url,
        heartbeat_interval_ms: arguments.heartbeat_ms,
        identify_window: Duration::from_millis(arguments.identify_window_ms),
        shards: arguments.shards,
        guilds_per_shard: arguments.guilds_per_shard,
        rate_limits: !arguments.no_rate_limits,
        ..Options::default()
    };
    options.session_start_limit.max_concurrency = arguments.max_concurrency;
    let twin = match Twin::start(options).await {
        Ok(twin) => twin,
        Err(why) => {
            tracing::error!("{why}: {:?}", std::error::Error::source(&why));
            return ExitCode::FAILURE;
        }
    };
    let line = serde_json::json!({
        "url": twin.url(), "api": format!("{}/api/v10", twin.url()), "gateway": twin.gateway_url(),
    });
    // A reader that is gone does not matter; the twin serves whoever knows the port.
    drop(writeln!(std::io::stdout(), "{line}"));
    drop(tokio::signal::ctrl_c().await);
    twin.stop();
    ExitCode::SUCCESS
}
