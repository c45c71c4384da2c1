//! `/vnet …`: networks that reach over all nodes (Proxmox's SDN). Changed like bridges: shown, applied, put back
//! unless somebody presses Keep.

use gantry_core::network::{
    NetworkAction, NetworkChange, Scope, SubnetSpec, VnetSpec, ZoneKind, ZoneSpec,
};

use crate::bridge::{ask, given, seconds};
use crate::cluster::choose;
use crate::complete;
use crate::face::{Context, FaceError};
use crate::screen::View;
use crate::show;
use crate::visit::{Visit, said, serve};

/// Networks that reach over all nodes (SDN)
#[poise::command(
    slash_command,
    guild_only,
    subcommands("list", "create", "delete", "apply", "revert"),
    subcommand_required
)]
pub async fn vnet(_: Context<'_>) -> Result<(), FaceError> {
    Ok(())
}

/// Kinds of a zone that is made along with its first vnet.
#[derive(Debug, Clone, Copy, poise::ChoiceParameter)]
pub enum Kind {
    /// A bridge on every node, each by itself.
    #[name = "simple"]
    Simple,
    /// VLANs of a bridge every node has.
    #[name = "vlan"]
    Vlan,
    /// Tunnels between the nodes.
    #[name = "vxlan"]
    Vxlan,
}

/// Zones, vnets and subnets, and what is pending
#[poise::command(slash_command, guild_only)]
async fn list(
    ctx: Context<'_>,
    #[description = "Which cluster; may be left out when there is only one"]
    #[autocomplete = "complete::cluster"]
    cluster: Option<String>,
) -> Result<(), FaceError> {
    serve(ctx, |visit| async move {
        let cluster = choose(&visit, cluster.as_deref())?;
        show::open(&visit, View::Vnets { cluster }).await
    })
    .await
}

/// Create a vnet, and its zone where that is new; put back unless somebody presses Keep
#[poise::command(slash_command, guild_only)]
#[expect(clippy::too_many_arguments, reason = "a slash command's options are its arguments")]
async fn create(
    ctx: Context<'_>,
    #[description = "Its name: letters and digits, at most 8"]
    #[max_length = 8]
    name: String,
    #[description = "The zone it is in"]
    #[max_length = 8]
    zone: String,
    #[description = "Only for a zone that is new: its kind"] kind: Option<Kind>,
    #[description = "VLAN or VXLAN number; not in simple zones"]
    #[min = 1]
    #[max = 16_777_215]
    tag: Option<u32>,
    #[description = "For a new vlan zone: the bridge every node has (vmbr0)"]
    #[max_length = 15]
    bridge: Option<String>,
    #[description = "For a new vxlan zone: the nodes' addresses, separated by spaces"]
    #[max_length = 500]
    peers: Option<String>,
    #[description = "A readable name"]
    #[max_length = 200]
    alias: Option<String>,
    #[description = "Guests may talk to the gateway only, not to each other (no)"] isolate: Option<
        bool,
    >,
    #[description = "Guests may use VLANs inside it (no)"] vlanaware: Option<bool>,
    #[description = "Its network, such as 10.8.0.0/24"]
    #[max_length = 43]
    subnet: Option<String>,
    #[description = "The nodes' address in that network, such as 10.8.0.1"]
    #[max_length = 39]
    gateway: Option<String>,
    #[description = "Guests reach the outside under the node's address (no)"] snat: Option<bool>,
    #[description = "Minutes to press Keep in (5)"]
    #[min = 1]
    #[max = 20]
    keep: Option<u32>,
    #[description = "Which cluster; may be left out when there is only one"]
    #[autocomplete = "complete::cluster"]
    cluster: Option<String>,
) -> Result<(), FaceError> {
    change(ctx, cluster, keep, move |visit| {
        if subnet.is_none() && (gateway.is_some() || snat == Some(true)) {
            return Err(said(
                "A gateway of which network?",
                "gateway and snat belong to a subnet. Nothing was done",
                "Give the option subnet as well, such as 10.8.0.0/24.",
                &visit.reference(),
            ));
        }
        let zone = zone.trim().to_owned();
        let new_zone = kind.map(|kind| ZoneSpec {
            id: zone.clone(),
            kind: match kind {
                Kind::Simple => ZoneKind::Simple,
                Kind::Vlan => {
                    ZoneKind::Vlan { bridge: given(bridge).unwrap_or_else(|| "vmbr0".to_owned()) }
                }
                Kind::Vxlan => ZoneKind::Vxlan {
                    peers: given(peers)
                        .unwrap_or_default()
                        .split([' ', ','])
                        .filter(|p| !p.is_empty())
                        .map(str::to_owned)
                        .collect(),
                },
            },
        });
        let spec = VnetSpec {
            id: name.trim().to_owned(),
            zone,
            new_zone,
            tag,
            alias: given(alias),
            isolate_ports: isolate.unwrap_or(false),
            vlan_aware: vlanaware.unwrap_or(false),
            subnet: given(subnet).map(|cidr| SubnetSpec {
                cidr,
                gateway: given(gateway),
                snat: snat.unwrap_or(false),
            }),
        };
        Ok(NetworkChange::CreateVnet { spec })
    })
    .await
}

/// Remove a vnet that no guest uses, with its subnets; put back unless somebody presses Keep
#[poise::command(slash_command, guild_only)]
async fn delete(
    ctx: Context<'_>,
    #[description = "Which vnet"]
    #[max_length = 8]
    vnet: String,
    #[description = "Minutes to press Keep in (5)"]
    #[min = 1]
    #[max = 20]
    keep: Option<u32>,
    #[description = "Which cluster; may be left out when there is only one"]
    #[autocomplete = "complete::cluster"]
    cluster: Option<String>,
) -> Result<(), FaceError> {
    let name = vnet.trim().to_owned();
    change(ctx, cluster, keep, |_| Ok(NetworkChange::DeleteVnet { name })).await
}

/// Apply what somebody has staged in the SDN; put back unless somebody presses Keep
#[poise::command(slash_command, guild_only)]
async fn apply(
    ctx: Context<'_>,
    #[description = "Minutes to press Keep in (5)"]
    #[min = 1]
    #[max = 20]
    keep: Option<u32>,
    #[description = "Which cluster; may be left out when there is only one"]
    #[autocomplete = "complete::cluster"]
    cluster: Option<String>,
) -> Result<(), FaceError> {
    change(ctx, cluster, keep, |_| Ok(NetworkChange::Apply)).await
}

/// Drop what somebody has staged in the SDN
#[poise::command(slash_command, guild_only)]
async fn revert(
    ctx: Context<'_>,
    #[description = "Which cluster; may be left out when there is only one"]
    #[autocomplete = "complete::cluster"]
    cluster: Option<String>,
) -> Result<(), FaceError> {
    change(ctx, cluster, None, |_| Ok(NetworkChange::Revert)).await
}

/// Asks for a change of the SDN.
async fn change(
    ctx: Context<'_>,
    cluster: Option<String>,
    keep: Option<u32>,
    make: impl FnOnce(&Visit) -> Result<NetworkChange, FaceError> + Send,
) -> Result<(), FaceError> {
    serve(ctx, |visit| async move {
        let cluster = choose(&visit, cluster.as_deref())?;
        let change = make(&visit)?;
        ask(&visit, NetworkAction { cluster, scope: Scope::Sdn, change, keep_s: seconds(keep) })
            .await
    })
    .await
}
