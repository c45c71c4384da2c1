//! Completion of images and of storages that take them. Memory only, as all completion.

use gantry_core::image::Content;
use serenity::all::CreateAutocompleteResponse;

use crate::complete::{Any, Typing, offer, storages};

/// Images that memory knows, those first that begin with what was typed; with `offers`, also what can be had.
fn images(t: &Typing<'_>, offers: bool) -> Vec<(String, String)> {
    let (mut first, mut then) = (Vec::new(), Vec::new());
    for view in t.views_within() {
        for known in t.engine.known_images(&t.actor, &view.cluster, offers) {
            if t.fits(&known.value) {
                let begins = known.value.to_lowercase().starts_with(&t.typed);
                let row = (format!("{} · {}", known.value, known.hint), known.value);
                if begins { &mut first } else { &mut then }.push(row);
            }
        }
    }
    first.extend(then);
    first
}

/// Files on storages, and what can be had.
pub async fn offered(ctx: Any<'_>, typed: &str) -> CreateAutocompleteResponse {
    offer(ctx, typed, |t| images(t, true))
}

/// Files on storages.
pub async fn held(ctx: Any<'_>, typed: &str) -> CreateAutocompleteResponse {
    offer(ctx, typed, |t| images(t, false))
}

/// Storages that take images.
pub async fn storage(ctx: Any<'_>, typed: &str) -> CreateAutocompleteResponse {
    let all: Vec<&str> = Content::ALL.iter().map(|c| c.as_str()).collect();
    offer(ctx, typed, |t| storages(t, t.verb, &all))
}

/// Storages that take disks of guests.
pub async fn disk_storage(ctx: Any<'_>, typed: &str) -> CreateAutocompleteResponse {
    offer(ctx, typed, |t| storages(t, t.verb, &["rootdir", "images"]))
}
