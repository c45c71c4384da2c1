//! Kill -9 anywhere loses nothing and doubles nothing.
//!
//! Every operation is stopped dead before and after every point that matters, in each of its steps, and the
//! process is started again. Proxmox counts what it really did; the card must say what is true.

use gantry_core::operation::OpState;
use proxmox_twin::GuestSpec;

use crate::bot_test;
use crate::harness::{Bot, Reply, moments, points};

/// What is done, and what must be so afterwards.
pub struct Case {
    pub steps: usize,
    /// What Proxmox must have done exactly once when all went through.
    pub done: &'static [&'static str],
}

/// Kills at `point` of `step`, restarts, and checks the promises. Returns whether the point was reached. A card without
/// a message is not looked at.
async fn kill_at(
    bot: &mut Bot,
    point: &'static str,
    step: usize,
    case: &Case,
    start: impl AsyncFnOnce(&Bot) -> Reply,
) -> bool {
    bot.proxmox.forget();
    let (reached, card) = bot.dies_at(point, step, start).await;
    let at = format!("killed {point} of step {step}");
    let ended = bot.settle().await;
    let op = &ended[0];
    let did = bot.proxmox.changes();
    let names: Vec<&str> =
        did.iter().filter(|c| c.user != "control").map(|c| c.what.as_str()).collect();
    for what in case.done {
        let times = names.iter().filter(|n| *n == what).count();
        assert!(times <= 1, "{at}: {what} was done {times} times: {names:?}");
        if op.state == OpState::Succeeded {
            assert_eq!(times, 1, "{at}: it says succeeded, but {what} was not done: {names:?}");
        }
    }
    // Only between the intent and the answer nobody can know.
    let may_be_unknown = ["after intent", "before call"].contains(&point);
    if op.state != OpState::Succeeded {
        assert!(
            may_be_unknown && op.state == OpState::Unknown,
            "{at}: ended as {:?}: {:?}",
            op.state,
            op.outcome
        );
    }
    if card.message == 0 {
        return reached;
    }
    // The same card tells the truth.
    let summary = op.outcome.as_ref().map(|o| o.summary.clone()).unwrap_or_default();
    let first_words: String =
        summary.split(['(', '.']).next().unwrap_or_default().trim().to_owned();
    bot.until_says(card.message, &first_words).await;
    reached
}

/// Runs a case through every point of every step; `start` makes the world ready and starts the operation.
async fn through_all_points(bot: &mut Bot, case: Case, start: impl AsyncFn(&Bot, usize) -> Reply) {
    through(
        bot,
        &case,
        points(case.steps).collect(),
        async |_, _| {},
        async |bot, round, ()| start(bot, round).await,
    )
    .await;
}

/// The same for what is walked by the same code, once for all neighbouring points that leave the same behind.
pub async fn through_all_moments(
    bot: &mut Bot,
    case: Case,
    start: impl AsyncFn(&Bot, usize) -> Reply,
) {
    through_all_moments_from(
        bot,
        case,
        async |_, _| {},
        async |bot, round, ()| start(bot, round).await,
    )
    .await;
}

/// The same where something has to be there first: `ready` is not killed, `start` is.
pub async fn through_all_moments_from<T>(
    bot: &mut Bot,
    case: Case,
    ready: impl AsyncFn(&Bot, usize) -> T,
    start: impl AsyncFn(&Bot, usize, T) -> Reply,
) {
    through(bot, &case, moments(case.steps).collect(), ready, start).await;
}

async fn through<T>(
    bot: &mut Bot,
    case: &Case,
    places: Vec<(usize, &'static str)>,
    ready: impl AsyncFn(&Bot, usize) -> T,
    start: impl AsyncFn(&Bot, usize, T) -> Reply,
) {
    let (mut reached, all, start) = (0, places.len(), &start);
    for (n, (step, point)) in places.into_iter().enumerate() {
        let round = n + 1;
        let made = ready(bot, round).await;
        let started = async move |bot: &Bot| start(bot, round, made).await;
        reached += usize::from(kill_at(bot, point, step, case, started).await);
    }
    // Each step passes nearly all of them; what has no task has no number of one and is not polled.
    assert!(reached >= all - 2 * case.steps, "only {reached} of {all} points were reached");
}

fn guest(vmid: u32, round: usize) -> String {
    format!("crash-{vmid}-{round}")
}

bot_test! {
    async fn a_running_guest_is_deleted_once(bot: &mut Bot) {
        let case = Case { steps: 2, done: &["shutdown", "destroy"] };
        through_all_points(bot, case, async |bot, round| {
            let vmid = 5000 + u32::try_from(round).unwrap();
            let name = guest(vmid, round);
            bot.has_guest(GuestSpec::lxc(vmid, &name).running()).await;
            let question = bot.admin().runs(&format!("/guest delete guest:{vmid}")).await;
            bot.admin().confirms(&question, &name).await;
            question
        })
        .await;
    }
}

bot_test! {
    async fn a_guest_is_shut_down_once(bot: &mut Bot) {
        let case = Case { steps: 1, done: &["shutdown"] };
        through_all_points(bot, case, async |bot, round| {
            let vmid = 5000 + u32::try_from(round).unwrap();
            bot.has_guest(GuestSpec::lxc(vmid, &guest(vmid, round)).running()).await;
            let question = bot.admin().runs(&format!("/guest stop guest:{vmid}")).await;
            bot.admin().confirms(&question, "").await;
            question
        })
        .await;
    }
}

bot_test! {
    async fn a_pod_is_created_once(bot: &mut Bot) {
        let case = Case { steps: 2, done: &["create", "start"] };
        through_all_points(bot, case, async |bot, round| {
            let question = bot.asks_for_pod(&format!("pod-{round}")).await;
            bot.admin().confirms(&question, "").await;
            question
        })
        .await;
    }
}

bot_test! {
    async fn a_forward_is_added_once(bot: &mut Bot) {
        let card = "name=eth0,bridge=vmbr0,ip=10.20.5.5/16";
        bot.has_guest(GuestSpec::lxc(5000, "shop-0").on("pve1").set("net0", card).running()).await;
        let case = Case { steps: 3, done: &["firewall", "forward-apply"] };
        through_all_moments(bot, case, async |bot, round| {
            let command = format!("/forward add guest:shop-0 port:{} to:80", 20_000 + round);
            let question = bot.admin().runs(&command).await;
            bot.admin().confirms(&question, "").await;
            question
        })
        .await;
    }
}
