//! Reads the path of a Discord REST call: which rate-limit route it belongs to, which resource the
//! limit is kept for, and how it may be written to a log. Tokens in paths never leave this file.
//! Called by the front for every request.

use std::hash::{BuildHasher, RandomState};

use http::Method;

/// The only prefix the front forwards.
pub(super) const API_PREFIX: &str = "/api/v10/";

/// Longest literal path segment taken into a route name; anything longer is somebody's value.
const MAX_LITERAL: usize = 40;

/// How a request is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The first answer to an interaction: 3 s at Discord, outside the bot's global limit, and the
    /// only one for its id, so no bucket is kept.
    Callback,
    /// Carries its own token in the path (interaction follow-ups, webhooks): outside the bot's
    /// global limit.
    Webhook,
    /// Everything authorised by the bot token.
    Bot,
}

/// A request path, understood.
#[derive(Debug, Clone)]
pub(super) struct Route {
    pub(super) kind: Kind,
    /// Method and path with every id replaced, e.g. `POST channels/:major/messages`.
    pub(super) template: String,
    /// Hash of the top-level resource (channel, guild, webhook id and token); 0 for none.
    pub(super) major: u64,
    /// The path for logs: tokens are masked.
    pub(super) masked: String,
    pub(super) repeatable: bool,
}

impl Route {
    /// `None` when the path is not one the front may forward.
    pub(super) fn read(method: &Method, path: &str, hasher: &RandomState) -> Option<Self> {
        let rest = path.strip_prefix(API_PREFIX)?;
        if !plain(rest) {
            return None;
        }
        let parts: Vec<&str> = rest.split('/').collect();
        if parts.iter().any(|part| part.is_empty() || *part == "." || *part == "..") {
            return None;
        }
        let resource = *parts.first()?;
        let secret = match resource {
            "webhooks" | "interactions" if parts.len() > 2 => Some(2),
            _ => None,
        };
        let kind = match (resource, secret) {
            ("interactions", Some(_)) => Kind::Callback,
            ("webhooks", Some(_)) => Kind::Webhook,
            _ => Kind::Bot,
        };
        let major = match resource {
            "channels" | "guilds" | "webhooks" | "interactions" if parts.len() > 1 => {
                let token = secret.and_then(|at| parts.get(at)).copied().unwrap_or_default();
                hasher.hash_one((resource, parts.get(1), token))
            }
            _ => 0,
        };
        let mut template = format!("{method} {resource}");
        let mut masked = format!("{API_PREFIX}{resource}");
        for (at, part) in parts.iter().enumerate().skip(1) {
            template.push('/');
            masked.push('/');
            if secret == Some(at) {
                template.push_str(":token");
                masked.push_str("***");
                continue;
            }
            let previous = parts.get(at - 1).copied().unwrap_or_default();
            if part.bytes().all(|b| b.is_ascii_digit()) {
                template.push_str(if at == 1 { ":major" } else { ":id" });
                masked.push_str(part);
            } else if previous == "reactions" || !literal(part) {
                template.push_str(":value");
                masked.push_str(":value");
            } else {
                template.push_str(part);
                masked.push_str(part);
            }
        }
        Some(Self { kind, template, major, masked, repeatable: method == Method::GET })
    }
}

/// Whether nothing in the path could be read in two ways by two parsers.
fn plain(path: &str) -> bool {
    let lower = path.to_ascii_lowercase();
    path.bytes().all(|b| b.is_ascii_graphic() && b != b'\\' && b != b'#' && b != b'?')
        && !lower.contains("%2e")
        && !lower.contains("%2f")
        && !lower.contains("%5c")
}

fn literal(part: &str) -> bool {
    part.len() <= MAX_LITERAL
        && part.bytes().all(|b| b.is_ascii_lowercase() || matches!(b, b'-' | b'_' | b'@'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(path: &str) -> Option<Route> {
        Route::read(&Method::POST, path, &RandomState::new())
    }

    #[test]
    fn ids_are_not_part_of_a_route_but_the_resource_is_told_apart() {
        let hasher = RandomState::new();
        let one = Route::read(&Method::POST, "/api/v10/channels/11/messages", &hasher).unwrap();
        let two = Route::read(&Method::POST, "/api/v10/channels/22/messages", &hasher).unwrap();
        assert_eq!(one.template, "POST channels/:major/messages");
        assert_eq!(one.template, two.template);
        assert_ne!(one.major, two.major);
        assert_eq!(one.kind, Kind::Bot);
    }

    #[test]
    fn tokens_in_paths_are_neither_in_the_route_nor_in_the_log() {
        for path in [
            "/api/v10/interactions/5/aW50ZXJhY3Rpb24/callback",
            "/api/v10/webhooks/5/aW50ZXJhY3Rpb24/messages/@original",
        ] {
            let route = read(path).unwrap();
            assert!(!format!("{route:?}").contains("aW50ZXJhY3Rpb24"), "{route:?}");
            assert_ne!(route.kind, Kind::Bot);
        }
    }

    #[test]
    fn a_webhook_without_token_needs_the_bot() {
        assert_eq!(read("/api/v10/webhooks/5").unwrap().kind, Kind::Bot);
    }

    #[test]
    fn values_people_choose_do_not_make_new_routes() {
        let route = read("/api/v10/channels/1/messages/2/reactions/%F0%9F%91%8D/@me").unwrap();
        assert_eq!(route.template, "POST channels/:major/messages/:id/reactions/:value/@me");
        assert_eq!(read("/api/v10/invites/AbC123").unwrap().template, "POST invites/:value");
    }

    #[test]
    fn paths_that_could_mean_something_else_are_refused() {
        for path in [
            "/api/v9/users/@me",
            "/",
            "/api/v10/",
            "/api/v10/../oauth2/token",
            "/api/v10/channels/%2e%2e/x",
            "/api/v10/channels//x",
            "/api/v10/channels\\x",
            "/api/v10/a%2fb",
            "http://example.com/api/v10/users/@me",
        ] {
            assert!(read(path).is_none(), "{path}");
        }
    }
}
