//! `/op …`: what gantry did and does.

use gantry_core::action::Verb;

use crate::act::{self, Named};
use crate::cluster::filter;
use crate::complete;
use crate::face::{Context, FaceError};
use crate::screen::View;
use crate::show;
use crate::visit::{said, serve};

/// Operations of gantry
#[poise::command(slash_command, guild_only, subcommands("list", "show"), subcommand_required)]
pub async fn op(_: Context<'_>) -> Result<(), FaceError> {
    Ok(())
}

/// Operations, newest first
#[poise::command(slash_command, guild_only)]
async fn list(
    ctx: Context<'_>,
    #[description = "Only those not over yet"] open: Option<bool>,
    #[description = "Only about this guest"]
    #[autocomplete = "complete::guest"]
    #[max_length = 300]
    guest: Option<String>,
    #[description = "Only in this cluster"]
    #[autocomplete = "complete::cluster"]
    cluster: Option<String>,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        let guest = match guest {
            None => None,
            Some(who) => match act::find(&visit, Verb::GuestShow, &who) {
                Named::One(guest) => Some(guest.address()),
                // One that is gone by now: its number still leads to what was done to it.
                _ => match crate::press::address(&who) {
                    Some(address) => Some(address),
                    None => {
                        let told = act::unknown(&visit, Verb::GuestShow, &who, &[]);
                        return visit.say(&told).await;
                    }
                },
            },
        };
        let cluster = filter(&visit, cluster.as_deref())?;
        let open = open.unwrap_or(false);
        show::open(&visit, View::Ops { open, cluster, guest, page: 0 }).await
    })
    .await
}

/// One operation with its steps and who did what
#[poise::command(slash_command, guild_only)]
async fn show(
    ctx: Context<'_>,
    #[description = "Its id: op_… as it stands under its message"]
    #[autocomplete = "complete::operation"]
    #[max_length = 100]
    op: String,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        let operation = op.trim().parse().map_err(|error: gantry_core::id::BadId| {
            said(
                "No such operation",
                &format!("{error}"),
                "`/op list` offers them to pick from.",
                &visit.reference(),
            )
        })?;
        show::open(&visit, View::Op { operation }).await
    })
    .await
}
