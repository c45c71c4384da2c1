//! `/guest snapshot …`: a guest's snapshots.

use gantry_core::action::{GuestRef, Verb};
use gantry_core::policy::{Ruling, Target};
use gantry_engine::{Ask, SnapshotAsk};

use crate::act::{self, Door};
use crate::card::{self, Card, Choice};
use crate::complete;
use crate::face::{Context, FaceError};
use crate::screen::View;
use crate::show;
use crate::token::ScreenId;
use crate::visit::{Visit, said, serve};

/// Snapshots offered in the menu, newest first: each twice, which Discord's 25 options allow.
const OFFERED: usize = 12;

/// Snapshots of a guest
#[poise::command(
    slash_command,
    guild_only,
    subcommands("create", "list", "delete", "rollback"),
    subcommand_required
)]
pub(crate) async fn snapshot(_: Context<'_>) -> Result<(), FaceError> {
    Ok(())
}

/// Take a snapshot of a guest
#[poise::command(slash_command, guild_only)]
async fn create(
    ctx: Context<'_>,
    #[description = "Name, number, or cluster/number"]
    #[autocomplete = "complete::guest"]
    #[max_length = 300]
    guest: String,
    #[description = "Letters, digits, - and _; without one it is called after the moment"]
    #[max_length = 40]
    name: Option<String>,
    #[description = "What it is for"]
    #[max_length = 400]
    note: Option<String>,
    #[description = "Keep the memory of a running virtual machine as well (no)"] memory: Option<
        bool,
    >,
) -> Result<(), FaceError> {
    let note = note.unwrap_or_default();
    let ask = SnapshotAsk::Create { name, note, ram: memory.unwrap_or(false) };
    serve(ctx, async |visit| change(&visit, &guest, ask.clone()).await).await
}

/// The snapshots of a guest, read just now
#[poise::command(slash_command, guild_only)]
async fn list(
    ctx: Context<'_>,
    #[description = "Name, number, or cluster/number"]
    #[autocomplete = "complete::guest"]
    #[max_length = 300]
    guest: String,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| open(&visit, Verb::GuestSnapshotList, &guest).await).await
}

/// Delete a snapshot; the guest as it is now stays
#[poise::command(slash_command, guild_only)]
async fn delete(
    ctx: Context<'_>,
    #[description = "Name, number, or cluster/number"]
    #[autocomplete = "complete::guest"]
    #[max_length = 300]
    guest: String,
    #[description = "The snapshot's name, as /guest snapshot list shows it"]
    #[max_length = 40]
    snapshot: String,
) -> Result<(), FaceError> {
    let ask = SnapshotAsk::Delete { name: snapshot };
    serve(ctx, async |visit| change(&visit, &guest, ask.clone()).await).await
}

/// Go back to a snapshot: everything written since is lost
#[poise::command(slash_command, guild_only)]
async fn rollback(
    ctx: Context<'_>,
    #[description = "Name, number, or cluster/number"]
    #[autocomplete = "complete::guest"]
    #[max_length = 300]
    guest: String,
    #[description = "The snapshot's name, as /guest snapshot list shows it"]
    #[max_length = 40]
    snapshot: String,
) -> Result<(), FaceError> {
    let ask = SnapshotAsk::Rollback { name: snapshot };
    serve(ctx, async |visit| change(&visit, &guest, ask.clone()).await).await
}

/// Asks for a change of a guest's snapshots.
pub(crate) async fn change(visit: &Visit, who: &str, ask: SnapshotAsk) -> Result<(), FaceError> {
    let verb = ask.verb();
    let Door::Open(guest) = act::door(visit, verb, who).await? else { return Ok(()) };
    let ask = Ask::Snapshot { who: who.to_owned(), ask };
    act::carry(visit, verb, who, None, ask, guest.is_some()).await
}

/// Takes one without asking for more.
pub(crate) async fn take(visit: &Visit, who: &str) -> Result<(), FaceError> {
    let ask = SnapshotAsk::Create { name: None, note: String::new(), ram: false };
    change(visit, who, ask).await
}

/// Shows a guest's snapshots, for somebody who wants to do `verb` with one of them.
pub(crate) async fn open(visit: &Visit, verb: Verb, who: &str) -> Result<(), FaceError> {
    match act::door(visit, verb, who).await? {
        Door::Shut => Ok(()),
        Door::Open(Some(guest)) => {
            show::open(visit, View::Snapshots { guest: guest.address() }).await
        }
        Door::Open(None) => match act::find(visit, verb, who) {
            act::Named::Several(guests) => {
                let view = View::Choice {
                    verb,
                    asked: who.to_owned(),
                    timeout_s: None,
                    guests: guests.iter().map(gantry_core::world::Guest::address).collect(),
                    page: 0,
                };
                show::open(visit, view).await
            }
            act::Named::None(similar) => visit.say(&card::unknown_guest(verb, who, &similar)).await,
            // Seen since.
            act::Named::One(guest) => {
                show::open(visit, View::Snapshots { guest: guest.address() }).await
            }
        },
    }
}

/// The card, read now.
pub(crate) async fn draw(
    visit: &Visit,
    guest: &GuestRef,
    id: &ScreenId,
) -> Result<Card, FaceError> {
    let engine = visit.face.engine();
    let Some((live, snapshots)) = engine.snapshots(guest).await? else {
        return Err(said(
            &format!("{guest} is not there"),
            "Proxmox does not know it any more",
            "`/guest list` shows the guests you may see.",
            &visit.reference(),
        ));
    };
    let g = &live.guest;
    let verb = Verb::GuestSnapshotList;
    // Tags and pool may have changed since the inventory was read.
    if let Ruling::Denied { because } = visit.may(verb, Target::Guest(g)) {
        engine.denied(&visit.actor, verb, &guest.to_string(), &because).await?;
        return Ok(card::refusal(verb, &guest.to_string(), &because));
    }
    let mut choices = Vec::new();
    for taken in snapshots.taken.iter().rev().take(OFFERED) {
        for verb in [Verb::GuestSnapshotRollback, Verb::GuestSnapshotDelete] {
            if !visit.may(verb, Target::Guest(g)).is_allowed() {
                continue;
            }
            let (label, hint) = match verb {
                Verb::GuestSnapshotRollback => {
                    (format!("Roll back to {}", taken.name), "what was written since is lost")
                }
                _ => (format!("Delete {}", taken.name), "the guest as it is now stays"),
            };
            let value = format!("{} {}", verb.as_str(), taken.name);
            choices.push(Choice { value, label, hint: hint.into() });
        }
    }
    Ok(card::snapshot_list(&live, &snapshots, choices, id))
}

/// What was picked under the list.
pub(crate) async fn picked(visit: &Visit, guest: &GuestRef, value: &str) -> Result<(), FaceError> {
    let parts = value.split_once(' ').and_then(|(v, n)| Some((v.parse::<Verb>().ok()?, n)));
    let ask = match parts {
        Some((Verb::GuestSnapshotRollback, name)) => SnapshotAsk::Rollback { name: name.into() },
        Some((Verb::GuestSnapshotDelete, name)) => SnapshotAsk::Delete { name: name.into() },
        _ => return crate::press::unknown(visit).await,
    };
    change(visit, &guest.to_string(), ask).await
}
