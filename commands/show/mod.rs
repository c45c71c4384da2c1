//! What somebody wants to see: checked against policy from memory, acknowledged, read, shown, kept as a screen.
//!
//! Called by the commands that read and by `press` for the buttons of what they showed. Everything is shown to
//! the asker alone and holds only what the asker may see.

mod graph;
mod set;
mod work;
mod world;

pub(crate) use work::may_action;

use gantry_core::action::Verb;
use gantry_core::id::ClusterId;
use gantry_core::network::{Net, Scope};
use gantry_core::policy::{Ruling, Target};
use gantry_engine::Subject;

use crate::card::Card;
use crate::face::FaceError;
use crate::image::show as image;
use crate::screen::{self, GraphOf, View};
use crate::token::ScreenId;
use crate::visit::{Go, Visit};

/// Rows on a page: what a phone shows without much scrolling, and fewer than a menu's 25.
pub const PAGE: u64 = 10;

/// Answers with a view as a message of its own, seen by the asker alone.
pub async fn open(visit: &Visit, view: View) -> Result<(), FaceError> {
    if let Some((target, because)) = forbidden(visit, &view) {
        return visit.refuse(view.verb(), &target, &because).await;
    }
    if visit.begin(true, false).await? == Go::Stop {
        return Ok(());
    }
    let id = visit.screen_id("view");
    let card = draw_and_keep(visit, view, &id).await?;
    visit.say(&card).await
}

/// Draws a view that is open already again, in its place.
pub async fn redraw(visit: &Visit, view: View, id: &ScreenId) -> Result<(), FaceError> {
    if let Some((target, because)) = forbidden(visit, &view) {
        return visit.refuse(view.verb(), &target, &because).await;
    }
    if visit.begin_press(false).await? == Go::Stop {
        return Ok(());
    }
    let card = draw_and_keep(visit, view, id).await?;
    visit.desk.edit(&card).await?;
    Ok(())
}

/// Draws, then keeps what was drawn. A list that cannot be kept is still shown: only its buttons will not work.
async fn draw_and_keep(visit: &Visit, mut view: View, id: &ScreenId) -> Result<Card, FaceError> {
    let card = draw(visit, &mut view, id).await?;
    match screen::save(visit, id, &view).await {
        Ok(()) => Ok(card),
        Err(error) => {
            tracing::warn!(%error, "a screen could not be kept");
            let mut card =
                card.say("⚠ The buttons are missing because gantry's database does not answer.");
            card.rows.clear();
            Ok(card)
        }
    }
}

/// Why the asker may not see it: the target as they know it, and the reason. Memory only.
fn forbidden(visit: &Visit, view: &View) -> Option<(String, String)> {
    let (target, ruling) = match view {
        View::Cluster { cluster } => {
            (cluster.to_string(), visit.may(view.verb(), Target::Cluster(cluster)))
        }
        View::Vnets { cluster } | View::Forwards { cluster } => {
            (cluster.to_string(), visit.may(view.verb(), Target::Cluster(cluster)))
        }
        View::Node { cluster, node }
        | View::Bridges { cluster, node }
        | View::Bridge { cluster, node, .. } => {
            (node.to_string(), visit.may(view.verb(), Target::Node(cluster, node)))
        }
        View::Guest { guest, .. } | View::MoveTo { guest } | View::Snapshots { guest } => {
            let views = visit.face.engine().views();
            let found =
                views.iter().find(|v| v.cluster == guest.cluster).and_then(|v| v.guest(guest.vmid));
            match found {
                Some(g) => (guest.to_string(), visit.may(view.verb(), Target::Guest(g))),
                None => (guest.to_string(), visit.may(view.verb(), Target::Any)),
            }
        }
        View::Set { set, verb } => {
            (set.to_string(), visit.face.engine().may_set(&visit.actor, *verb, set))
        }
        View::GraphNode { cluster, node, .. } | View::GraphStorage { cluster, node, .. } => {
            (node.to_string(), visit.may(view.verb(), Target::Node(cluster, node)))
        }
        View::Task { cluster, upid } | View::TaskLog { cluster, upid, .. } => (
            format!("{} {}", upid.kind(), upid.id()),
            visit.face.engine().may_task(&visit.actor, view.verb(), cluster, upid),
        ),
        View::Images { cluster, .. } | View::Image { cluster, .. } => {
            (cluster.to_string(), visit.may(view.verb(), Target::Within(cluster)))
        }
        _ => (String::new(), visit.may(view.verb(), Target::Any)),
    };
    match ruling {
        Ruling::Allowed { .. } => None,
        Ruling::Denied { because } => Some((target, because)),
    }
}

async fn draw(visit: &Visit, view: &mut View, id: &ScreenId) -> Result<Card, FaceError> {
    match view {
        View::Cluster { cluster } => world::cluster(visit, cluster, id).await,
        View::Nodes { cluster, page } => world::nodes(visit, cluster.as_ref(), page, id).await,
        View::Node { cluster, node } => world::node(visit, cluster, node, id).await,
        View::Bridges { cluster, node } => {
            let net = network(visit, cluster, Scope::Node(node.clone())).await?;
            Ok(crate::card::bridge_list(cluster.as_str(), &net, id))
        }
        View::Bridge { cluster, node, name } => {
            let engine = visit.face.engine();
            let net = engine.bridge(&visit.actor, (cluster, node), name.as_str()).await?;
            Ok(crate::card::bridge_show(cluster.as_str(), &net, name.as_str(), id))
        }
        View::Vnets { cluster } => {
            let net = network(visit, cluster, Scope::Sdn).await?;
            Ok(crate::card::vnet_list(cluster.as_str(), &net, id))
        }
        View::Forwards { cluster } => {
            let list = visit.face.engine().forwards(&visit.actor, cluster).await?;
            Ok(crate::card::forward_list(&list, id))
        }
        View::Guests { filter, page } => world::guests(visit, filter, page, id).await,
        View::Guest { guest, pod } => world::guest(visit, guest, *pod, id).await,
        View::Choice { verb, asked, guests, page, .. } => {
            Ok(world::choice(visit, *verb, asked, guests, *page, id))
        }
        View::Images { cluster, filter, page } => {
            image::images(visit, cluster, filter, page, id).await
        }
        View::Image { cluster, image, node, users, sum } => {
            let about = image::About { users: *users, sum: *sum };
            image::image(visit, cluster, image, node.as_ref(), about, id).await
        }
        View::Tasks { cluster, filter, page, shown } => {
            work::tasks(visit, cluster, filter, page, shown, id).await
        }
        View::MoveTo { guest } => crate::migrate::question(visit, guest, id),
        View::Snapshots { guest } => Box::pin(crate::snapshot::draw(visit, guest, id)).await,
        View::Task { cluster, upid } => work::task(visit, cluster, upid, id).await,
        View::TaskLog { cluster, upid, from } => work::task_log(visit, cluster, upid, *from).await,
        View::Ops { open, cluster, guest, page } => {
            work::ops(visit, *open, cluster.as_ref(), guest.as_ref(), page, id).await
        }
        View::Op { operation } => work::op(visit, operation).await,
        View::Audit { operation, user, page } => {
            work::audit(visit, operation.as_ref(), *user, page, id).await
        }
        View::Help { noun } => Ok(crate::help::draw(visit, noun.as_deref(), id)),
        View::Alerts { history, page } => {
            Box::pin(crate::alert::draw(visit, *history, page, id)).await
        }
        View::Mutes { page } => Box::pin(crate::maintenance::draw(visit, page, id)).await,
        View::Sets { cluster, page } => set::sets(visit, cluster.as_ref(), page, id).await,
        View::Set { set, verb } => set::set(visit, set, *verb, id).await,
        View::GraphGuests { guests, of, time } => {
            graph::guests(visit, guests, *of, *time, id).await
        }
        View::GraphNode { cluster, node, of, time } => {
            let node = Subject::Node(cluster.clone(), node.clone());
            graph::subject(visit, &node, *of, *time, id).await
        }
        View::GraphStorage { cluster, node, storage, time } => {
            let storage = Subject::Storage(cluster.clone(), node.clone(), storage.clone());
            graph::subject(visit, &storage, GraphOf::Disk, *time, id).await
        }
        View::PodForm { .. } | View::SetForm { .. } => {
            Ok(crate::card::note(crate::card::Tone::Plain, "A form", "Press Edit again to open it"))
        }
    }
}

/// A network as it is now.
async fn network(visit: &Visit, cluster: &ClusterId, scope: Scope) -> Result<Net, FaceError> {
    Ok(visit.face.engine().network(cluster, &scope).await?)
}

/// One guest is looked at, several are compared.
pub(crate) fn graph_verb(guests: usize) -> Verb {
    if guests == 1 { Verb::GraphGuest } else { Verb::GraphCompare }
}

/// The verbs somebody may use on a guest as it is now, in the order of the help page.
pub(crate) fn verbs_for(visit: &Visit, guest: &gantry_core::world::Guest, pod: bool) -> Vec<Verb> {
    Verb::ALL
        .iter()
        .copied()
        .filter(|v| v.writes() && v.is_pod() == pod)
        // `stop` and `shutdown` are the same; one of them is enough in a menu.
        .filter(|v| {
            !matches!(
                v,
                Verb::PodCreate
                    | Verb::PodApply
                    | Verb::PodUpdate
                    | Verb::PodClean
                    | Verb::OpCancel
                    | Verb::TaskCancel
                    | Verb::GuestStop
                    // Shown with rolling back, under the list of snapshots.
                    | Verb::GuestSnapshotDelete
            )
        })
        .filter(|v| crate::complete::makes_sense(*v, guest))
        .filter(|v| visit.may(*v, Target::Guest(guest)).is_allowed())
        .collect()
}
