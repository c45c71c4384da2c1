//! The REST door: one pipeline for every request. Match the endpoint, read the body, ask the
//! troubles, check token, agent and limits, carry it out under the lock, log it, answer.

mod application;
mod body;
mod channel;
mod guild;
mod interaction;
mod thread;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use serde_json::{Value, json};

pub(crate) use body::query;

use crate::fault::Fault;
use crate::limit::{Quota, Slot};
use crate::message::Upload;
use crate::route::{self, Miss, Route};
use crate::state::{LogEntry, Shared, State};

/// Connection to be cut instead of answered.
#[derive(Debug)]
pub(crate) struct Cut;

/// A request, read and matched.
pub(crate) struct Call<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) params: Vec<u64>,
    pub(crate) texts: Vec<String>,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) body: Value,
    pub(crate) uploads: Vec<Upload>,
}

impl Call<'_> {
    pub(crate) fn id(&self, n: usize) -> u64 {
        self.params.get(n).copied().unwrap_or(0)
    }
    pub(crate) fn text(&self, n: usize) -> &str {
        self.texts.get(n).map_or("", String::as_str)
    }
    pub(crate) fn query(&self, key: &str) -> Option<&str> {
        self.query.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
    pub(crate) fn flag(&self, key: &str) -> bool {
        matches!(self.query(key), Some("true" | "1" | "True"))
    }
}

/// A success: status and body.
pub(crate) type Reply = Result<(u16, Value), Fault>;

/// 204.
pub(crate) fn nothing() -> Reply {
    Ok((204, Value::Null))
}

/// 200 with a body.
pub(crate) fn ok(value: Value) -> Reply {
    Ok((200, value))
}

/// Serves one request below `/api`.
pub(crate) async fn serve(
    shared: Arc<Shared>,
    request: http::Request<hyper::body::Incoming>,
) -> Result<Response<Body>, Cut> {
    let (head, incoming) = request.into_parts();
    let method = head.method.as_str().to_owned();
    let full = head.uri.path();
    let path = full.strip_prefix("/api").unwrap_or(full);
    let path =
        ["/v10", "/v9"].iter().find_map(|version| path.strip_prefix(version)).unwrap_or(path);
    let path = path.to_owned();
    let query = head.uri.query().unwrap_or_default().to_owned();
    let matched = route::find(&method, &path);
    let read = body::read(&head.headers, incoming).await;
    let name = matched.as_ref().map_or_else(|_| "unknown".to_owned(), Route::name);
    let mut entry = LogEntry {
        at_ms: shared.now_ms(),
        method,
        path,
        query,
        route: name,
        status: 0,
        body: Value::Null,
        multipart: false,
        files: Vec::new(),
        answer: Value::Null,
    };
    if let Ok(read) = &read {
        entry.body = read.json.clone();
        entry.multipart = read.multipart;
        entry.files = read.uploads.iter().map(|upload| upload.filename.clone()).collect();
    }
    let answer = match matched {
        Ok(route) => answer(&shared, &route, &head.headers, read, &entry.query).await,
        Err(Miss::NotFound) => Ok(Answer::fault(&Fault::not_found())),
        Err(Miss::Method) => Ok(Answer::fault(&Fault::new(405, 0, "405: Method Not Allowed"))),
    };
    let mut state = shared.lock();
    match answer {
        Ok(answer) => {
            let counts =
                matches!(answer.status, 401 | 403) || (answer.status == 429 && !answer.shared);
            if counts {
                state.limiter.invalid(shared.now_ms());
            }
            entry.status = answer.status;
            entry.answer = answer.body.clone();
            state.keep_log(entry);
            Ok(answer.into_response())
        }
        Err(cut) => {
            state.keep_log(entry);
            Err(cut)
        }
    }
}

/// An answer before it becomes bytes.
struct Answer {
    status: u16,
    body: Value,
    html: Option<String>,
    headers: HeaderMap,
    shared: bool,
}

impl Answer {
    fn json(status: u16, body: Value) -> Self {
        Self { status, body, html: None, headers: HeaderMap::new(), shared: false }
    }

    fn fault(fault: &Fault) -> Self {
        Self::json(fault.status, fault.body())
    }

    fn html(status: u16, text: &str) -> Self {
        Self { html: Some(text.to_owned()), ..Self::json(status, Value::Null) }
    }

    fn set(&mut self, name: &'static str, value: impl ToString) {
        if let Ok(value) = HeaderValue::from_str(&value.to_string()) {
            self.headers.insert(name, value);
        }
    }

    fn limited(retry_after_ms: u64, scope: &str) -> Self {
        let global = scope == "global";
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of a pause")]
        let seconds = retry_after_ms as f64 / 1000.0;
        let message = if scope == "shared" {
            "The resource is being rate limited."
        } else {
            "You are being rate limited."
        };
        let body = json!({"message": message, "retry_after": seconds, "global": global});
        let mut answer = Self::json(429, body);
        answer.shared = scope == "shared";
        answer.set("retry-after", retry_after_ms.div_ceil(1000).max(1));
        answer.set("x-ratelimit-scope", scope);
        if global {
            answer.set("x-ratelimit-global", "true");
        }
        answer
    }

    fn quota(&mut self, quota: &Quota) {
        self.set("x-ratelimit-limit", quota.limit);
        self.set("x-ratelimit-remaining", quota.remaining);
        self.set("x-ratelimit-reset", decimal(quota.reset_ms));
        self.set("x-ratelimit-reset-after", decimal(quota.reset_after_ms));
        self.set("x-ratelimit-bucket", &quota.bucket);
    }

    fn into_response(self) -> Response<Body> {
        let (kind, bytes) = match self.html {
            Some(text) => ("text/html; charset=UTF-8", text),
            None if self.status == 204 => ("", String::new()),
            // Exactly this: discord.py does not parse JSON under any other content type.
            None => ("application/json", self.body.to_string()),
        };
        let mut response = Response::new(Body::from(bytes));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK);
        *response.headers_mut() = self.headers;
        if !kind.is_empty() {
            response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        response
    }
}

/// Milliseconds as seconds with three decimals.
fn decimal(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

async fn answer(
    shared: &Shared,
    route: &Route,
    headers: &HeaderMap,
    read: Result<body::Read, Fault>,
    query: &str,
) -> Result<Answer, Cut> {
    let verdict = {
        let mut state = shared.lock();
        if let Some(seconds) =
            state.limiter.banned(shared.now_ms(), shared.options.invalid_requests)
        {
            let page = "<html><head><title>Access denied | discord.com used Cloudflare to restrict access</title></head><body>Error 1015: You are being rate limited</body></html>";
            let mut answer = Answer::html(429, page);
            answer.set("retry-after", seconds);
            return Ok(answer);
        }
        state.troubles.verdict(route)
    };
    if verdict.hang_ms > 0 {
        tokio::time::sleep(Duration::from_millis(verdict.hang_ms)).await;
    }
    if verdict.cut_before {
        return Err(Cut);
    }
    if let Some((status, body)) = verdict.error {
        return Ok(match body {
            Some(body) => Answer::json(status, body),
            None if status >= 500 => {
                Answer::html(status, "<html><body><h1>Bad gateway</h1></body></html>")
            }
            None => {
                Answer::fault(&Fault::new(status, 0, format!("{status}: asked for by a trouble")))
            }
        });
    }
    let mut state = shared.lock();
    let state = &mut *state;
    if let Err(fault) = admit(shared, state, route, headers) {
        return Ok(Answer::fault(&fault));
    }
    if let Some((ms, scope)) = verdict.rate_limit {
        let mut limited = Answer::limited(ms, &scope);
        // Like a real 429 this names the bucket, so that a limiter can learn from it.
        if scope != "global" && route.endpoint.limit.0 > 0 {
            let full = Quota {
                limit: route.endpoint.limit.0,
                remaining: 0,
                reset_ms: shared.now_ms() + ms,
                reset_after_ms: ms,
                bucket: crate::limit::bucket_of(route),
            };
            limited.quota(&full);
        }
        return Ok(limited);
    }
    let slot = if shared.options.rate_limits {
        state.limiter.take(route, shared.now_ms(), shared.options.global_per_second)
    } else {
        Slot::Free(None)
    };
    let quota = match slot {
        Slot::Free(quota) => quota,
        Slot::Full { retry_after_ms, quota: None } => {
            return Ok(Answer::limited(retry_after_ms, "global"));
        }
        Slot::Full { retry_after_ms, quota: Some(quota) } => {
            let mut limited = Answer::limited(retry_after_ms, "user");
            limited.quota(&quota);
            return Ok(limited);
        }
    };
    let reply = read.and_then(|read| {
        let call = Call {
            shared,
            params: route.params.iter().map(|text| text.parse().unwrap_or(0)).collect(),
            texts: route.params.clone(),
            query: body::query(query),
            body: read.json,
            uploads: read.uploads,
        };
        carry_out(state, route, call)
    });
    if verdict.cut_after {
        return Err(Cut);
    }
    let mut answer = match reply {
        Ok((status, body)) => Answer::json(status, body),
        Err(fault) => Answer::fault(&fault),
    };
    if let Some(quota) = quota {
        answer.quota(&quota);
    }
    Ok(answer)
}

/// Token and user agent.
fn admit(shared: &Shared, state: &State, route: &Route, headers: &HeaderMap) -> Result<(), Fault> {
    let text = |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if route.endpoint.auth {
        let token = text(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bot "));
        if state.token_reset || token != Some(shared.options.token.as_str()) {
            return Err(Fault::unauthorized());
        }
        let agent = text(header::USER_AGENT).unwrap_or_default();
        if shared.options.strict_user_agent && !agent.starts_with("DiscordBot (") {
            return Err(Fault::new(403, 40_333, "internal network error"));
        }
    }
    Ok(())
}

fn carry_out(state: &mut State, route: &Route, call: Call<'_>) -> Reply {
    let (method, template) = route.key();
    match template.split('/').nth(1) {
        Some("gateway" | "users" | "oauth2" | "guilds") => {
            guild::serve(state, method, template, &call)
        }
        Some("applications") => application::serve(state, method, template, &call),
        Some("interactions" | "webhooks") => interaction::serve(state, method, template, call),
        Some("channels") if template.contains("threads") => thread::serve(state, template, call),
        Some("channels") => channel::serve(state, method, template, call),
        _ => Err(Fault::not_found()),
    }
}
