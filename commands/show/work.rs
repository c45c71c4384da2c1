//! Tasks of Proxmox, operations of gantry, and the audit log.

use gantry_core::action::{Action, GuestRef, Verb};
use gantry_core::audit::AuditRow;
use gantry_core::id::{ClusterId, OperationId, Upid, UserId};
use gantry_core::network::Scope;
use gantry_core::operation::Operation;
use gantry_core::policy::{Actor, Ruling, Target};
use gantry_core::world::ClusterView;
use gantry_engine::store::{AuditFilter, OpFilter};
use gantry_engine::{Engine, TaskLog, TaskQuery};

use super::PAGE;
use crate::card::{self, AuditList, Card, OpList, Place, TaskList};
use crate::face::{FaceError, store_error};
use crate::screen::TaskFilter;
use crate::token::ScreenId;
use crate::visit::{Visit, said};

/// How many of the newest tasks a list looks at.
const TASKS_READ: u32 = 500;
/// Lines at the end of a task's log that its card shows.
const LOG_TAIL: u32 = 12;
/// Lines `/task log` reads at once.
const LOG_READ: u32 = 1000;
/// Audit rows on an operation's card.
const TRAIL: u32 = 12;

pub(super) async fn tasks(
    visit: &Visit,
    cluster: &ClusterId,
    filter: &TaskFilter,
    page: &mut u64,
    shown: &mut Vec<Upid>,
    id: &ScreenId,
) -> Result<Card, FaceError> {
    let query = TaskQuery {
        node: filter.node.clone(),
        vmid: filter.guest.as_ref().map(|g| g.vmid),
        running_only: filter.running,
        failed_only: filter.failed,
        limit: TASKS_READ,
    };
    let engine = visit.face.engine();
    let read_ms = visit.now_ms();
    let mut rows = engine.tasks(cluster, query).await?;
    let read = rows.len();
    rows.retain(|t| engine.may_task(&visit.actor, Verb::TaskList, cluster, &t.upid).is_allowed());
    let place = Place::clamp(*page, PAGE, rows.len() as u64);
    *page = place.page;
    let from = usize::try_from(place.offset()).unwrap_or(usize::MAX).min(rows.len());
    let to = from.saturating_add(PAGE as usize).min(rows.len());
    *shown = rows[from..to].iter().map(|t| t.upid.clone()).collect();
    let mut filters = Vec::new();
    if let Some(node) = &filter.node {
        filters.push(format!("node {node}"));
    }
    if let Some(guest) = &filter.guest {
        filters.push(format!("guest {guest}"));
    }
    if filter.running {
        filters.push("running".to_owned());
    }
    if filter.failed {
        filters.push("failed".to_owned());
    }
    Ok(card::task_list(&TaskList {
        cluster: cluster.as_str(),
        rows: &rows[from..to],
        place,
        filters: &filters,
        hidden: read - rows.len(),
        window: (read >= TASKS_READ as usize).then_some(TASKS_READ),
        read_ms,
        screen: id,
    }))
}

fn no_task(visit: &Visit, upid: &Upid) -> FaceError {
    said(
        "No such task",
        &format!("{} does not know {upid}; Proxmox forgets old tasks", upid.node()),
        "`/task list` shows those it knows.",
        &visit.reference(),
    )
}

/// The last lines of a task's log. Proxmox counts from the front, so the length is asked first.
async fn tail(
    visit: &Visit,
    cluster: &ClusterId,
    upid: &Upid,
    lines: u32,
) -> Result<TaskLog, FaceError> {
    let engine = visit.face.engine();
    let first = engine.task_log(cluster, upid, 0, lines).await?;
    if first.total <= lines {
        return Ok(first);
    }
    Ok(engine.task_log(cluster, upid, first.total - lines, lines).await?)
}

pub(super) async fn task(
    visit: &Visit,
    cluster: &ClusterId,
    upid: &Upid,
    id: &ScreenId,
) -> Result<Card, FaceError> {
    let engine = visit.face.engine();
    let Some(task) = engine.task(cluster, upid).await? else { return Err(no_task(visit, upid)) };
    let log = tail(visit, cluster, upid, LOG_TAIL).await?;
    let may_stop = engine.may_task(&visit.actor, Verb::TaskCancel, cluster, upid).is_allowed();
    Ok(card::task_show(cluster.as_str(), &task, &log, visit.now_ms(), may_stop, id))
}

pub(super) async fn task_log(
    visit: &Visit,
    cluster: &ClusterId,
    upid: &Upid,
    from: Option<u32>,
) -> Result<Card, FaceError> {
    let engine = visit.face.engine();
    let Some(task) = engine.task(cluster, upid).await? else { return Err(no_task(visit, upid)) };
    let log = match from {
        Some(line) => engine.task_log(cluster, upid, line.saturating_sub(1), LOG_READ).await?,
        None => tail(visit, cluster, upid, LOG_READ).await?,
    };
    Ok(card::task_log(cluster.as_str(), &task, &log, visit.now_ms()))
}

/// Policy for an operation or a plan by `by`: on its guest as it is known now, else on its cluster. Memory only.
pub(crate) fn may_action(
    engine: &Engine,
    actor: &Actor,
    verb: Verb,
    action: &Action,
    by: UserId,
) -> Ruling {
    let cluster = action.cluster();
    let any = engine.may(actor, verb, Target::Any);
    // What somebody asked for or confirmed themselves they may look up, even when its guest is gone by now.
    if by == actor.user && any.is_allowed() {
        return any;
    }
    match action {
        Action::Network(action) => match &action.scope {
            Scope::Node(node) => engine.may(actor, verb, Target::Node(cluster, node)),
            Scope::Sdn => engine.may(actor, verb, Target::Cluster(cluster)),
        },
        Action::CancelTask { upid, .. } => engine.may_task(actor, verb, cluster, upid),
        Action::Set(action) => engine.may_set(actor, verb, action.set()),
        Action::CreatePod { spec, placed, .. } => {
            engine.may_make(actor, verb, cluster, &spec.placed(placed.as_ref()))
        }
        Action::Image(image) if image.guest().is_none() => {
            engine.ruling_on_images(actor, verb, image)
        }
        Action::Forward(forward) => engine.ruling_on_forward(actor, verb, forward),
        Action::Notify(_) => engine.may(actor, verb, Target::Cluster(cluster)),
        Action::Power { .. }
        | Action::Delete { .. }
        | Action::Unlock { .. }
        | Action::Migrate(_)
        | Action::Snapshot(_)
        | Action::Pod(_)
        | Action::Image(_) => {
            let Some((guest, _)) = action.guest() else { return any };
            let views = engine.views();
            let found =
                views.iter().find(|v| v.cluster == *cluster).and_then(|v| v.guest(guest.vmid));
            match found {
                Some(g) => engine.may(actor, verb, Target::Guest(g)),
                // Deleted since: only the cluster is left to go by.
                None => engine.may(actor, verb, Target::Cluster(cluster)),
            }
        }
    }
}

/// Policy for an operation, once it is known to be of this server: what another server did, and who did it
/// there, is none of this one's business, whatever the guest.
async fn may_op(visit: &Visit, verb: Verb, op: &Operation) -> Result<Ruling, FaceError> {
    let card = visit
        .face
        .engine()
        .store()
        .find_card_of_operation(&op.id)
        .await
        .map_err(store_error("Could not read the operations"))?;
    if card.is_none_or(|c| c.guild != visit.actor.guild) {
        return Ok(Ruling::Denied { because: "this operation belongs to another server".into() });
    }
    Ok(may_action(visit.face.engine(), &visit.actor, verb, &op.action, op.by))
}

pub(super) async fn ops(
    visit: &Visit,
    open: bool,
    cluster: Option<&ClusterId>,
    guest: Option<&GuestRef>,
    page: &mut u64,
    id: &ScreenId,
) -> Result<Card, FaceError> {
    let filter =
        OpFilter { open_only: open, cluster: cluster.cloned(), guest: guest.cloned(), turn: None };
    let engine = visit.face.engine();
    let limit = u32::try_from(PAGE).unwrap_or(u32::MAX);
    let mut found = engine.operations(&filter, page.saturating_mul(PAGE), limit).await?;
    let place = Place::clamp(*page, PAGE, found.total);
    if place.page != *page {
        *page = place.page;
        found = engine.operations(&filter, place.offset(), limit).await?;
    }
    let read = found.rows.len();
    let mut rows = Vec::with_capacity(read);
    for op in found.rows {
        if may_op(visit, Verb::OpList, &op).await?.is_allowed() {
            rows.push(op);
        }
    }
    let mut filters = Vec::new();
    if open {
        filters.push("not over yet".to_owned());
    }
    if let Some(cluster) = cluster {
        filters.push(format!("cluster {cluster}"));
    }
    if let Some(guest) = guest {
        filters.push(format!("guest {guest}"));
    }
    Ok(card::op_list(&OpList {
        rows: &rows,
        place,
        filters: &filters,
        hidden: read - rows.len(),
        screen: id,
    }))
}

pub(super) async fn op(visit: &Visit, operation: &OperationId) -> Result<Card, FaceError> {
    let engine = visit.face.engine();
    let Some(op) = engine.operation(operation).await? else {
        return Err(said(
            "No such operation",
            &format!("{operation} is not in the database"),
            "`/op list` shows those there are.",
            &visit.reference(),
        ));
    };
    if let Ruling::Denied { because } = may_op(visit, Verb::OpShow, &op).await? {
        engine.denied(&visit.actor, Verb::OpShow, operation.as_str(), &because).await?;
        return Ok(card::refusal(Verb::OpShow, operation.as_str(), &because));
    }
    // The plan's rows are the beginning of the story, so the trail is asked for by plan.
    let filter = AuditFilter { plan: Some(op.plan.clone()), ..AuditFilter::default() };
    let trail = engine.audit(&filter, 0, TRAIL).await?;
    Ok(card::op_show(&op, &trail.rows, trail.total, visit.now_ms()))
}

pub(super) async fn audit(
    visit: &Visit,
    operation: Option<&OperationId>,
    user: Option<UserId>,
    page: &mut u64,
    id: &ScreenId,
) -> Result<Card, FaceError> {
    let filter = AuditFilter { plan: None, operation: operation.cloned(), user };
    let engine = visit.face.engine();
    let limit = u32::try_from(PAGE).unwrap_or(u32::MAX);
    let mut found = engine.audit(&filter, page.saturating_mul(PAGE), limit).await?;
    let place = Place::clamp(*page, PAGE, found.total);
    if place.page != *page {
        *page = place.page;
        found = engine.audit(&filter, place.offset(), limit).await?;
    }
    let read = found.rows.len();
    let mut rows = Vec::with_capacity(read);
    for row in found.rows {
        if may_read(visit, &row).await? {
            rows.push(row);
        }
    }
    let mut filters = Vec::new();
    if let Some(operation) = operation {
        filters.push(operation.to_string());
    }
    if let Some(user) = user {
        filters.push(format!("user {user}"));
    }
    Ok(card::audit_list(&AuditList {
        hidden: read - rows.len(),
        rows: &rows,
        place,
        filters: &filters,
        screen: id,
    }))
}

/// Whether a row may be shown: it must be of this server, and what it is about must be covered. What another
/// server did is none of this one's business.
async fn may_read(visit: &Visit, row: &AuditRow) -> Result<bool, FaceError> {
    let engine = visit.face.engine();
    let plan = match &row.plan {
        Some(plan) => engine
            .store()
            .find_plan(plan)
            .await
            .map_err(store_error("Could not read the audit log"))?
            .map(|stored| stored.plan),
        None => None,
    };
    let guild = row.guild.or_else(|| plan.as_ref().map(|p| p.asker.guild));
    if guild != Some(visit.actor.guild) {
        return Ok(false);
    }
    if let Some(plan) = plan {
        let by = row.user.unwrap_or(plan.asker.user);
        let ruling = may_action(engine, &visit.actor, Verb::AuditList, &plan.action, by);
        return Ok(ruling.is_allowed());
    }
    // Nothing but words is left of what it was about: for whoever asked, and for those who may read everything.
    let views = engine.views();
    let everything =
        |v: &ClusterView| visit.may(Verb::AuditList, Target::Cluster(&v.cluster)).is_allowed();
    Ok(row.user == Some(visit.actor.user) || views.iter().all(|v| everything(v)))
}
