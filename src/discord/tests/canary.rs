//! No secret in any log at TRACE: the bot's token and the tokens of interactions. Runs in a process of
//! its own, where its subscriber, with the ceiling that gantry must apply, sees everything.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;

use super::stub::{GatewayStub, Order, Rest, TOKEN, discord_answers, eventually};
use crate::discord::{
    Front, GatewaySettings, GatewayStatus, LOG_CEILING, PreflightSettings, lock, preflight, run,
};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.0).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Defers;

#[async_trait::async_trait]
impl serenity::framework::Framework for Defers {
    async fn dispatch(
        &self,
        context: serenity::client::Context,
        event: serenity::client::FullEvent,
    ) {
        if let serenity::client::FullEvent::InteractionCreate { interaction } = event {
            let _ = interaction.command().unwrap().defer(&context.http).await;
        }
    }
}

/// Set in the child process.
const INSIDE: &str = "GANTRY_TEST_INSIDE_CANARY";

#[test]
fn no_token_is_logged_at_trace() {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    let (_, module) = module_path!().split_once("::").unwrap();
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("{module}::no_token_is_logged_at_trace"), "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    assert!(child.status.success(), "{said}{}", String::from_utf8_lossy(&child.stderr));
    assert!(said.contains("1 passed"), "the child ran the test: {said}");
}

fn inside() {
    let log = Log::default();
    let to = log.clone();
    let ceiling = LOG_CEILING
        .iter()
        .fold(Targets::new().with_default(LevelFilter::TRACE), |all, (target, level)| {
            all.with_target(*target, *level)
        });
    let subscriber = tracing_subscriber::registry()
        .with(ceiling)
        .with(tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || to.clone()));
    // One thread, so that the thread's subscriber sees everything.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tracing::subscriber::with_default(subscriber, || {
        runtime.block_on(async {
            let gateway = GatewayStub::start(200).await;
            let url = gateway.url();
            let rest = Rest::start(move |seen| {
                let reply = discord_answers(&seen, &url, 1000);
                async { reply }
            })
            .await;
            let front = Front::start(rest.front_settings()).await.unwrap();
            let token = secrecy::Secret::new(TOKEN.to_owned());
            let questions = PreflightSettings {
                front_url: front.url().clone(),
                api_base: rest.url.clone(),
                token: token.clone(),
                identify_reserve: 0,
            };
            let told = preflight(&questions).await.unwrap();
            let settings = GatewaySettings::new(token, front.url().clone(), rest.url.clone());
            let status = GatewayStatus::default();
            let stop = CancellationToken::new();
            let running = {
                let (status, stop) = (status.clone(), stop.clone());
                tokio::spawn(async move { run(settings, Defers, &told, status, stop).await })
            };
            let up = || status.all_connected();
            eventually(Duration::from_secs(5), "connected", up).await;
            let answered = |id: u64| {
                let end = format!("canary-interaction-token-{id}/callback");
                rest.seen().iter().any(|seen| seen.path.ends_with(&end))
            };
            gateway.order(Order::Interaction(1));
            eventually(Duration::from_secs(3), "answered", || answered(1)).await;
            gateway.order(Order::Garbage);
            gateway.order(Order::Cut);
            eventually(Duration::from_secs(5), "resumed", || gateway.resumes() == 1 && up()).await;
            gateway.order(Order::Interaction(2));
            eventually(Duration::from_secs(3), "answered", || answered(2)).await;
            stop.cancel();
            running.await.unwrap().unwrap();
            front.stop().await;
            tracing::info!("end of the run");
        });
    });
    let text = String::from_utf8(lock(&log.0).clone()).unwrap();
    assert!(text.contains("TRACE"), "the log really is at TRACE");
    assert!(text.contains("/api/v10/interactions/1/***/callback"), "paths are logged, masked");
    assert!(text.contains("end of the run"));
    for canary in ["canary-", "Zm9v.YmFy"] {
        let line = text.lines().find(|line| line.contains(canary));
        assert!(line.is_none(), "{canary}: {line:?}");
    }
}
