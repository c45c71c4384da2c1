//! The gateway runner with real serenity against the stub: it comes back from what it can, ends with
//! the right words from what it cannot, and never tells the token to a stranger.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serenity::client::{Context, FullEvent};
use serenity::framework::Framework;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::stub::{GatewayStub, Order, Rest, TOKEN, Then, discord_answers, eventually};
use crate::discord::{
    Front, GatewayEnd, GatewaySettings, GatewayStatus, PreflightError, PreflightSettings, Shards,
    Stage, lock, preflight, run,
};

/// Records interactions, and answers each with a deferral.
struct Recorder {
    interactions: Arc<Mutex<Vec<u64>>>,
}

#[async_trait]
impl Framework for Recorder {
    async fn dispatch(&self, context: Context, event: FullEvent) {
        if let FullEvent::InteractionCreate { interaction } = event {
            lock(&self.interactions).push(interaction.id().get());
            let command = interaction.command().unwrap();
            command.defer(&context.http).await.unwrap();
        }
    }
}

struct Bot {
    gateway: GatewayStub,
    rest: Rest,
    front: Front,
    status: GatewayStatus,
    stop: CancellationToken,
    interactions: Arc<Mutex<Vec<u64>>>,
    counted: Arc<AtomicU32>,
    remaining: Arc<AtomicU32>,
    ended: JoinHandle<Result<(), GatewayEnd>>,
}

struct Setup {
    interval_ms: u64,
    shards: Shards,
    on_identify: Then,
    remaining: u32,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            interval_ms: 1_000,
            shards: Shards::Auto,
            on_identify: Then::Accept,
            remaining: 1000,
        }
    }
}

async fn rest_for(gateway: &GatewayStub, remaining: &Arc<AtomicU32>) -> Rest {
    let url = gateway.url();
    let remaining = Arc::clone(remaining);
    Rest::start(move |seen| {
        let reply = discord_answers(&seen, &url, remaining.load(Ordering::SeqCst));
        async { reply }
    })
    .await
}

fn questions(front: &Front, rest: &Rest) -> PreflightSettings {
    PreflightSettings {
        front_url: front.url().clone(),
        api_base: rest.url.clone(),
        token: secrecy::Secret::new(TOKEN.to_owned()),
        identify_reserve: 50,
    }
}

impl Bot {
    async fn start(setup: Setup) -> Self {
        let gateway = GatewayStub::start(setup.interval_ms).await;
        *lock(&gateway.on_identify) = setup.on_identify;
        let remaining = Arc::new(AtomicU32::new(setup.remaining));
        let rest = rest_for(&gateway, &remaining).await;
        let front = Front::start(rest.front_settings()).await.unwrap();
        let told = preflight(&questions(&front, &rest)).await.unwrap();
        let status = GatewayStatus::default();
        let stop = CancellationToken::new();
        let interactions = Arc::<Mutex<Vec<u64>>>::default();
        let counted = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&counted);
        let mut settings = GatewaySettings::new(
            secrecy::Secret::new(TOKEN.to_owned()),
            front.url().clone(),
            rest.url.clone(),
        );
        settings.shards = setup.shards;
        settings.ready_timeout = Duration::from_millis(700);
        settings.count_identify = Arc::new(move |_| {
            let count = Arc::clone(&count);
            Box::pin(async move {
                count.fetch_add(1, Ordering::SeqCst);
            })
        });
        let recorder = Recorder { interactions: Arc::clone(&interactions) };
        let ended = {
            let (status, stop) = (status.clone(), stop.clone());
            tokio::spawn(async move { run(settings, recorder, &told, status, stop).await })
        };
        Self { gateway, rest, front, status, stop, interactions, counted, remaining, ended }
    }

    async fn connected() -> Self {
        let bot = Self::start(Setup::default()).await;
        bot.comes_up(Duration::from_secs(5)).await;
        bot
    }

    async fn comes_up(&self, within: Duration) -> Duration {
        let took = eventually(within, "connected", || self.status.all_connected()).await;
        assert!(!self.ended.is_finished());
        took
    }

    async fn goes_down(&self) {
        eventually(Duration::from_secs(5), "noticed", || !self.status.all_connected()).await;
    }

    /// A command reaches the framework and its answer reaches Discord.
    async fn works(&self, id: u64) {
        self.gateway.order(Order::Interaction(id));
        eventually(Duration::from_secs(3), "dispatched", || lock(&self.interactions).contains(&id))
            .await;
        let path = format!("/api/v10/interactions/{id}/canary-interaction-token-{id}/callback");
        eventually(Duration::from_secs(3), "acknowledged", || {
            self.rest.seen().iter().any(|seen| seen.path == path)
        })
        .await;
    }

    async fn stops(self) -> GatewayStub {
        self.stop.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(6), self.ended).await;
        assert_eq!(ended.unwrap().unwrap(), Ok(()));
        self.front.stop().await;
        self.gateway
    }
}

#[tokio::test]
async fn a_command_is_answered_at_once_after_ready() {
    let bot = Bot::connected().await;
    let started = Instant::now();
    bot.works(77).await;
    assert!(started.elapsed() < Duration::from_secs(1));
    let identify = lock(&bot.gateway.record).payloads[0].clone();
    assert_eq!(identify["intents"], 0);
    assert_eq!(identify["token"], TOKEN);
    assert_eq!(bot.counted.load(Ordering::SeqCst), 1);
    // Heartbeats cross, so a latency is known.
    eventually(Duration::from_secs(3), "a latency", || bot.status.shards()[0].latency.is_some())
        .await;
    let gateway = bot.stops().await;
    eventually(Duration::from_secs(1), "a clean goodbye", || {
        lock(&gateway.record).close_codes == [Some(1000)]
    })
    .await;
}

#[tokio::test]
async fn it_comes_back_from_everything_that_can_be_mended() {
    let bot = Bot::connected().await;
    let mut id = 100;
    for (order, fresh) in [
        (Order::Reconnect, false),
        (Order::Cut, false),
        (Order::Close(4000), false),
        (Order::Close(4008), false),
        (Order::Close(1001), false),
        (Order::Freeze, false),
        (Order::Invalid(true), false),
        (Order::Cut, false),
        (Order::Invalid(false), true),
        (Order::Close(4009), true),
    ] {
        let (identifies, resumes) = (bot.gateway.identifies(), bot.gateway.resumes());
        bot.gateway.order(order.clone());
        let noticed = eventually(Duration::from_secs(3), "noticed", || {
            bot.status.shards()[0].stage != Stage::Connected
                || bot.gateway.resumes() > resumes
                || bot.gateway.identifies() > identifies
        })
        .await;
        // A dead connection is noticed within 1.5 heartbeats; the rest at once.
        assert!(noticed < Duration::from_millis(1_700), "{order:?} noticed after {noticed:?}");
        let bar = Duration::from_secs(if fresh { 10 } else { 5 });
        eventually(bar, "back", || {
            bot.status.all_connected()
                && bot.gateway.resumes() + bot.gateway.identifies() > resumes + identifies
        })
        .await;
        assert_eq!(bot.gateway.identifies(), identifies + usize::from(fresh), "{order:?}");
        assert_eq!(bot.gateway.resumes(), resumes + usize::from(!fresh), "{order:?}");
        id += 1;
        bot.works(id).await;
    }
    assert_eq!(lock(&bot.interactions).len(), 10);
    bot.stops().await;
}

#[tokio::test]
async fn an_event_missed_while_away_comes_once_and_a_repeated_one_never() {
    let bot = Bot::connected().await;
    bot.works(1).await;
    bot.gateway.order(Order::Again(2));
    bot.gateway.order(Order::Garbage);
    bot.works(3).await;
    assert_eq!(*lock(&bot.interactions), [1, 3]);
    bot.stops().await;
}

#[tokio::test]
async fn a_command_that_serenity_cannot_read_is_answered_all_the_same() {
    let bot = Bot::connected().await;
    bot.gateway.order(Order::StrangeInteraction(9));
    eventually(Duration::from_secs(3), "answered", || {
        bot.rest.seen().iter().any(|seen| seen.path.ends_with("token-9/callback"))
    })
    .await;
    let seen = bot.rest.seen();
    let answer = seen.iter().find(|seen| seen.path.ends_with("token-9/callback")).unwrap();
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(body["type"], 4);
    assert_eq!(body["data"]["flags"], 64);
    assert!(lock(&bot.interactions).is_empty());
    bot.stops().await;
}

#[tokio::test]
async fn a_refused_resume_ends_in_a_new_session() {
    let bot = Bot::connected().await;
    *lock(&bot.gateway.on_resume) = Then::Invalid;
    bot.gateway.order(Order::Cut);
    bot.goes_down().await;
    bot.comes_up(Duration::from_secs(12)).await;
    assert_eq!((bot.gateway.identifies(), bot.gateway.resumes()), (2, 1));
    bot.works(1).await;
    bot.stops().await;
}

#[tokio::test]
async fn close_codes_that_cannot_be_mended_end_the_process_after_one_identify() {
    let bits = 0;
    let mut codes = std::collections::HashSet::new();
    for (close, wanted) in [
        (4004, GatewayEnd::BadToken),
        (4010, GatewayEnd::BadShard { shard: 0, total: 1 }),
        (4011, GatewayEnd::ShardingRequired { total: 1 }),
        (4012, GatewayEnd::BadVersion),
        (4013, GatewayEnd::BadIntents { bits }),
        (4014, GatewayEnd::DisallowedIntents { bits }),
    ] {
        let bot = Bot::start(Setup { on_identify: Then::Close(close), ..Setup::default() }).await;
        let ended = tokio::time::timeout(Duration::from_secs(8), bot.ended).await;
        let end = ended.unwrap().unwrap().unwrap_err();
        assert_eq!(end, wanted);
        assert!(codes.insert(end.exit_code()));
        assert!(end.to_string().ends_with('.'), "a sentence: {end}");
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(bot.gateway.identifies(), 1, "{close}: one identify, no loop");
        assert_eq!(lock(&bot.gateway.record).open, 0);
    }
}

#[tokio::test]
async fn a_fatal_close_in_the_middle_of_a_session_ends_it_too() {
    let bot = Bot::connected().await;
    bot.gateway.order(Order::Close(4014));
    let ended = tokio::time::timeout(Duration::from_secs(8), bot.ended).await;
    assert!(matches!(ended.unwrap().unwrap(), Err(GatewayEnd::DisallowedIntents { .. })));
}

#[tokio::test]
async fn identifies_that_lead_nowhere_are_few_and_end_in_words() {
    let bot = Bot::start(Setup { on_identify: Then::Nothing, ..Setup::default() }).await;
    let ended = tokio::time::timeout(Duration::from_secs(60), bot.ended).await;
    let end = ended.unwrap().unwrap().unwrap_err();
    assert!(matches!(&end, GatewayEnd::CannotConnect { shard: 0, .. }), "{end:?}");
    assert_eq!(bot.gateway.identifies(), 5);
    assert_eq!(bot.counted.load(Ordering::SeqCst), 5);
    let times: Vec<_> = lock(&bot.gateway.record).identifies.iter().map(|i| i.2).collect();
    for pair in times.windows(2) {
        assert!(pair[1] - pair[0] >= Duration::from_secs(5), "spaced as Discord asks");
    }
}

#[tokio::test]
async fn exactly_the_named_shards_connect() {
    let shards = Shards::Range { first: 1, last: 2, total: 4 };
    let bot = Bot::start(Setup { shards, ..Setup::default() }).await;
    bot.comes_up(Duration::from_secs(15)).await;
    // Longer than serenity's 5 s between two shards: a third would show.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let seen: Vec<_> =
        lock(&bot.gateway.record).identifies.iter().map(|(shard, of, _)| (*shard, *of)).collect();
    assert_eq!(seen, [(1, 4), (2, 4)]);
    assert_eq!(bot.status.shards().iter().map(|line| line.shard).collect::<Vec<_>>(), [1, 2]);
    bot.stops().await;
}

#[tokio::test]
async fn impossible_shards_are_refused_before_anything_is_sent() {
    let shards = Shards::Range { first: 2, last: 4, total: 4 };
    let bot = Bot::start(Setup { shards, ..Setup::default() }).await;
    assert_eq!(bot.ended.await.unwrap(), Err(GatewayEnd::BadShard { shard: 4, total: 4 }));
    assert_eq!(lock(&bot.gateway.record).connections, 0);
}

#[tokio::test]
async fn a_gateway_elsewhere_is_refused_and_never_dialled() {
    for elsewhere in
        ["ws://127.0.0.9:1/", "wss://gateway.discord.gg", "wss://example.org", "http://127.0.0.1"]
    {
        let rest =
            Rest::start(move |seen| async move { discord_answers(&seen, elsewhere, 1000) }).await;
        let front = Front::start(rest.front_settings()).await.unwrap();
        let refused = preflight(&questions(&front, &rest)).await.unwrap_err();
        assert!(matches!(&refused, PreflightError::WrongGateway(_)), "{elsewhere}: {refused:?}");
        assert!(matches!(refused.into_end(), GatewayEnd::WrongGateway(_)));
    }
}

#[tokio::test]
async fn without_sessions_left_nothing_is_connected() {
    for remaining in [0, 50] {
        let gateway = GatewayStub::start(1_000).await;
        let rest = rest_for(&gateway, &Arc::new(AtomicU32::new(remaining))).await;
        let front = Front::start(rest.front_settings()).await.unwrap();
        let refused = preflight(&questions(&front, &rest)).await.unwrap_err();
        assert!(matches!(refused, PreflightError::Budget { .. }), "{refused:?}");
        assert!(refused.to_string().contains("2 h 0 min"), "{refused}");
    }
}

#[tokio::test]
async fn the_reserve_is_kept_while_running_too() {
    // One session above the reserve; a second is allowed only if Discord says so when asked again.
    for (later, allowed) in [(900, true), (50, false)] {
        let bot = Bot::start(Setup { remaining: 51, ..Setup::default() }).await;
        bot.comes_up(Duration::from_secs(5)).await;
        bot.remaining.store(later, Ordering::SeqCst);
        bot.gateway.order(Order::Invalid(false));
        bot.goes_down().await;
        if allowed {
            bot.comes_up(Duration::from_secs(12)).await;
            assert_eq!(bot.gateway.identifies(), 2);
            bot.stops().await;
        } else {
            let ended = tokio::time::timeout(Duration::from_secs(12), bot.ended).await;
            let end = ended.unwrap().unwrap().unwrap_err();
            assert!(matches!(end, GatewayEnd::IdentifyBudget { remaining: 50, .. }), "{end:?}");
            assert_eq!(bot.gateway.identifies(), 1);
        }
    }
}

#[tokio::test]
async fn an_outage_is_waited_out_and_costs_no_session() {
    let bot = Bot::connected().await;
    bot.gateway.refuse.store(true, Ordering::SeqCst);
    bot.gateway.order(Order::Cut);
    bot.goes_down().await;
    let before = lock(&bot.gateway.record).connections;
    eventually(Duration::from_secs(10), "several attempts", || {
        lock(&bot.gateway.record).connections >= before + 3
    })
    .await;
    assert!(bot.status.shards()[0].last_problem.is_some());
    assert!(!bot.ended.is_finished());
    bot.gateway.refuse.store(false, Ordering::SeqCst);
    bot.comes_up(Duration::from_secs(10)).await;
    assert_eq!((bot.gateway.identifies(), bot.gateway.resumes()), (1, 1));
    bot.works(1).await;
    bot.stops().await;
}

#[tokio::test]
async fn a_stranger_on_this_machine_gets_no_events() {
    use futures::{SinkExt, StreamExt};
    let (hub, _wanted) = crate::discord::local::Hub::new("Bot right".to_owned(), 0..=0, 1);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let stop = CancellationToken::new();
    tokio::spawn(std::sync::Arc::clone(&hub).serve(listener, stop.clone()));
    for (token, shard, served) in [
        ("Bot wrong", [0, 1], false),
        ("right", [0, 1], false),
        ("Bot right", [1, 2], false),
        ("Bot right", [0, 1], true),
    ] {
        let stream = tokio::net::TcpStream::connect(url[5..].trim_end_matches('/')).await.unwrap();
        let (mut socket, _) = tokio_tungstenite::client_async(&url, stream).await.unwrap();
        let identify = serde_json::json!({"op": 2, "d": {"token": token, "shard": shard}});
        socket.send(identify.to_string().into()).await.unwrap();
        let hello = socket.next().await.unwrap().unwrap();
        assert!(hello.to_text().unwrap().contains("heartbeat_interval"));
        if served {
            while !hub.deliver(0, "event".into()).await {
                tokio::task::yield_now().await;
            }
            assert_eq!(socket.next().await.unwrap().unwrap().to_text().unwrap(), "event");
        } else {
            let next = socket.next().await;
            assert!(!matches!(&next, Some(Ok(m)) if m.is_text()), "{token} {shard:?}: {next:?}");
            assert!(!hub.deliver(0, "event".into()).await);
        }
    }
    stop.cancel();
}

#[tokio::test]
async fn a_bad_token_is_told_from_an_outage() {
    let rest = Rest::start(|_| async {
        super::stub::Reply::json(401, &serde_json::json!({"message": "401: Unauthorized"}))
    })
    .await;
    let front = Front::start(rest.front_settings()).await.unwrap();
    let refused = preflight(&questions(&front, &rest)).await.unwrap_err();
    assert_eq!(refused, PreflightError::BadToken);
    assert_eq!(rest.seen().len(), 1);

    let rest = Rest::start(|_| async { super::stub::Reply(503, vec![], String::new()) }).await;
    let front = Front::start(rest.front_settings()).await.unwrap();
    let refused = preflight(&questions(&front, &rest)).await.unwrap_err();
    assert!(matches!(refused, PreflightError::Unreachable { .. }), "{refused:?}");
}
