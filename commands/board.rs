//! `/board …`: status boards, their buttons, and whoever keeps them up to date.
//!
//! One process keeps all boards, by lease. It draws each now and then, from memory, and asks for an edit only when the
//! drawing differs from what was asked for last; the courier does the rest, as for every message.

use std::time::Duration;

use gantry_core::action::Verb;
use gantry_core::id::{BoardId, ClusterId};
use gantry_core::policy::Target;
use gantry_engine::store::StoreError;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use crate::alert::may;
use crate::card::{self, Card};
use crate::cluster::choose;
use crate::complete;
use crate::face::{Context, Face, FaceError, store_error};
use crate::paint::plain;
use crate::press::{address, unknown};
use crate::screen::{GuestFilter, View};
use crate::show;
use crate::visit::{Go, Visit, said, serve};

/// How often boards are drawn to see whether something changed.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long one process keeps the boards without renewing.
const LEASE_MS: i64 = 20_000;
/// A board is edited this often even when nothing changed, so that its age tells whether gantry still looks, and so that
/// one somebody deleted comes back.
const ALIVE_EVERY_MS: i64 = 300_000;

/// Status boards: a message that is kept up to date
#[poise::command(
    slash_command,
    guild_only,
    subcommands("list", "create", "delete"),
    subcommand_required
)]
pub async fn board(_: Context<'_>) -> Result<(), FaceError> {
    Ok(())
}

/// Boards of this server
#[poise::command(slash_command, guild_only)]
async fn list(ctx: Context<'_>) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        if !may(&visit, Verb::BoardList).await? || visit.begin(true, false).await? == Go::Stop {
            return Ok(());
        }
        let rows = visit.face.engine().boards_seen(&visit.actor).await?;
        let store = visit.face.engine().store();
        let mut boards = Vec::new();
        for row in rows {
            let place = store.find_card_of_board(&row.board.id).await;
            boards.push((row.board, place.map_err(store_error("Could not look up a board"))?));
        }
        visit.say(&card::board_list(&boards)).await
    })
    .await
}

/// Put a board into this channel; everybody here sees what you may see now
#[poise::command(slash_command, guild_only)]
async fn create(
    ctx: Context<'_>,
    #[description = "Only this cluster"]
    #[autocomplete = "complete::cluster"]
    cluster: Option<String>,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        let verb = Verb::BoardCreate;
        let only: Option<ClusterId> =
            cluster.as_deref().map(|c| choose(&visit, Some(c))).transpose()?;
        if !may(&visit, verb).await? || visit.begin(true, true).await? == Go::Stop {
            return Ok(());
        }
        let done = visit.face.engine().create_board(&visit.actor, only.as_ref()).await?;
        visit.face.wake_courier();
        visit.say(&card::said(verb, "a board", &done)).await
    })
    .await
}

/// Take the board of this channel down, or another one
#[poise::command(slash_command, guild_only)]
async fn delete(
    ctx: Context<'_>,
    #[description = "Which: bo_…, as /board list shows it; this channel's where nothing is said"]
    #[max_length = 40]
    board: Option<String>,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        let verb = Verb::BoardDelete;
        let id: Option<BoardId> = match board.as_deref().map(|b| b.trim().parse()) {
            None => None,
            Some(Ok(id)) => Some(id),
            Some(Err(_)) => {
                return Err(said(
                    "No such board",
                    "A board is called bo_… . Nothing was done",
                    "`/board list` shows them.",
                    &visit.reference(),
                ));
            }
        };
        if !may(&visit, verb).await? || visit.begin(true, true).await? == Go::Stop {
            return Ok(());
        }
        let done = visit.face.engine().delete_board(&visit.actor, id.as_ref()).await?;
        visit.face.wake_courier();
        visit.say(&card::said(verb, "a board", &done)).await
    })
    .await
}

/// Picked: a guest. Its panel is for the presser alone, with what they may do to it.
pub(crate) async fn pick(visit: &Visit, picked: Option<&str>) -> Result<(), FaceError> {
    let Some(guest) = picked.and_then(address) else { return unknown(visit).await };
    let view = visit.face.engine().view(&guest.cluster);
    let seen = view.as_ref().and_then(|v| v.guest(guest.vmid));
    // A pod is shown as one to whoever may see it so.
    let pod =
        seen.is_some_and(|g| g.is_pod() && visit.may(Verb::PodShow, Target::Guest(g)).is_allowed());
    show::open(visit, View::Guest { guest, pod }).await
}

/// Pressed: all guests of the board's clusters.
pub(crate) async fn guests(visit: &Visit, id: &BoardId) -> Result<(), FaceError> {
    let found = visit.face.engine().store().find_board(id).await;
    let row = found.map_err(store_error("Could not look up the board"))?;
    let cluster = row.and_then(|r| match r.board.clusters.as_slice() {
        [one] => Some(one.clone()),
        _ => None,
    });
    let filter = GuestFilter { cluster, ..GuestFilter::default() };
    show::open(visit, View::Guests { filter, page: 0 }).await
}

impl Face {
    /// Keeps boards up to date until `stop`.
    pub async fn boards(&self, stop: CancellationToken) {
        let mut trouble = false;
        while !stop.is_cancelled() {
            match self.look_at_boards().await {
                Ok(()) => trouble = false,
                Err(error) => {
                    if !trouble {
                        tracing::warn!(%error, "boards cannot be kept up to date: the store does not answer");
                    }
                    trouble = true;
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.engine().clock().sleep(LOOK_EVERY) => {}
            }
        }
    }

    async fn look_at_boards(&self) -> Result<(), StoreError> {
        let engine = self.engine();
        let store = engine.store();
        let boards = store.list_boards(None).await?;
        if boards.is_empty()
            || !store.lead("boards", &self.settings().owner, engine.now_ms(), LEASE_MS).await?
        {
            return Ok(());
        }
        let every = i64::try_from(self.settings().board_every.as_millis()).unwrap_or(i64::MAX);
        for row in boards {
            let now_ms = engine.now_ms();
            if now_ms - row.asked_ms < every {
                continue;
            }
            let id = row.board.id.clone();
            let shown = fingerprint(&card::board(&engine.board_view(row.board).await?, None));
            if shown != row.shown || now_ms - row.asked_ms >= ALIVE_EVERY_MS {
                store.ask_board(&id, &shown, now_ms).await?;
                self.wake_courier();
            }
        }
        Ok(())
    }
}

/// What stands for everything a card shows.
fn fingerprint(card: &Card) -> String {
    let text = format!("{:?}{}", card.tone, plain(card));
    hex::encode(Sha256::digest(text.as_bytes())).chars().take(32).collect()
}
