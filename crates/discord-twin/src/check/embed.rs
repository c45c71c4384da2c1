//! Embeds: lengths per part, 25 fields, 6000 characters over all embeds of a message.

use serde_json::Value;

use super::shape::{Key, Kind, at, length, object, opt, req};
use crate::fault::Findings;

/// Characters over all embeds of one message.
const ALL_EMBEDS: usize = 6000;
const COLOUR_MAX: i64 = 0xff_ff_ff;
const SIZE: Kind = Kind::Int(0, 100_000);

const EMBED: &[Key] = &[
    opt("title", Kind::Text(0, 256)),
    opt("type", Kind::Text(0, 32)),
    opt("description", Kind::Text(0, 4096)),
    opt("url", Kind::Url(false)),
    opt("timestamp", Kind::Time),
    opt("color", Kind::Int(0, COLOUR_MAX)),
    opt("footer", Kind::Object),
    opt("image", Kind::Object),
    opt("thumbnail", Kind::Object),
    opt("video", Kind::Object),
    opt("provider", Kind::Object),
    opt("author", Kind::Object),
    opt("fields", Kind::List(0, 25)),
    // discord.py sends back what it was given.
    opt("flags", Kind::Any),
];
const FOOTER: &[Key] = &[
    req("text", Kind::Text(1, 2048)),
    opt("icon_url", Kind::Url(true)),
    opt("proxy_icon_url", Kind::Any),
];
const AUTHOR: &[Key] = &[
    req("name", Kind::Text(1, 256)),
    opt("url", Kind::Url(false)),
    opt("icon_url", Kind::Url(true)),
    opt("proxy_icon_url", Kind::Any),
];
const MEDIA: &[Key] = &[
    req("url", Kind::Url(true)),
    opt("proxy_url", Kind::Any),
    opt("height", SIZE),
    opt("width", SIZE),
    opt("description", Kind::Any),
    opt("content_type", Kind::Any),
    opt("placeholder", Kind::Any),
    opt("placeholder_version", Kind::Any),
    opt("flags", Kind::Any),
];
const FIELD: &[Key] = &[
    req("name", Kind::Text(1, 256)),
    req("value", Kind::Text(1, 1024)),
    opt("inline", Kind::Bool),
];

/// Checks the `embeds` list of a message.
pub(super) fn embeds(found: &mut Findings, path: &str, list: &[Value]) {
    let mut total = 0;
    for (n, embed) in list.iter().enumerate() {
        total += one(found, &at(path, n), embed);
    }
    if total > ALL_EMBEDS {
        let message = format!("Embed size exceeds maximum size of {ALL_EMBEDS}");
        found.add(path, "MAX_EMBED_SIZE_EXCEEDED", message);
    }
}

/// Checks one embed and returns the characters it counts for.
fn one(found: &mut Findings, path: &str, embed: &Value) -> usize {
    let Some(map) = object(found, path, embed, EMBED) else { return 0 };
    let present = |key: &str| map.get(key).filter(|value| !value.is_null());
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map_or(0, length);
    let mut total = text(present("title")) + text(present("description"));
    if let Some(footer) = present("footer") {
        object(found, &at(path, "footer"), footer, FOOTER);
        total += text(footer.get("text"));
    }
    if let Some(author) = present("author") {
        object(found, &at(path, "author"), author, AUTHOR);
        total += text(author.get("name"));
    }
    for key in ["image", "thumbnail"] {
        if let Some(media) = present(key) {
            object(found, &at(path, key), media, MEDIA);
        }
    }
    let fields = present("fields").and_then(Value::as_array);
    for (n, field) in fields.into_iter().flatten().enumerate() {
        object(found, &at(path, format!("fields.{n}")), field, FIELD);
        total += text(field.get("name")) + text(field.get("value"));
    }
    let shown = ["image", "thumbnail", "video"].iter().any(|key| present(key).is_some());
    if total == 0 && !shown {
        found.add(&at(path, "description"), "BASE_TYPE_REQUIRED", "This field is required");
    }
    total
}
