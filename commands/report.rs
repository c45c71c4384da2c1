//! `/report`: a stretch of time in one card.

use gantry_core::action::Verb;

use crate::alert::may;
use crate::card;
use crate::face::{Context, FaceError};
use crate::visit::{Go, serve};

/// Days where nothing is said: a week.
const DAYS: u32 = 7;

/// Room, use, backups and incidents of the last days
#[poise::command(slash_command, guild_only)]
pub async fn report(
    ctx: Context<'_>,
    #[description = "Of how many days; 7 where nothing is said"]
    #[min = 1]
    #[max = 90]
    days: Option<u32>,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        if !may(&visit, Verb::Report).await? || visit.begin(true, false).await? == Go::Stop {
            return Ok(());
        }
        let days = days.unwrap_or(DAYS);
        let made = Box::pin(visit.face.engine().report(&visit.actor, days)).await?;
        let rules = visit.face.engine().rule_names();
        visit.say(&card::report_card(&made, &rules)).await
    })
    .await
}
