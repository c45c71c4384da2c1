//! Completion of images and of storages that take them. Memory only, as all completion.

use gantry_core::image::Content;
use gantry_core::policy::Target;
use serenity::all::CreateAutocompleteResponse;

use crate::complete::{answer, asker, other, verb_of};

type Any<'a> = poise::Context<'a, crate::Face, crate::FaceError>;

/// Images that memory knows; with `offers`, also what can be had.
fn images(ctx: Any<'_>, typed: &str, offers: bool) -> CreateAutocompleteResponse {
    let poise::Context::Application(ctx) = ctx else { return answer(Vec::new()) };
    let (Some((actor, engine)), Some(verb)) = (asker(ctx), verb_of(ctx)) else {
        return answer(Vec::new());
    };
    let only = other(ctx.args, "cluster");
    let typed = typed.trim().to_lowercase();
    let mut first: Vec<(String, String)> = Vec::new();
    let mut then: Vec<(String, String)> = Vec::new();
    for view in engine.views().iter().filter(|v| only.is_none_or(|c| v.cluster.as_str() == c)) {
        if !engine.may(&actor, verb, Target::Within(&view.cluster)).is_allowed() {
            continue;
        }
        for known in engine.known_images(&view.cluster, offers) {
            let value = known.value.to_lowercase();
            if !value.contains(&typed) {
                continue;
            }
            let row = (format!("{} · {}", known.value, known.hint), known.value);
            let list = if value.starts_with(&typed) { &mut first } else { &mut then };
            list.push(row);
        }
    }
    first.extend(then);
    answer(first)
}

/// Files on storages, and what can be had.
pub async fn offered(ctx: Any<'_>, typed: &str) -> CreateAutocompleteResponse {
    images(ctx, typed, true)
}

/// Files on storages.
pub async fn held(ctx: Any<'_>, typed: &str) -> CreateAutocompleteResponse {
    images(ctx, typed, false)
}

/// Storages that hold one of `contents`.
fn storages(ctx: Any<'_>, typed: &str, contents: &[&str]) -> CreateAutocompleteResponse {
    let poise::Context::Application(ctx) = ctx else { return answer(Vec::new()) };
    let (Some((actor, engine)), Some(verb)) = (asker(ctx), verb_of(ctx)) else {
        return answer(Vec::new());
    };
    let (only, node) = (other(ctx.args, "cluster"), other(ctx.args, "node"));
    let typed = typed.to_lowercase();
    let views = engine.views();
    let mut found: Vec<(String, String)> = views
        .iter()
        .filter(|v| only.is_none_or(|c| v.cluster.as_str() == c))
        .filter(|v| engine.may(&actor, verb, Target::Within(&v.cluster)).is_allowed())
        .flat_map(|v| &v.storages)
        .filter(|s| s.active && s.content.iter().any(|c| contents.contains(&c.as_str())))
        .filter(|s| node.is_none_or(|n| n.is_empty() || s.shared || s.node.as_str() == n))
        .filter(|s| s.id.as_str().to_lowercase().contains(&typed))
        .map(|s| {
            let free = crate::card::bytes(s.total.saturating_sub(s.used));
            (format!("{} · {} · {free} free", s.id, s.kind), s.id.to_string())
        })
        .collect();
    found.sort_by(|a, b| a.1.cmp(&b.1));
    found.dedup_by(|a, b| a.1 == b.1);
    answer(found)
}

/// Storages that take images.
pub async fn storage(ctx: Any<'_>, typed: &str) -> CreateAutocompleteResponse {
    let all: Vec<&str> = Content::ALL.iter().map(|c| c.as_str()).collect();
    storages(ctx, typed, &all)
}

/// Storages that take disks of guests.
pub async fn disk_storage(ctx: Any<'_>, typed: &str) -> CreateAutocompleteResponse {
    storages(ctx, typed, &["rootdir", "images"])
}
