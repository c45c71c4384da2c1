//! `/bridge …`: bridges of a node. Every change shows its diff, is made real in one confirmed step and put back
//! unless somebody presses Keep.

use gantry_core::id::{ClusterId, NodeName};
use gantry_core::network::{
    BridgeSpec, IfaceName, KEEP_DEFAULT_S, NetworkAction, NetworkChange, NetworkVerbs, Scope,
    Secure,
};
use gantry_core::policy::Target;
use gantry_engine::Ask;

use crate::act;
use crate::cluster::filter;
use crate::complete;
use crate::face::{Context, FaceError};
use crate::screen::View;
use crate::show;
use crate::visit::{Visit, said, serve};

/// Bridges of a node
#[poise::command(
    slash_command,
    guild_only,
    subcommands("list", "show", "create", "secure", "delete", "apply", "revert"),
    subcommand_required
)]
pub async fn bridge(_: Context<'_>) -> Result<(), FaceError> {
    Ok(())
}

/// The bridges of a node, and what is pending there
#[poise::command(slash_command, guild_only)]
async fn list(
    ctx: Context<'_>,
    #[description = "On which node"]
    #[autocomplete = "complete::node"]
    node: String,
    #[description = "Of which cluster, where several have a node of that name"]
    #[autocomplete = "complete::cluster"]
    cluster: Option<String>,
) -> Result<(), FaceError> {
    serve(ctx, |visit| async move {
        let (cluster, node) = place(&visit, &node, cluster.as_deref())?;
        show::open(&visit, View::Bridges { cluster, node }).await
    })
    .await
}

/// One bridge with all its settings, read just now
#[poise::command(slash_command, guild_only)]
async fn show(
    ctx: Context<'_>,
    #[description = "Which bridge, such as vmbr0"]
    #[max_length = 15]
    bridge: String,
    #[description = "On which node"]
    #[autocomplete = "complete::node"]
    node: String,
    #[description = "Of which cluster, where several have a node of that name"]
    #[autocomplete = "complete::cluster"]
    cluster: Option<String>,
) -> Result<(), FaceError> {
    serve(ctx, |visit| async move {
        let (cluster, node) = place(&visit, &node, cluster.as_deref())?;
        let name = iface(&visit, &bridge)?;
        show::open(&visit, View::Bridge { cluster, node, name }).await
    })
    .await
}

/// Create a bridge; put back unless somebody presses Keep
#[poise::command(slash_command, guild_only)]
#[expect(clippy::too_many_arguments, reason = "a slash command's options are its arguments")]
async fn create(
    ctx: Context<'_>,
    #[description = "Its name, such as vmbr5"]
    #[max_length = 15]
    name: String,
    #[description = "On which node"]
    #[autocomplete = "complete::node"]
    node: String,
    #[description = "Which deployment it is for; kept in its comment"]
    #[max_length = 40]
    deployment: Option<String>,
    #[description = "A comment"]
    #[max_length = 200]
    comment: Option<String>,
    #[description = "Interfaces plugged into it, separated by spaces; none: inside the node only"]
    #[max_length = 300]
    ports: Option<String>,
    #[description = "The node's address on it, such as 10.9.0.1/24; IPv6 too, separated by a space"]
    #[max_length = 62]
    address: Option<String>,
    #[description = "The node's default gateway"]
    #[max_length = 15]
    gateway: Option<String>,
    #[description = "MTU in bytes"]
    #[min = 1280]
    #[max = 65_520]
    mtu: Option<u32>,
    #[description = "Whether it tells VLANs apart (no)"] vlanaware: Option<bool>,
    #[description = "VLANs that may pass, such as 10 20 30-40 (2-4094)"]
    #[max_length = 200]
    vlans: Option<String>,
    #[description = "Spanning tree (no); over the node shell"] stp: Option<bool>,
    #[description = "Minutes to press Keep in (5)"]
    #[min = 1]
    #[max = 20]
    keep: Option<u32>,
    #[description = "Of which cluster, where several have a node of that name"]
    #[autocomplete = "complete::cluster"]
    cluster: Option<String>,
) -> Result<(), FaceError> {
    change(ctx, (node, cluster), keep, move |visit| {
        let ports = ports.unwrap_or_default();
        let ports = ports
            .split([' ', ','])
            .filter(|p| !p.is_empty())
            .map(|p| iface(visit, p))
            .collect::<Result<Vec<_>, _>>()?;
        let addresses = address.unwrap_or_default();
        let (six, four): (Vec<&str>, Vec<&str>) =
            addresses.split([' ', ',']).filter(|a| !a.is_empty()).partition(|a| a.contains(':'));
        let joined = |list: Vec<&str>| (!list.is_empty()).then(|| list.join(" "));
        let spec = BridgeSpec {
            name: iface(visit, &name)?,
            deployment: given(deployment),
            comment: given(comment),
            ports,
            cidr: joined(four),
            gateway: given(gateway),
            cidr6: joined(six),
            mtu,
            vlan_aware: vlanaware.unwrap_or(vlans.is_some()),
            vids: given(vlans),
            stp: stp.unwrap_or(false),
        };
        Ok(NetworkChange::CreateBridge { spec })
    })
    .await
}

/// Make a bridge safer: VLANs, and what a bridge cannot do otherwise
#[poise::command(slash_command, guild_only)]
#[expect(clippy::too_many_arguments, reason = "a slash command's options are its arguments")]
async fn secure(
    ctx: Context<'_>,
    #[description = "Which bridge, such as vmbr5"]
    #[max_length = 15]
    bridge: String,
    #[description = "On which node"]
    #[autocomplete = "complete::node"]
    node: String,
    #[description = "Tell VLANs apart"] vlanaware: Option<bool>,
    #[description = "VLANs that may pass, such as 10 20 30-40"]
    #[max_length = 200]
    vlans: Option<String>,
    #[description = "Multicast snooping; over the node shell"] snooping: Option<bool>,
    #[description = "Keep the guests' ports from each other; over the node shell"] isolate: Option<
        bool,
    >,
    #[description = "Spanning tree; over the node shell"] stp: Option<bool>,
    #[description = "The node's firewall drops what no honest program sends"] firewall: Option<
        bool,
    >,
    #[description = "Minutes to press Keep in (5)"]
    #[min = 1]
    #[max = 20]
    keep: Option<u32>,
    #[description = "Of which cluster, where several have a node of that name"]
    #[autocomplete = "complete::cluster"]
    cluster: Option<String>,
) -> Result<(), FaceError> {
    change(ctx, (node, cluster), keep, move |visit| {
        let name = iface(visit, &bridge)?;
        // Whoever says nothing wants what a bridge can do.
        let nothing = vlanaware.is_none()
            && vlans.is_none()
            && snooping.is_none()
            && isolate.is_none()
            && stp.is_none()
            && firewall.is_none();
        let how = Secure {
            vlan_aware: if nothing { Some(true) } else { vlanaware },
            vids: given(vlans),
            multicast_snooping: snooping,
            isolate_ports: isolate,
            stp,
            firewall,
        };
        Ok(NetworkChange::SecureBridge { name, how })
    })
    .await
}

/// Remove a bridge that no guest uses; put back unless somebody presses Keep
#[poise::command(slash_command, guild_only)]
async fn delete(
    ctx: Context<'_>,
    #[description = "Which bridge, such as vmbr5"]
    #[max_length = 15]
    bridge: String,
    #[description = "On which node"]
    #[autocomplete = "complete::node"]
    node: String,
    #[description = "Minutes to press Keep in (5)"]
    #[min = 1]
    #[max = 20]
    keep: Option<u32>,
    #[description = "Of which cluster, where several have a node of that name"]
    #[autocomplete = "complete::cluster"]
    cluster: Option<String>,
) -> Result<(), FaceError> {
    change(ctx, (node, cluster), keep, move |visit| {
        Ok(NetworkChange::DeleteBridge { name: iface(visit, &bridge)? })
    })
    .await
}

/// Apply what somebody has staged on a node; put back unless somebody presses Keep
#[poise::command(slash_command, guild_only)]
async fn apply(
    ctx: Context<'_>,
    #[description = "On which node"]
    #[autocomplete = "complete::node"]
    node: String,
    #[description = "Minutes to press Keep in (5)"]
    #[min = 1]
    #[max = 20]
    keep: Option<u32>,
    #[description = "Of which cluster, where several have a node of that name"]
    #[autocomplete = "complete::cluster"]
    cluster: Option<String>,
) -> Result<(), FaceError> {
    change(ctx, (node, cluster), keep, |_| Ok(NetworkChange::Apply)).await
}

/// Drop what somebody has staged on a node
#[poise::command(slash_command, guild_only)]
async fn revert(
    ctx: Context<'_>,
    #[description = "On which node"]
    #[autocomplete = "complete::node"]
    node: String,
    #[description = "Of which cluster, where several have a node of that name"]
    #[autocomplete = "complete::cluster"]
    cluster: Option<String>,
) -> Result<(), FaceError> {
    change(ctx, (node, cluster), None, |_| Ok(NetworkChange::Revert)).await
}

/// Asks for a change on a node: `at` is that node, and its cluster where that has to be said.
async fn change(
    ctx: Context<'_>,
    at: (String, Option<String>),
    keep: Option<u32>,
    make: impl FnOnce(&Visit) -> Result<NetworkChange, FaceError> + Send,
) -> Result<(), FaceError> {
    serve(ctx, |visit| async move {
        let (cluster, node) = place(&visit, &at.0, at.1.as_deref())?;
        let change = make(&visit)?;
        let scope = Scope::Node(node);
        ask(&visit, NetworkAction { cluster, scope, change, keep_s: seconds(keep) }).await
    })
    .await
}

/// Asks policy from memory, then the engine.
pub(crate) async fn ask(visit: &Visit, action: NetworkAction) -> Result<(), FaceError> {
    let (verb, shown) = (action.verb(), action.shown());
    let target = match &action.scope {
        Scope::Node(node) => Target::Node(&action.cluster, node),
        Scope::Sdn => Target::Cluster(&action.cluster),
    };
    let ask = Ask::Network(Box::new(action.clone()));
    act::on_target(visit, verb, target, &shown, ask).await
}

/// Minutes as seconds; the usual time where nobody says.
pub(crate) fn seconds(minutes: Option<u32>) -> u32 {
    minutes.map_or(KEEP_DEFAULT_S, |m| m.saturating_mul(60))
}

/// What was typed, unless it was nothing.
pub(crate) fn given(text: Option<String>) -> Option<String> {
    text.map(|t| t.trim().to_owned()).filter(|t| !t.is_empty())
}

fn place(
    visit: &Visit,
    node: &str,
    cluster: Option<&str>,
) -> Result<(ClusterId, NodeName), FaceError> {
    let only = filter(visit, cluster)?;
    crate::node::find(visit, node, only.as_ref())
}

fn iface(visit: &Visit, name: &str) -> Result<IfaceName, FaceError> {
    name.trim().parse().map_err(|error| {
        said(
            "No such interface",
            &format!("{error}. Nothing was done"),
            "`/bridge list` shows those of a node.",
            &visit.reference(),
        )
    })
}
