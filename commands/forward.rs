//! `/forward …`: which port of which node leads to which guest.

use std::net::IpAddr;

use gantry_core::action::Verb;
use gantry_core::forward::{Family, Proto};
use gantry_core::id::ForwardId;
use gantry_core::policy::Target;
use gantry_engine::{Ask, ForwardAsk};

use crate::act::{self, Door};
use crate::cluster::{choose, filter};
use crate::complete;
use crate::face::{Context, FaceError};
use crate::screen::View;
use crate::show;
use crate::visit::{said, serve};

/// Ports of nodes that lead to guests
#[poise::command(
    slash_command,
    guild_only,
    subcommands("list", "add", "remove", "apply"),
    subcommand_required
)]
pub async fn forward(_: Context<'_>) -> Result<(), FaceError> {
    Ok(())
}

/// TCP or UDP.
#[derive(Debug, Clone, Copy, poise::ChoiceParameter)]
pub enum Over {
    /// TCP.
    #[name = "tcp"]
    Tcp,
    /// UDP.
    #[name = "udp"]
    Udp,
}

/// IPv4 or IPv6.
#[derive(Debug, Clone, Copy, poise::ChoiceParameter)]
pub enum Version {
    /// IPv4.
    #[name = "ipv4"]
    Four,
    /// IPv6.
    #[name = "ipv6"]
    Six,
}

/// All forwards, and whether each node's table is as it shall be
#[poise::command(slash_command, guild_only)]
async fn list(
    ctx: Context<'_>,
    #[description = "Which cluster; may be left out when there is only one"]
    #[autocomplete = "complete::cluster"]
    cluster: Option<String>,
) -> Result<(), FaceError> {
    serve(ctx, |visit| async move {
        let cluster = choose(&visit, cluster.as_deref())?;
        show::open(&visit, View::Forwards { cluster }).await
    })
    .await
}

/// Lead a port of a node to a guest, through the guest's firewall
#[poise::command(slash_command, guild_only)]
#[expect(clippy::too_many_arguments, reason = "a slash command's options are its arguments")]
async fn add(
    ctx: Context<'_>,
    #[description = "Name, number, or cluster/number"]
    #[autocomplete = "complete::guest"]
    #[max_length = 300]
    guest: String,
    #[description = "The port it listens at"]
    #[min = 1]
    #[max = 65_535]
    port: u16,
    #[description = "The port of the guest (the same)"]
    #[min = 1]
    #[max = 65_535]
    to: Option<u16>,
    #[description = "TCP or UDP (tcp)"] proto: Option<Over>,
    #[description = "IPv4 or IPv6 (ipv4)"] version: Option<Version>,
    #[description = "On which node it listens (the guest's)"]
    #[autocomplete = "complete::node"]
    node: Option<String>,
    #[description = "One address of that node; all of them when left out"]
    #[max_length = 39]
    listen: Option<String>,
) -> Result<(), FaceError> {
    serve(ctx, |visit| async move {
        let verb = Verb::ForwardAdd;
        let Door::Open(found) = act::door(&visit, verb, &guest).await? else { return Ok(()) };
        let node = match node {
            None => None,
            Some(node) => {
                let cluster = found.as_ref().map(|g| g.cluster.to_string());
                let only = filter(&visit, cluster.as_deref())?;
                Some(crate::node::find(&visit, &node, only.as_ref())?.1)
            }
        };
        let listen = match listen.as_deref().map(str::trim).filter(|t| !t.is_empty()) {
            None => None,
            Some(text) => Some(text.parse::<IpAddr>().map_err(|_| {
                said(
                    "No such address",
                    &format!("{text} is not an address. Nothing was done"),
                    "Give one address of the node, such as 192.0.2.10, or leave it out.",
                    &visit.reference(),
                )
            })?),
        };
        let ask = ForwardAsk::Add {
            who: guest.clone(),
            node,
            proto: match proto {
                Some(Over::Udp) => Proto::Udp,
                _ => Proto::Tcp,
            },
            family: version.map(|v| match v {
                Version::Four => Family::Ipv4,
                Version::Six => Family::Ipv6,
            }),
            listen,
            port,
            target_port: to.unwrap_or(port),
        };
        act::carry(&visit, verb, &guest, None, Ask::Forward(ask), found.is_some()).await
    })
    .await
}

/// Lead it nowhere any more
#[poise::command(slash_command, guild_only)]
async fn remove(
    ctx: Context<'_>,
    #[description = "Which forward"]
    #[autocomplete = "complete::forward"]
    #[max_length = 100]
    forward: String,
) -> Result<(), FaceError> {
    serve(ctx, |visit| async move {
        let verb = Verb::ForwardRemove;
        let Ok(id) = forward.trim().parse::<ForwardId>() else {
            return Err(said(
                "No such forward",
                "That is not a forward's id. Nothing was done",
                "Choose one from the list, or copy its id from `/forward list`.",
                &visit.reference(),
            ));
        };
        let ask = Ask::Forward(ForwardAsk::Remove { forward: id });
        act::on_target(&visit, verb, Target::Any, &forward, ask).await
    })
    .await
}

/// Make a node's table what was asked for, whatever somebody has made of it by hand
#[poise::command(slash_command, guild_only)]
async fn apply(
    ctx: Context<'_>,
    #[description = "On which node"]
    #[autocomplete = "complete::node"]
    node: String,
    #[description = "Of which cluster, where several have a node of that name"]
    #[autocomplete = "complete::cluster"]
    cluster: Option<String>,
) -> Result<(), FaceError> {
    serve(ctx, |visit| async move {
        let verb = Verb::ForwardApply;
        let only = filter(&visit, cluster.as_deref())?;
        let (cluster, node) = crate::node::find(&visit, &node, only.as_ref())?;
        let shown = format!("the forwards of {node} ({cluster})");
        let ask = ForwardAsk::Apply { cluster: cluster.clone(), node: node.clone() };
        let target = Target::Node(&cluster, &node);
        act::on_target(&visit, verb, target, &shown, Ask::Forward(ask)).await
    })
    .await
}
