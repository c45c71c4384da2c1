//! The twin as a program: prints its endpoints and token as one line of JSON and serves until it is stopped.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use proxmox_twin::{GuestSpec, Options, Twin, World};

/// Number of the first of `--guests`; above every guest of the worlds.
const FIRST_EXTRA: u32 = 20_000;

/// A simulated Proxmox VE cluster.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Port of the first node; the others follow. 0 = any free ones.
    #[arg(long, default_value_t = 8006)]
    port: u16,
    /// Port of the control API. 0 = any free one.
    #[arg(long, default_value_t = 8005)]
    control_port: u16,
    /// Factor on the durations of tasks; 1.0 is realistic.
    #[arg(long, default_value_t = 1.0)]
    speed: f64,
    /// Seconds every 401 waits.
    #[arg(long, default_value_t = 3.0)]
    unauthorised_delay: f64,
    /// Seconds until a call to a silent node ends in 595.
    #[arg(long, default_value_t = 30.0)]
    proxy_timeout: f64,
    /// Seed of everything that moves.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Begin without guests, with three nodes.
    #[arg(long)]
    empty: bool,
    /// This many running containers beside those of the world, spread over its nodes; for measurements.
    #[arg(long, default_value_t = 0)]
    guests: u32,
    /// Where to write the certificate authority.
    #[arg(long, default_value = "proxmox-twin-ca.pem")]
    ca_file: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the twin could not run");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> Result<(), Box<dyn std::error::Error>> {
    let seconds = |s: f64| Duration::try_from_secs_f64(s);
    let nodes = ["pve1", "pve2", "pve3"].map(str::to_owned).to_vec();
    let mut world = if args.empty { World::empty() } else { World::demo() };
    let names: Vec<String> = if world.nodes.is_empty() {
        nodes.clone()
    } else {
        world.nodes.iter().map(|node| node.name.clone()).collect()
    };
    for (n, node) in (0..args.guests).zip(names.iter().cycle()) {
        let guest = GuestSpec::lxc(FIRST_EXTRA + n, &format!("extra-{n}")).on(node).running();
        world.guests.push(guest.tags("extra"));
    }
    let options = Options {
        port: args.port,
        control_port: args.control_port,
        speed: args.speed,
        unauthorised_delay: seconds(args.unauthorised_delay)?,
        proxy_timeout: seconds(args.proxy_timeout)?,
        seed: args.seed,
        nodes,
        world,
        ..Options::default()
    };
    let twin = Twin::start(options).await?;
    std::fs::write(&args.ca_file, twin.ca_pem())?;
    let (token, secret) = twin.token();
    let line = serde_json::json!({
        "endpoints": twin.endpoints(),
        "ca_file": args.ca_file,
        "token_id": token,
        "token_secret": secret,
        "root_password": twin.root_password(),
        "control_url": twin.control_url(),
    });
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()?;
    drop(out);
    tokio::signal::ctrl_c().await?;
    twin.stop();
    Ok(())
}
