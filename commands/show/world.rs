//! Clusters, nodes and guests: live where one thing is asked for, from the inventory where many are, and always
//! with their age.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use gantry_core::action::{GuestRef, Verb};
use gantry_core::id::{ClusterId, NodeName};
use gantry_core::pod::PodFault;
use gantry_core::policy::Target;
use gantry_core::world::{ClusterView, Guest, GuestStatus, Node};

use super::{PAGE, verbs_for};
use crate::card::{
    self, Card, Choice, ClusterCard, GuestList, GuestShow, NodeFacts, NodeList, Place, PodShow,
    span,
};
use crate::face::FaceError;
use crate::screen::GuestFilter;
use crate::token::ScreenId;
use crate::visit::{Visit, said};
use crate::words;

/// How old a view may be before a list reads again.
const FRESH: Duration = Duration::from_secs(5);
/// How long a list waits for that before it shows what is known, with its age.
const READ_WITHIN: Duration = Duration::from_secs(3);

/// Reads the clusters somebody asks about again where they are old, all at once; one that does not answer in time
/// is shown as it was.
async fn freshen(visit: &Visit, only: Option<&ClusterId>) {
    let engine = visit.face.engine();
    let reads = engine.views().into_iter().filter(|v| only.is_none_or(|c| v.cluster == *c)).map(
        |v| async move {
            if tokio::time::timeout(READ_WITHIN, engine.refresh(&v.cluster, FRESH)).await.is_err() {
                tracing::debug!(cluster = %v.cluster, "not read in time; shown as it was known");
            }
        },
    );
    join_all(reads).await;
}

fn find_view(visit: &Visit, cluster: &ClusterId) -> Result<Arc<ClusterView>, FaceError> {
    visit.face.engine().views().into_iter().find(|v| v.cluster == *cluster).ok_or_else(|| {
        let known: Vec<String> =
            visit.face.engine().views().iter().map(|v| v.cluster.to_string()).collect();
        said(
            &format!("There is no cluster {cluster}"),
            &format!("Configured are: {}", known.join(", ")),
            "Choose one of them.",
            &visit.reference(),
        )
    })
}

pub(super) async fn cluster(
    visit: &Visit,
    cluster: &ClusterId,
    id: &ScreenId,
) -> Result<Card, FaceError> {
    freshen(visit, Some(cluster)).await;
    let view = find_view(visit, cluster)?;
    let total = view.guests.len();
    let mut seen = ClusterView::clone(&view);
    seen.guests.retain(|g| sees(visit, g));
    seen.nodes.retain(|n| {
        visit.may(Verb::ClusterStatus, Target::Node(&view.cluster, &n.name)).is_allowed()
            || visit.may(Verb::ClusterStatus, Target::Cluster(&view.cluster)).is_allowed()
    });
    Ok(card::cluster_status(&ClusterCard {
        hidden: total - seen.guests.len(),
        view: &seen,
        endpoints: &visit.face.engine().endpoints(cluster),
        now_ms: visit.now_ms(),
        screen: id,
    }))
}

fn sees(visit: &Visit, guest: &Guest) -> bool {
    let may = |verb| visit.may(verb, Target::Guest(guest)).is_allowed();
    may(Verb::GuestList) || may(Verb::GuestShow) || (guest.is_pod() && may(Verb::PodShow))
}

/// Clusters of a list whose newest read failed, and the oldest moment shown.
fn ages(views: &[Arc<ClusterView>]) -> (Vec<(String, String)>, i64) {
    let faults =
        views.iter().filter_map(|v| v.fault.clone().map(|f| (v.cluster.to_string(), f))).collect();
    (faults, views.iter().map(|v| v.observed_ms).min().unwrap_or(0))
}

pub(super) async fn nodes(
    visit: &Visit,
    only: Option<&ClusterId>,
    page: &mut u64,
    id: &ScreenId,
) -> Result<Card, FaceError> {
    freshen(visit, only).await;
    let mut views = visit.face.engine().views();
    views.retain(|v| only.is_none_or(|c| v.cluster == *c));
    let rows: Vec<(String, Node)> = views
        .iter()
        .flat_map(|v| v.nodes.iter().map(move |n| (v, n)))
        .filter(|(v, n)| visit.may(Verb::NodeList, Target::Node(&v.cluster, &n.name)).is_allowed())
        .map(|(v, n)| (v.cluster.to_string(), n.clone()))
        .collect();
    views.retain(|v| rows.iter().any(|(c, _)| c == v.cluster.as_str()));
    let (faults, observed_ms) = ages(&views);
    let place = Place::clamp(*page, PAGE, rows.len() as u64);
    *page = place.page;
    Ok(card::node_list(&NodeList {
        rows: slice(&rows, place),
        place,
        now_ms: visit.now_ms(),
        observed_ms,
        faults: &faults,
        screen: id,
    }))
}

/// The rows of one page.
fn slice<T>(rows: &[T], place: Place) -> &[T] {
    let from = usize::try_from(place.offset()).unwrap_or(usize::MAX).min(rows.len());
    let size = usize::try_from(place.size).unwrap_or(usize::MAX);
    &rows[from..from.saturating_add(size).min(rows.len())]
}

pub(super) async fn node(
    visit: &Visit,
    cluster: &ClusterId,
    name: &NodeName,
    id: &ScreenId,
) -> Result<Card, FaceError> {
    let detail = visit.face.engine().node(cluster, name).await?;
    let now_ms = visit.now_ms();
    let mut guests = detail.guests;
    let total = guests.len();
    guests.retain(|g| sees(visit, g));
    guests.sort_by(|a, b| a.name.cmp(&b.name));
    let stale = detail.fault.map(|why| {
        format!(
            "It cannot be asked now: {} Figures are {} old.",
            card::full_stop(&why),
            span(now_ms - detail.node.seen_ms)
        )
    });
    Ok(card::node_show(&NodeFacts {
        cluster: cluster.as_str(),
        node: &detail.node,
        version: detail.pve_version.as_deref(),
        kernel: detail.kernel.as_deref(),
        load: &detail.load,
        hidden: total - guests.len(),
        guests: &guests,
        storages: &detail.storages,
        now_ms,
        stale: stale.as_deref(),
        screen: id,
    }))
}

pub(super) async fn guests(
    visit: &Visit,
    filter: &GuestFilter,
    page: &mut u64,
    id: &ScreenId,
) -> Result<Card, FaceError> {
    freshen(visit, filter.cluster.as_ref()).await;
    let mut views = visit.face.engine().views();
    views.retain(|v| filter.cluster.as_ref().is_none_or(|c| v.cluster == *c));
    let verb = if filter.pods { Verb::PodList } else { Verb::GuestList };
    let mut rows: Vec<Guest> = Vec::new();
    let mut hidden = 0;
    for guest in views.iter().flat_map(|v| &v.guests).filter(|g| covers(filter, g)) {
        if visit.may(verb, Target::Guest(guest)).is_allowed() {
            rows.push(guest.clone());
        } else {
            hidden += 1;
        }
    }
    // How many there are that may not be seen is told only without a filter on what they are: else one could
    // ask for their names letter by letter.
    if filter.text.is_some() || filter.tag.is_some() || filter.pool.is_some() {
        hidden = 0;
    }
    rows.sort_by(|a, b| (&a.name, &a.cluster, a.vmid).cmp(&(&b.name, &b.cluster, b.vmid)));
    views.retain(|v| rows.iter().any(|g| g.cluster == v.cluster) || rows.is_empty());
    let (mut faults, observed_ms) = ages(&views);
    if filter.pods {
        for (_, why) in &mut faults {
            *why = format!("{}: {why}. {}", PodFault::List, PodFault::List.next());
        }
    }
    let place = Place::clamp(*page, PAGE, rows.len() as u64);
    *page = place.page;
    let rows_here = slice(&rows, place);
    let engine = visit.face.engine();
    let health: Vec<_> = rows_here.iter().map(|g| engine.pod_health(&g.address())).collect();
    Ok(card::guest_list(&GuestList {
        title: if filter.pods { "Pods" } else { "Guests" },
        rows: rows_here,
        health: &health,
        place,
        filters: &filter_words(filter),
        hidden,
        running: rows.iter().filter(|g| g.status == GuestStatus::Running).count(),
        unknown: rows.iter().filter(|g| g.status == GuestStatus::Unknown).count(),
        observed_ms,
        faults: &faults,
        screen: id,
    }))
}

fn covers(filter: &GuestFilter, g: &Guest) -> bool {
    (!filter.pods || g.is_pod())
        && filter.state.is_none_or(|s| g.status == s)
        && filter.node.as_deref().is_none_or(|n| g.node.as_str() == n)
        && filter.tag.as_deref().is_none_or(|t| g.tags.iter().any(|have| have == t))
        && filter.pool.as_deref().is_none_or(|p| g.pool.as_deref() == Some(p))
        && filter.text.as_deref().is_none_or(|t| {
            g.name.to_lowercase().contains(&t.to_lowercase()) || g.vmid.to_string() == t
        })
}

fn filter_words(filter: &GuestFilter) -> Vec<String> {
    let mut words = Vec::new();
    if let Some(cluster) = &filter.cluster {
        words.push(format!("cluster {cluster}"));
    }
    if let Some(state) = filter.state {
        words.push(state.as_str().to_owned());
    }
    for (what, value) in [
        ("node", &filter.node),
        ("tag", &filter.tag),
        ("pool", &filter.pool),
        ("name", &filter.text),
    ] {
        if let Some(value) = value {
            words.push(format!("{what} {value}"));
        }
    }
    words
}

pub(super) async fn guest(
    visit: &Visit,
    address: &GuestRef,
    pod: bool,
    id: &ScreenId,
) -> Result<Card, FaceError> {
    let verb = if pod { Verb::PodShow } else { Verb::GuestShow };
    let view = find_view(visit, &address.cluster)?;
    let known = view.guest(address.vmid).cloned();
    let (detail, fault) = match visit.face.engine().guest(address).await {
        Ok(detail) => (detail, None),
        Err(error) if known.is_some() => (None, Some(error)),
        Err(error) => return Err(error.into()),
    };
    let gone = || {
        said(
            &format!("{address} is not there"),
            "Proxmox does not know it any more",
            "`/guest list` shows the guests you may see.",
            &visit.reference(),
        )
    };
    let guest = match (&detail, known) {
        (Some(detail), _) => detail.live.guest.clone(),
        (None, Some(known)) if fault.is_some() => known,
        _ => return Err(gone()),
    };
    // Tags and pool may have changed since the inventory was read: what is shown is decided by what is read.
    if let gantry_core::policy::Ruling::Denied { because } = visit.may(verb, Target::Guest(&guest))
    {
        visit.face.engine().denied(&visit.actor, verb, &address.to_string(), &because).await?;
        return Ok(card::refusal(verb, &address.to_string(), &because));
    }
    // What is known of a guest is as old as the last news of its node.
    let known_ms = view.node(&guest.node).map_or(view.observed_ms, |n| n.seen_ms);
    let stale = fault.map(|error| {
        let why = error.parts().why;
        format!(
            "It cannot be read now: {why} This is what was known {} ago.",
            span(visit.now_ms() - known_ms)
        )
    });
    let as_pod = guest.is_pod() && (pod || verbs_for(visit, &guest, false).is_empty());
    let verbs: Vec<Choice> = verbs_for(visit, &guest, as_pod)
        .into_iter()
        .map(|v| Choice {
            value: v.as_str().to_owned(),
            label: format!("{} {}", words::verb(v).todo, guest.name),
            hint: card::page_of(v).map(|p| p.does.to_owned()).unwrap_or_default(),
        })
        .collect();
    let show = GuestShow {
        guest: &guest,
        disks: detail.as_ref().map(|d| d.live.disks.as_slice()).unwrap_or_default(),
        nets: detail.as_ref().map(|d| d.nets.as_slice()).unwrap_or_default(),
        addresses: detail.as_ref().map(|d| d.addresses.as_slice()).unwrap_or_default(),
        notes: detail.as_ref().map(|d| d.description.as_str()).unwrap_or_default(),
        onboot: detail.as_ref().is_some_and(|d| d.onboot),
        protected: detail.as_ref().is_some_and(|d| d.live.protected),
        snapshots: detail.as_ref().and_then(|d| d.live.snapshots),
        ostype: detail.as_ref().and_then(|d| d.ostype.as_deref()),
        read_ms: detail.as_ref().map_or(known_ms, |d| d.live.read_ms),
        stale: stale.as_deref(),
        verbs: &verbs,
        screen: id,
    };
    Ok(if guest.is_pod() {
        card::pod_show(&PodShow {
            guest: show,
            spec: detail.as_ref().and_then(|d| d.pod.as_ref()),
            in_store: detail.as_ref().is_some_and(|d| d.in_store),
            live: detail.is_some(),
            health: detail.as_ref().and_then(|d| d.health.as_ref()),
            now_ms: visit.now_ms(),
            drift: detail.as_ref().map(|d| d.drift.as_slice()).unwrap_or_default(),
            waiting: detail.as_ref().map(|d| d.waiting.as_slice()).unwrap_or_default(),
        })
    } else {
        card::guest_show(&show)
    })
}

/// The question which of several is meant; those that are gone or may not be seen by now are left out.
pub(super) fn choice(
    visit: &Visit,
    verb: Verb,
    asked: &str,
    guests: &[GuestRef],
    page: u64,
    id: &ScreenId,
) -> Card {
    let views = visit.face.engine().views_for(&visit.actor, verb);
    let known: Vec<Guest> = guests
        .iter()
        .filter_map(|g| views.iter().find(|v| v.cluster == g.cluster)?.guest(g.vmid).cloned())
        .collect();
    card::choice(verb, asked, &known, usize::try_from(page).unwrap_or(0), id)
}
