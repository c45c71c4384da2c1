//! `/oncall …`: who is called when something is bad.

use gantry_core::action::Verb;
use gantry_core::id::UserId;
use gantry_engine::Said;

use crate::alert::may;
use crate::card::{self, Card, Clock, Piece, Tone, text};
use crate::face::{Context, FaceError};
use crate::line;
use crate::visit::{Go, serve};

/// On call
#[poise::command(slash_command, guild_only, subcommands("show", "override_"), subcommand_required)]
pub async fn oncall(_: Context<'_>) -> Result<(), FaceError> {
    Ok(())
}

/// Who is on call, and until when
#[poise::command(slash_command, guild_only)]
async fn show(ctx: Context<'_>) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        if !may(&visit, Verb::OncallShow).await? || visit.begin(true, false).await? == Go::Stop {
            return Ok(());
        }
        let card = match visit.face.engine().on_call(visit.actor.guild).await? {
            None => card::note(
                Tone::Quiet,
                "○ Nobody",
                "This server gets no alerts. Name a channel under [[alerts.servers]] in the configuration",
            ),
            Some((None, _, _)) => card::note(
                Tone::Plain,
                "Nobody by name",
                "Alerts call the role of the configuration, where there is one. List people under on_call there, or use `/oncall override`",
            ),
            Some((Some(user), until_ms, shifts)) => {
                let until = Piece::Time(until_ms, Clock::Full);
                let card = Card::new(Tone::Plain, "On call")
                    .say(line![Piece::Person(user), " until ", until]);
                card.field(
                    "Stand-ins",
                    shifts
                        .iter()
                        .map(|s| {
                            let until = Piece::Time(s.until_ms, Clock::Full);
                            line![Piece::Person(s.user), " until ", until, ", said by ", text(&s.by_name)]
                        })
                        .collect(),
                )
            }
        };
        visit.say(&card).await
    })
    .await
}

/// Somebody stands in, from now on
#[poise::command(slash_command, guild_only, rename = "override")]
async fn override_(
    ctx: Context<'_>,
    #[description = "Who"] who: serenity::all::User,
    #[description = "For how many hours"]
    #[min = 1]
    #[max = 1440]
    hours: u32,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        let verb = Verb::OncallOverride;
        if !may(&visit, verb).await? || visit.begin(true, true).await? == Go::Stop {
            return Ok(());
        }
        let for_ms = i64::from(hours) * 3_600_000;
        let done = visit.face.engine().stand_in(&visit.actor, UserId(who.id.get()), for_ms).await?;
        let card = match done {
            Said::Done(_, Some(until_ms)) => Card::new(Tone::Good, "● On call").say(line![
                Piece::Person(UserId(who.id.get())),
                " is called first, until ",
                Piece::Time(until_ms, Clock::Full),
                "."
            ]),
            other => card::said(verb, "on call", &other),
        };
        visit.say(&card).await
    })
    .await
}
