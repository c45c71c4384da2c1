//! Task lists, status, logs and cancelling.
//!
//! Everybody sees the tasks that are their own; others need Sys.Audit (Sys.Modify to cancel) on the node.

use serde_json::{Value, json};

use super::Call;
use crate::reply::{Data, Refusal, Reply};
use crate::task::{Task, is_upid};

/// How many tasks `/cluster/tasks` shows.
const CLUSTER_TASKS: usize = 250;

fn owns(call: &Call<'_>, task: &Task) -> bool {
    task.user == call.caller.id()
        || (call.caller.token.is_none() && task.person() == call.caller.user)
}

fn sees(call: &Call<'_>, task: &Task) -> bool {
    owns(call, task) || call.need(&format!("/nodes/{}", task.node), &["Sys.Audit"]).is_ok()
}

pub(super) fn cluster(call: &mut Call<'_>) -> Reply {
    let rows = call
        .state
        .tasks
        .values()
        .rev()
        .filter(|task| call.state.online(&task.node) && sees(call, task))
        .take(CLUSTER_TASKS)
        .map(|task| {
            let mut row = task.listed();
            if let Some(map) = row.as_object_mut() {
                map.remove("pid");
                map.remove("pstart");
                // Sometimes text, sometimes a number in the real answer (measured).
                let saved = if task.pid % 2 == 0 { json!("1") } else { json!(1) };
                map.insert("saved".into(), if task.is_running() { json!(0) } else { saved });
            }
            row
        })
        .collect();
    Ok(Value::Array(rows).into())
}

pub(super) fn list(call: &mut Call<'_>) -> Reply {
    let node = call.node();
    let source = call.text("source").unwrap_or_else(|| "archive".to_owned());
    let (since, until, vmid) = (call.number("since"), call.number("until"), call.text("vmid"));
    let (kind, user) = (call.text("typefilter"), call.text("userfilter"));
    let states = call.text("statusfilter");
    let errors = call.flag("errors");
    let mut found: Vec<&Task> = call
        .state
        .tasks
        .values()
        .rev()
        .filter(|t| t.node == node && sees(call, t))
        .filter(|t| match source.as_str() {
            "archive" => !t.is_running(),
            "active" => t.is_running(),
            _ => true,
        })
        .filter(|t| since.is_none_or(|at| t.start as u64 >= at))
        .filter(|t| until.is_none_or(|at| t.start as u64 <= at))
        .filter(|t| vmid.as_ref().is_none_or(|id| t.id == *id))
        .filter(|t| kind.as_ref().is_none_or(|k| t.kind.contains(k.as_str())))
        .filter(|t| user.as_ref().is_none_or(|u| t.user.contains(u.as_str())))
        .filter(|t| !errors || status_class(t) == "error")
        .filter(|t| {
            states.as_ref().is_none_or(|s| s.split([',', ';', ' ']).any(|s| s == status_class(t)))
        })
        .collect();
    // Running tasks stand first, as in the real list.
    found.sort_by_key(|t| !t.is_running());
    let total = found.len();
    let start = usize::try_from(call.number("start").unwrap_or(0)).unwrap_or(0);
    let limit = match call.number("limit").unwrap_or(50) {
        0 => usize::MAX,
        n => usize::try_from(n).unwrap_or(usize::MAX),
    };
    let rows = found.into_iter().skip(start).take(limit).map(Task::listed).collect();
    Ok(Data::page(Value::Array(rows), total))
}

fn status_class(task: &Task) -> &'static str {
    match task.end.as_ref().map(|(_, exit)| exit.as_str()) {
        None => "unknown",
        Some("OK") => "ok",
        Some(text) if text.starts_with("WARNINGS: ") => "warning",
        Some("unexpected status") => "unknown",
        Some(_) => "error",
    }
}

fn find<'a>(call: &'a Call<'_>) -> Result<&'a Task, Refusal> {
    let upid = call.text("upid").unwrap_or_default();
    if !is_upid(&upid) {
        return Err(Refusal::parameter("upid", "unable to parse worker upid"));
    }
    let node = call.node();
    match call.state.task(&upid) {
        Some(task) if task.node == node => Ok(task),
        _ => Err(Refusal::parameter("upid", "no such task")),
    }
}

pub(super) fn status(call: &mut Call<'_>) -> Reply {
    let task = find(call)?;
    if !owns(call, task) {
        call.need(&format!("/nodes/{}", call.node()), &["Sys.Audit"])?;
    }
    Ok(task.status().into())
}

pub(super) fn log(call: &mut Call<'_>) -> Reply {
    let task = find(call)?;
    if !owns(call, task) {
        call.need(&format!("/nodes/{}", call.node()), &["Sys.Audit"])?;
    }
    let start = usize::try_from(call.number("start").unwrap_or(0)).unwrap_or(0);
    let limit = match call.number("limit").unwrap_or(50) {
        0 => usize::MAX,
        n => usize::try_from(n).unwrap_or(usize::MAX),
    };
    // An empty log is one line that says so.
    if task.log.is_empty() {
        return Ok(Data::page(json!([{"n": 1, "t": "no content"}]), 1));
    }
    let rows = task
        .log
        .iter()
        .enumerate()
        .skip(start)
        .take(limit)
        .map(|(n, line)| json!({"n": n + 1, "t": line}))
        .collect();
    Ok(Data::page(Value::Array(rows), task.log.len()))
}

/// Cancelling a finished task is 200 with nothing done (measured).
pub(super) fn cancel(call: &mut Call<'_>) -> Reply {
    let task = find(call)?;
    if !owns(call, task) {
        call.need(&format!("/nodes/{}", call.node()), &["Sys.Modify"])?;
    }
    let upid = task.upid.clone();
    call.state.interrupt(&upid);
    Ok(Value::Null.into())
}
