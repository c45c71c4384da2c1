//! The front and the gateway runner against the Discord twin, whose rules come from Discord's
//! documentation and not from us: limits, pacing, payload checks, close codes.

use std::time::Duration;

use async_trait::async_trait;
use discord_twin::world::{APPLICATION_ID, OPS_CHANNEL};
use discord_twin::{Options, Outcome, Trouble, Twin};
use futures::future::join_all;
use secrecy::Secret;
use serde_json::json;
use serenity::builder::CreateMessage;
use serenity::client::{Context, FullEvent};
use serenity::framework::Framework;
use serenity::http::Http;
use serenity::model::id::ChannelId;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::discord::{
    Front, FrontSettings, GatewayEnd, GatewaySettings, GatewayStatus, PreflightSettings, http,
    preflight, run,
};

struct Defers;

#[async_trait]
impl Framework for Defers {
    async fn dispatch(&self, context: Context, event: FullEvent) {
        if let FullEvent::InteractionCreate { interaction } = event {
            interaction.command().unwrap().defer(&context.http).await.unwrap();
        }
    }
}

struct Bot {
    twin: Twin,
    front: Front,
    http: Http,
    status: GatewayStatus,
    stop: CancellationToken,
    ended: JoinHandle<Result<(), GatewayEnd>>,
}

impl Bot {
    async fn start(options: Options, before: &[Trouble]) -> Self {
        let twin = Twin::start(options).await.unwrap();
        for trouble in before {
            twin.trouble(trouble.clone());
        }
        let token = Secret::new(twin.token());
        let api_base = Url::parse(&twin.url()).unwrap();
        let front = Front::start(FrontSettings {
            api_base: api_base.clone(),
            token: token.clone(),
            ..FrontSettings::default()
        })
        .await
        .unwrap();
        let told = preflight(&PreflightSettings {
            front_url: front.url().clone(),
            api_base: api_base.clone(),
            token: token.clone(),
            identify_reserve: 10,
        })
        .await
        .unwrap();
        assert_eq!(told.application_id, APPLICATION_ID);
        let client = http(front.url(), &token).unwrap();
        let settings = GatewaySettings::new(token, front.url().clone(), api_base);
        let (status, stop) = (GatewayStatus::default(), CancellationToken::new());
        let ended = {
            let (status, stop) = (status.clone(), stop.clone());
            tokio::spawn(async move { run(settings, Defers, &told, status, stop).await })
        };
        Self { twin, front, http: client, status, stop, ended }
    }

    async fn online() -> Self {
        let bot = Self::start(Options::default(), &[]).await;
        assert!(bot.twin.until_online(Duration::from_secs(10)).await);
        bot.command().await;
        bot
    }

    async fn command(&self) {
        let answer = reqwest::Client::builder()
            .no_proxy()
            .build()
            .unwrap()
            .put(self.front.url().join(&commands()).unwrap())
            .header("authorization", format!("Bot {}", self.twin.token()))
            .json(&json!([{"name": "ping", "description": "Answers", "type": 1}]))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    }

    async fn works(&self) {
        let answer = self.twin.run("admin", "#ops", "/ping").await.unwrap();
        assert_eq!(answer.outcome, Outcome::Deferred, "{answer:?}");
    }

    async fn stops(self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(6), self.ended).await;
        assert_eq!(ended.unwrap().unwrap(), Ok(()));
        self.front.stop().await;
        assert!(!self.status.all_connected());
    }
}

fn commands() -> String {
    format!("/api/v10/applications/{APPLICATION_ID}/commands")
}

#[tokio::test]
async fn a_command_goes_all_the_way_and_the_token_is_used_once_for_a_session() {
    let bot = Bot::online().await;
    bot.works().await;
    let callbacks = bot.twin.log().into_iter().filter(|entry| entry.path.ends_with("/callback"));
    assert_eq!(callbacks.count(), 1);
    assert_eq!(bot.twin.invalid_requests(), 0);
    bot.stops().await;
}

#[tokio::test]
async fn many_messages_to_one_channel_never_meet_a_429() {
    let bot = Bot::start(Options::default(), &[]).await;
    let channel = ChannelId::new(OPS_CHANNEL);
    let sent =
        join_all(
            (0..23).map(|n| {
                let http = &bot.http;
                async move {
                    channel.send_message(http, CreateMessage::new().content(n.to_string())).await
                }
            }),
        )
        .await;
    assert!(sent.iter().all(Result::is_ok), "{sent:?}");
    let texts: Vec<_> = bot
        .twin
        .messages(OPS_CHANNEL, "admin")
        .unwrap()
        .into_iter()
        .filter_map(|message| message["content"].as_str()?.parse::<u32>().ok())
        .collect();
    assert_eq!(texts.len(), 23);
    assert_eq!(bot.twin.invalid_requests(), 0);
    let stats = bot.front.stats();
    assert_eq!(stats.limited_user + stats.limited_global + stats.limited_shared, 0, "{stats:?}");
    bot.stops().await;
}

#[tokio::test]
async fn limits_of_every_scope_and_lost_reads_are_survived() {
    let bot = Bot::online().await;
    let channel = ChannelId::new(OPS_CHANNEL);
    for scope in ["user", "global", "shared"] {
        bot.twin.trouble(Trouble::RateLimit {
            route: "*".to_owned(),
            times: 2,
            retry_after_ms: 300,
            scope: scope.to_owned(),
        });
        let message = CreateMessage::new().content(scope);
        channel.send_message(&bot.http, message).await.unwrap();
    }
    bot.twin.trouble(Trouble::CutBefore { route: "*".to_owned(), times: 1 });
    channel.messages(&bot.http, serenity::builder::GetMessages::new().limit(1)).await.unwrap();
    bot.twin.trouble(Trouble::Error { route: "*".to_owned(), status: 502, times: 2, body: None });
    channel.messages(&bot.http, serenity::builder::GetMessages::new().limit(1)).await.unwrap();
    let stats = bot.front.stats();
    assert_eq!((stats.limited_user, stats.limited_global, stats.limited_shared), (2, 2, 2));
    assert_eq!(bot.twin.messages(OPS_CHANNEL, "admin").unwrap().len(), 3);
    bot.works().await;
    bot.stops().await;
}

#[tokio::test]
async fn a_callback_whose_answer_is_lost_still_counts_as_acknowledged() {
    let bot = Bot::online().await;
    let everything = "*".to_owned();
    for (index, (trouble, attempts)) in (0_u64..).zip([
        (Trouble::CutAfter { route: everything.clone(), times: 1 }, 2),
        (Trouble::CutBefore { route: everything.clone(), times: 1 }, 2),
        (Trouble::Hang { route: everything.clone(), ms: 20_000, times: 1 }, 1),
    ]) {
        bot.twin.clear_log();
        bot.twin.trouble(trouble.clone());
        bot.works().await;
        let repeated = |twin: &Twin| {
            let log = twin.log();
            log.iter().filter(|entry| entry.path.ends_with("/callback")).count() >= attempts
                && bot.front.stats().repeats == index + 1
        };
        let done = bot.twin.until(Duration::from_secs(3), repeated).await;
        assert!(done, "{trouble:?}: {:?}", bot.twin.log());
        let answered = |_: &Twin| bot.front.stats().ok == index + 6;
        assert!(bot.twin.until(Duration::from_secs(1), answered).await, "{:?}", bot.front.stats());
        let stats = bot.front.stats();
        assert_eq!((stats.client_errors, stats.server_errors), (0, 0), "{trouble:?}");
    }
    bot.stops().await;
}

#[tokio::test]
async fn trouble_at_the_gateway_is_survived_without_needless_identifies() {
    let bot = Bot::start(Options { heartbeat_interval_ms: 1_000, ..Options::default() }, &[]).await;
    assert!(bot.twin.until_online(Duration::from_secs(10)).await);
    bot.command().await;
    for (trouble, seconds) in [
        (Trouble::Reconnect, 5),
        (Trouble::CutTcp, 5),
        (Trouble::Close { code: 4000 }, 5),
        (Trouble::Zombie, 7),
        (Trouble::InvalidSession { resumable: true }, 7),
        (Trouble::InvalidSession { resumable: false }, 10),
        (Trouble::Close { code: 4009 }, 10),
    ] {
        let before = reconnects(&bot);
        bot.twin.trouble(trouble.clone());
        let back = bot
            .twin
            .until(Duration::from_secs(seconds), |twin| {
                reconnects(&bot) > before && bot.status.all_connected() && twin.bot_online()
            })
            .await;
        assert!(back, "{trouble:?}: {:?}", bot.status.shards());
        bot.works().await;
    }
    assert_eq!(bot.status.shards()[0].identifies, 3, "the first, and the two that need one");
    bot.stops().await;
}

fn reconnects(bot: &Bot) -> u32 {
    bot.status.shards().iter().map(|line| line.identifies + line.resumes).sum()
}

#[tokio::test]
async fn fatal_close_codes_end_the_runner() {
    for (code, exit) in [(4004, 20), (4010, 21), (4011, 22), (4012, 23), (4013, 24), (4014, 25)] {
        let trouble = Trouble::CloseIdentify { code, times: 10 };
        let bot = Bot::start(Options::default(), &[trouble]).await;
        let ended = tokio::time::timeout(Duration::from_secs(8), bot.ended).await;
        assert_eq!(ended.unwrap().unwrap().unwrap_err().exit_code(), exit, "{code}");
        assert_eq!(bot.status.shards()[0].identifies, 1);
    }
}

#[tokio::test]
async fn a_bot_with_two_shards_gets_both() {
    let bot = Bot::start(Options { shards: 2, ..Options::default() }, &[]).await;
    let both = bot.twin.until(Duration::from_secs(20), |_| bot.status.all_connected()).await;
    assert!(both, "{:?}", bot.status.shards());
    assert_eq!(bot.status.shards().len(), 2);
    bot.stops().await;
}
