//! Which documented endpoint a request is for: method and path to template, alias, bucket key.
//! Log, troubles and rate limits all name endpoints the way this file does.

/// One endpoint this twin serves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Endpoint {
    method: &'static str,
    template: &'static str,
    alias: &'static str,
    /// Requests per window and the window in milliseconds; 0 = not limited, no headers.
    pub(crate) limit: (u32, u64),
    /// Whether a bot token is needed.
    pub(crate) auth: bool,
    /// Interaction endpoints stand outside the global limit.
    pub(crate) global: bool,
}

/// Window sizes are those seen in the wild; the documentation forbids relying on them.
const fn bot(
    method: &'static str,
    template: &'static str,
    alias: &'static str,
    limit: (u32, u64),
) -> Endpoint {
    Endpoint { method, template, alias, limit, auth: true, global: true }
}

const fn token(method: &'static str, template: &'static str, alias: &'static str) -> Endpoint {
    Endpoint { method, template, alias, limit: (5, 2000), auth: false, global: false }
}

const EASY: (u32, u64) = (10, 10_000);
const COMMANDS: (u32, u64) = (10, 10_000);
const REACTION: (u32, u64) = (1, 250);

const ENDPOINTS: &[Endpoint] = &[
    Endpoint {
        method: "GET",
        template: "/gateway",
        alias: "",
        limit: (0, 0),
        auth: false,
        global: false,
    },
    bot("GET", "/gateway/bot", "gateway", (2, 5000)),
    bot("GET", "/users/@me", "", (10, 10_000)),
    bot("GET", "/users/@me/guilds", "", (1, 1000)),
    bot("POST", "/users/@me/channels", "open dm", EASY),
    bot("GET", "/users/{user_id}", "", (30, 30_000)),
    bot("GET", "/oauth2/applications/@me", "", EASY),
    bot("GET", "/applications/@me", "", EASY),
    bot("GET", "/applications/{application_id}", "", EASY),
    bot("GET", "/applications/{application_id}/commands", "list commands", COMMANDS),
    bot("POST", "/applications/{application_id}/commands", "create command", COMMANDS),
    bot("PUT", "/applications/{application_id}/commands", "register commands", COMMANDS),
    bot("GET", "/applications/{application_id}/commands/{command_id}", "", COMMANDS),
    bot("PATCH", "/applications/{application_id}/commands/{command_id}", "edit command", COMMANDS),
    bot(
        "DELETE",
        "/applications/{application_id}/commands/{command_id}",
        "delete command",
        COMMANDS,
    ),
    bot(
        "GET",
        "/applications/{application_id}/guilds/{guild_id}/commands",
        "list guild commands",
        COMMANDS,
    ),
    bot(
        "POST",
        "/applications/{application_id}/guilds/{guild_id}/commands",
        "create guild command",
        COMMANDS,
    ),
    bot(
        "PUT",
        "/applications/{application_id}/guilds/{guild_id}/commands",
        "register guild commands",
        COMMANDS,
    ),
    bot(
        "GET",
        "/applications/{application_id}/guilds/{guild_id}/commands/permissions",
        "",
        COMMANDS,
    ),
    bot(
        "GET",
        "/applications/{application_id}/guilds/{guild_id}/commands/{command_id}",
        "",
        COMMANDS,
    ),
    bot(
        "PATCH",
        "/applications/{application_id}/guilds/{guild_id}/commands/{command_id}",
        "edit guild command",
        COMMANDS,
    ),
    bot(
        "DELETE",
        "/applications/{application_id}/guilds/{guild_id}/commands/{command_id}",
        "delete guild command",
        COMMANDS,
    ),
    bot(
        "GET",
        "/applications/{application_id}/guilds/{guild_id}/commands/{command_id}/permissions",
        "",
        COMMANDS,
    ),
    Endpoint {
        method: "POST",
        template: "/interactions/{interaction_id}/{interaction_token}/callback",
        alias: "interaction callback",
        limit: (0, 0),
        auth: false,
        global: false,
    },
    token("POST", "/webhooks/{webhook_id}/{webhook_token}", "follow-up"),
    token("GET", "/webhooks/{webhook_id}/{webhook_token}/messages/@original", "get original"),
    token("PATCH", "/webhooks/{webhook_id}/{webhook_token}/messages/@original", "edit original"),
    token("DELETE", "/webhooks/{webhook_id}/{webhook_token}/messages/@original", "delete original"),
    token("GET", "/webhooks/{webhook_id}/{webhook_token}/messages/{message_id}", "get follow-up"),
    token(
        "PATCH",
        "/webhooks/{webhook_id}/{webhook_token}/messages/{message_id}",
        "edit follow-up",
    ),
    token(
        "DELETE",
        "/webhooks/{webhook_id}/{webhook_token}/messages/{message_id}",
        "delete follow-up",
    ),
    bot("GET", "/channels/{channel_id}", "", EASY),
    bot("PATCH", "/channels/{channel_id}", "edit channel", (10, 15_000)),
    bot("GET", "/channels/{channel_id}/messages", "list messages", (5, 5000)),
    bot("POST", "/channels/{channel_id}/messages", "create message", (5, 5000)),
    bot("GET", "/channels/{channel_id}/messages/{message_id}", "get message", (50, 1000)),
    bot("PATCH", "/channels/{channel_id}/messages/{message_id}", "edit message", (5, 5000)),
    bot("DELETE", "/channels/{channel_id}/messages/{message_id}", "delete message", (5, 1000)),
    bot("GET", "/channels/{channel_id}/messages/{message_id}/reactions/{emoji_name}", "", (1, 250)),
    bot(
        "PUT",
        "/channels/{channel_id}/messages/{message_id}/reactions/{emoji_name}/@me",
        "add reaction",
        REACTION,
    ),
    bot(
        "DELETE",
        "/channels/{channel_id}/messages/{message_id}/reactions/{emoji_name}/@me",
        "remove reaction",
        REACTION,
    ),
    bot("DELETE", "/channels/{channel_id}/messages/{message_id}/reactions", "", REACTION),
    bot(
        "POST",
        "/channels/{channel_id}/messages/{message_id}/threads",
        "create thread from message",
        EASY,
    ),
    bot("POST", "/channels/{channel_id}/threads", "create thread", EASY),
    bot("POST", "/channels/{channel_id}/typing", "typing", (5, 5000)),
    bot("GET", "/channels/{channel_id}/pins", "", (1, 5000)),
    bot("GET", "/channels/{channel_id}/messages/pins", "", (1, 5000)),
    bot("PUT", "/channels/{channel_id}/pins/{message_id}", "pin", (5, 4000)),
    bot("DELETE", "/channels/{channel_id}/pins/{message_id}", "unpin", (5, 4000)),
    bot("PUT", "/channels/{channel_id}/messages/pins/{message_id}", "pin", (5, 4000)),
    bot("DELETE", "/channels/{channel_id}/messages/pins/{message_id}", "unpin", (5, 4000)),
    bot("GET", "/guilds/{guild_id}", "", EASY),
    bot("GET", "/guilds/{guild_id}/channels", "", EASY),
    bot("GET", "/guilds/{guild_id}/roles", "", EASY),
    bot("GET", "/guilds/{guild_id}/members/{user_id}", "", (5, 1000)),
    bot("GET", "/guilds/{guild_id}/threads/active", "", EASY),
];

/// A request matched to its endpoint.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) endpoint: Endpoint,
    /// Values of the template's parameters, in order.
    pub(crate) params: Vec<String>,
}

/// Why a request matches nothing.
pub(crate) enum Miss {
    /// No such path.
    NotFound,
    /// The path exists with other methods.
    Method,
}

impl Route {
    /// METHOD and template, the endpoint's full name.
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.endpoint.method, self.endpoint.template)
    }

    /// Whether `pattern` (a full name, an alias or `*`) means this endpoint.
    pub(crate) fn is(&self, pattern: &str) -> bool {
        pattern == "*" || pattern == self.endpoint.alias || pattern == self.name()
    }

    /// METHOD and template without borrowing, for dispatch.
    pub(crate) fn key(&self) -> (&'static str, &'static str) {
        (self.endpoint.method, self.endpoint.template)
    }

    /// The top-level resource that splits a bucket: channel, guild, or webhook with token.
    pub(crate) fn major(&self) -> String {
        let first = |n: usize| self.params.get(n).cloned().unwrap_or_default();
        match self.endpoint.template.split('/').nth(1) {
            Some("channels" | "guilds") => first(0),
            Some("webhooks") => format!("{}/{}", first(0), first(1)),
            _ => String::new(),
        }
    }
}

/// Finds the endpoint of a path (without `/api/v10`), literal segments before parameters.
pub(crate) fn find(method: &str, path: &str) -> Result<Route, Miss> {
    let given: Vec<String> = path
        .split('/')
        .skip(1)
        .map(|part| percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned())
        .collect();
    let mut best: Option<(usize, Route)> = None;
    let mut other_method = false;
    for endpoint in ENDPOINTS {
        let Some(params) = matches(endpoint.template, &given) else { continue };
        if endpoint.method != method {
            other_method = true;
            continue;
        }
        if best.as_ref().is_none_or(|(count, _)| params.len() < *count) {
            best = Some((params.len(), Route { endpoint: *endpoint, params }));
        }
    }
    match best {
        Some((_, route)) => Ok(route),
        None if other_method => Err(Miss::Method),
        None => Err(Miss::NotFound),
    }
}

fn matches(template: &str, given: &[String]) -> Option<Vec<String>> {
    let mut params = Vec::new();
    let mut wanted = template.split('/').skip(1);
    for part in given {
        let want = wanted.next()?;
        if want.starts_with('{') {
            if part.is_empty() {
                return None;
            }
            params.push(part.clone());
        } else if want != part {
            return None;
        }
    }
    wanted.next().is_none().then_some(params)
}
