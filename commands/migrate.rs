//! Moving a guest: to a node somebody named, or to one they pick from a menu.

use gantry_core::action::{GuestRef, Verb};
use gantry_core::id::NodeName;
use gantry_core::policy::{Ruling, Target};
use gantry_core::world::NodeState;
use gantry_engine::Ask;

use crate::act::{self, Door};
use crate::card::{self, Card, Choice};
use crate::face::FaceError;
use crate::screen::View;
use crate::show;
use crate::token::ScreenId;
use crate::visit::{Visit, said};

/// A move to a node that was named.
pub(crate) async fn to_node(
    visit: &Visit,
    who: &str,
    to: &str,
    restart: bool,
) -> Result<(), FaceError> {
    let verb = Verb::GuestMigrate;
    let Door::Open(guest) = act::door(visit, verb, who).await? else { return Ok(()) };
    let to: NodeName = to.trim().parse().map_err(|bad| {
        said(
            "No such node",
            &format!("{bad}. Nothing was done"),
            "`/node list` shows the nodes you may see.",
            &visit.reference(),
        )
    })?;
    let ask = Ask::Migrate { who: who.to_owned(), to, restart };
    act::carry(visit, verb, who, None, ask, guest.is_some()).await
}

/// Asks where a guest shall go.
pub(crate) async fn ask_where(visit: &Visit, who: &str) -> Result<(), FaceError> {
    match act::door(visit, Verb::GuestMigrate, who).await? {
        Door::Shut => Ok(()),
        Door::Open(Some(guest)) => show::open(visit, View::MoveTo { guest: guest.address() }).await,
        Door::Open(None) => visit.say(&card::unknown_guest(Verb::GuestMigrate, who, &[])).await,
    }
}

/// The question with the nodes there are, from memory. Whether it may go there is asked when one is picked.
pub(crate) fn question(visit: &Visit, guest: &GuestRef, id: &ScreenId) -> Result<Card, FaceError> {
    let view = visit.face.engine().view(&guest.cluster);
    let seen = view.as_ref().and_then(|v| Some((v, v.guest(guest.vmid)?)));
    let Some((view, guest)) = seen else {
        return Err(said(
            &format!("{guest} is not there"),
            "Proxmox does not know it any more",
            "`/guest list` shows the guests you may see.",
            &visit.reference(),
        ));
    };
    if let Ruling::Denied { because } = visit.may(Verb::GuestMigrate, Target::Guest(guest)) {
        return Ok(card::refusal(Verb::GuestMigrate, &guest.name, &because));
    }
    let nodes = view.nodes.iter().filter(|n| n.name != guest.node && n.state == NodeState::Up);
    let choices = nodes
        .map(|n| Choice {
            value: n.name.to_string(),
            label: n.name.to_string(),
            hint: format!(
                "{} of {} memory free · {} CPU",
                card::bytes(n.mem_max.saturating_sub(n.mem)),
                card::bytes(n.mem_max),
                card::percent(n.cpu, 1.0)
            ),
        })
        .collect();
    Ok(card::move_to(guest, choices, id))
}
