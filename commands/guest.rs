//! `/guest …`: containers and virtual machines alike, by name or number.

use gantry_core::action::Verb;
use gantry_core::world::GuestStatus;

use crate::act;
use crate::cluster::filter;
use crate::complete;
use crate::face::{Context, FaceError};
use crate::screen::{GuestFilter, View};
use crate::show;
use crate::visit::serve;

/// Containers and virtual machines
#[poise::command(
    slash_command,
    guild_only,
    subcommands(
        "list",
        "show",
        "start",
        "shutdown",
        "stop",
        "kill",
        "reboot",
        "suspend",
        "resume",
        "unlock",
        "migrate",
        "crate::snapshot::snapshot",
        "delete"
    ),
    subcommand_required
)]
pub async fn guest(_: Context<'_>) -> Result<(), FaceError> {
    Ok(())
}

/// The states a list can be narrowed to.
#[derive(Debug, Clone, Copy, poise::ChoiceParameter)]
pub enum State {
    /// On.
    #[name = "running"]
    Running,
    /// Off.
    #[name = "stopped"]
    Stopped,
    /// A machine frozen in memory.
    #[name = "paused"]
    Paused,
    /// Frozen, or saved to disk.
    #[name = "suspended"]
    Suspended,
    /// Nobody can say.
    #[name = "unknown"]
    Unknown,
}

impl From<State> for GuestStatus {
    fn from(state: State) -> Self {
        match state {
            State::Running => Self::Running,
            State::Stopped => Self::Stopped,
            State::Paused => Self::Paused,
            State::Suspended => Self::Suspended,
            State::Unknown => Self::Unknown,
        }
    }
}

/// Guests you may see
#[poise::command(slash_command, guild_only)]
#[expect(clippy::too_many_arguments, reason = "a slash command's options are its arguments")]
async fn list(
    ctx: Context<'_>,
    #[description = "Only in this state"] state: Option<State>,
    #[description = "Only with this in the name, or with this number"]
    #[max_length = 100]
    name: Option<String>,
    #[description = "Only on this node"]
    #[autocomplete = "complete::node"]
    node: Option<String>,
    #[description = "Only with this tag"]
    #[max_length = 100]
    tag: Option<String>,
    #[description = "Only in this pool"]
    #[max_length = 100]
    pool: Option<String>,
    #[description = "Only in this cluster"]
    #[autocomplete = "complete::cluster"]
    cluster: Option<String>,
    #[description = "Begin on this page"]
    #[min = 1]
    #[max = 100_000]
    page: Option<u32>,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        let cluster = filter(&visit, cluster.as_deref())?;
        let state = state.map(GuestStatus::from);
        let filter = GuestFilter { pods: false, cluster, state, node, tag, pool, text: name };
        let page = u64::from(page.unwrap_or(1).saturating_sub(1));
        show::open(&visit, View::Guests { filter, page }).await
    })
    .await
}

/// One guest, read just now
#[poise::command(slash_command, guild_only)]
async fn show(
    ctx: Context<'_>,
    #[description = "Name, number, or cluster/number"]
    #[autocomplete = "complete::guest"]
    #[max_length = 300]
    guest: String,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| act::show_guest(&visit, &guest, false).await).await
}

/// Start a guest
#[poise::command(slash_command, guild_only)]
async fn start(
    ctx: Context<'_>,
    #[description = "Name, number, or cluster/number"]
    #[autocomplete = "complete::guest"]
    #[max_length = 300]
    guest: String,
) -> Result<(), FaceError> {
    on(ctx, Verb::GuestStart, guest, None).await
}

/// Shut a guest down through its own system
#[poise::command(slash_command, guild_only)]
async fn shutdown(
    ctx: Context<'_>,
    #[description = "Name, number, or cluster/number"]
    #[autocomplete = "complete::guest"]
    #[max_length = 300]
    guest: String,
    #[description = "Seconds it may take; if it stays on after that, nothing is forced"]
    #[min = 5]
    #[max = 1200]
    timeout: Option<u32>,
) -> Result<(), FaceError> {
    on(ctx, Verb::GuestShutdown, guest, timeout).await
}

/// The same as shutdown: never pulls the plug
#[poise::command(slash_command, guild_only)]
async fn stop(
    ctx: Context<'_>,
    #[description = "Name, number, or cluster/number"]
    #[autocomplete = "complete::guest"]
    #[max_length = 300]
    guest: String,
    #[description = "Seconds it may take; if it stays on after that, nothing is forced"]
    #[min = 5]
    #[max = 1200]
    timeout: Option<u32>,
) -> Result<(), FaceError> {
    on(ctx, Verb::GuestStop, guest, timeout).await
}

/// Pull the plug: ends at once, unsaved data is lost
#[poise::command(slash_command, guild_only)]
async fn kill(
    ctx: Context<'_>,
    #[description = "Name, number, or cluster/number"]
    #[autocomplete = "complete::guest"]
    #[max_length = 300]
    guest: String,
) -> Result<(), FaceError> {
    on(ctx, Verb::GuestKill, guest, None).await
}

/// Restart a guest through its own system
#[poise::command(slash_command, guild_only)]
async fn reboot(
    ctx: Context<'_>,
    #[description = "Name, number, or cluster/number"]
    #[autocomplete = "complete::guest"]
    #[max_length = 300]
    guest: String,
    #[description = "Seconds going down may take"]
    #[min = 5]
    #[max = 1200]
    timeout: Option<u32>,
) -> Result<(), FaceError> {
    on(ctx, Verb::GuestReboot, guest, timeout).await
}

/// Freeze a guest where it is
#[poise::command(slash_command, guild_only)]
async fn suspend(
    ctx: Context<'_>,
    #[description = "Name, number, or cluster/number"]
    #[autocomplete = "complete::guest"]
    #[max_length = 300]
    guest: String,
) -> Result<(), FaceError> {
    on(ctx, Verb::GuestSuspend, guest, None).await
}

/// Let a suspended guest go on
#[poise::command(slash_command, guild_only)]
async fn resume(
    ctx: Context<'_>,
    #[description = "Name, number, or cluster/number"]
    #[autocomplete = "complete::guest"]
    #[max_length = 300]
    guest: String,
) -> Result<(), FaceError> {
    on(ctx, Verb::GuestResume, guest, None).await
}

/// Take off a lock that a task which died has left behind
#[poise::command(slash_command, guild_only)]
async fn unlock(
    ctx: Context<'_>,
    #[description = "Name, number, or cluster/number"]
    #[autocomplete = "complete::guest"]
    #[max_length = 300]
    guest: String,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| act::unlock(&visit, &guest).await).await
}

/// Move a guest to another node
#[poise::command(slash_command, guild_only)]
async fn migrate(
    ctx: Context<'_>,
    #[description = "Name, number, or cluster/number"]
    #[autocomplete = "complete::guest"]
    #[max_length = 300]
    guest: String,
    #[description = "The node it goes to"]
    #[autocomplete = "complete::other_node"]
    #[max_length = 63]
    to: String,
    #[description = "Whether a running container may be shut down and started for it (yes)"]
    restart: Option<bool>,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        crate::migrate::to_node(&visit, &guest, &to, restart.unwrap_or(true)).await
    })
    .await
}

/// Delete a guest with its disks
#[poise::command(slash_command, guild_only)]
async fn delete(
    ctx: Context<'_>,
    #[description = "Name, number, or cluster/number"]
    #[autocomplete = "complete::guest"]
    #[max_length = 300]
    guest: String,
    #[description = "Seconds the shutdown before it may take"]
    #[min = 5]
    #[max = 1200]
    timeout: Option<u32>,
) -> Result<(), FaceError> {
    on(ctx, Verb::GuestDelete, guest, timeout).await
}

/// A command that acts on a guest or pod.
pub(crate) async fn on(
    ctx: Context<'_>,
    verb: Verb,
    who: String,
    timeout_s: Option<u32>,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| act::on_guest(&visit, verb, &who, timeout_s).await).await
}
