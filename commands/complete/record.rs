//! Completion of what is written down, and of what happened lately: sets, forwards, rules, operations, tasks.

use gantry_core::action::Verb;
use gantry_core::policy::Target;
use serenity::all::CreateAutocompleteResponse;

use super::{Any, offer};
use crate::paint::OPTIONS_MAX;

/// Completes a forward the asker may remove.
pub async fn forward(ctx: Any<'_>, typed: &str) -> CreateAutocompleteResponse {
    offer(ctx, typed, |t| {
        let mut found = Vec::new();
        for forward in t.engine.known_forwards() {
            let label = format!("{} ({})", forward.spec, forward.spec.cluster);
            let fits = t.fits(&label) || t.fits(forward.id.as_str());
            if fits && t.engine.may_remove(&t.actor, &forward).is_allowed() {
                found.push((label, forward.id.to_string()));
            }
            if found.len() == OPTIONS_MAX {
                break;
            }
        }
        found
    })
}

/// Completes a webhook of Proxmox's; those of another cluster than the one chosen are left out.
pub async fn hook(ctx: Any<'_>, typed: &str) -> CreateAutocompleteResponse {
    offer(ctx, typed, |t| {
        let chosen = t.other("cluster");
        let views = t.engine.views();
        let theirs = views
            .iter()
            .map(|v| &v.cluster)
            .filter(|c| chosen.is_none_or(|name| c.as_str() == name) && t.may(Target::Cluster(c)));
        let all = theirs.flat_map(|c| t.engine.notify_hooks(Some(c)));
        all.filter(|name| t.fits(name)).map(|name| (name.clone(), name)).collect()
    })
}

/// Completes a rule of alerts.
pub async fn rule(ctx: Any<'_>, typed: &str) -> CreateAutocompleteResponse {
    offer(ctx, typed, |t| {
        if !t.may(Target::Any) {
            return Vec::new();
        }
        let all = t.engine.rule_names();
        let fits = all.iter().filter(|(id, title)| t.fits(id) || t.fits(title));
        fits.map(|(id, title)| (format!("{id} · {title}"), id.clone())).collect()
    })
}

/// Completes a set.
pub async fn set(ctx: Any<'_>, typed: &str) -> CreateAutocompleteResponse {
    offer(ctx, typed, |t| {
        let sets = t.engine.sets();
        let found = sets
            .iter()
            .map(|s| s.address())
            .filter(|s| t.fits(&s.to_string()))
            .filter(|s| t.engine.may_set(&t.actor, Verb::SetShow, s).is_allowed());
        found.map(|s| (s.to_string(), s.to_string())).collect()
    })
}

/// Completes an operation of lately that was asked for on this server.
pub async fn operation(ctx: Any<'_>, typed: &str) -> CreateAutocompleteResponse {
    offer(ctx, typed, |t| {
        let ops = t.engine.recent_operations();
        let may = |op: &gantry_engine::RecentOp| {
            crate::show::may_action(t.engine, &t.actor, t.verb, &op.action, op.by).is_allowed()
        };
        let found = ops
            .iter()
            .filter(|op| op.guild == Some(t.actor.guild))
            .filter(|op| t.fits(op.id.as_str()) || t.fits(&op.words))
            .filter(|op| may(op));
        found
            .map(|op| (format!("{} · {}", op.words, op.state.as_str()), op.id.to_string()))
            .collect()
    })
}

/// Completes a task of Proxmox seen lately; only those that run where one shall be stopped.
pub async fn task(ctx: Any<'_>, typed: &str) -> CreateAutocompleteResponse {
    offer(ctx, typed, |t| {
        let mut found: Vec<(i64, String, String)> = Vec::new();
        for view in t.views() {
            for task in t.engine.recent_tasks(&view.cluster).iter() {
                let upid = &task.upid;
                let state = task.status.as_deref().unwrap_or("running");
                let words = format!("{} {} · {} · {state}", upid.kind(), upid.id(), upid.node());
                let asked = t.verb != Verb::TaskCancel || task.status.is_none();
                if asked
                    && (t.fits(upid.as_str()) || t.fits(&words))
                    && t.engine.may_task(&t.actor, t.verb, &view.cluster, upid).is_allowed()
                {
                    found.push((task.started_ms, words, upid.to_string()));
                }
            }
        }
        found.sort_by_key(|(started_ms, _, _)| std::cmp::Reverse(*started_ms));
        found.into_iter().map(|(_, words, upid)| (words, upid)).collect()
    })
}
