//! The life of one request through the front: checked, paced, sent, repeated where that is safe,
//! answered. A 429 means Discord did not act, so any method may be sent again. After anything else
//! only reads are, and interaction callbacks: Discord takes one for an interaction and says so
//! (40060) when it already has it. Called by the front's connections and by [`super::within`].

use std::error::Error as StdError;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::TryStreamExt;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Body as _, Frame};
use serde::Deserialize;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::buckets::{Permit, RateHeaders, Refusal, seconds};
use super::front::{Shared, bump};
use super::route::{Kind, Route};
use super::same_secret;

/// Discord takes 25 MiB in one request; the rest is room for the form around it.
pub(super) const MAX_BODY: usize = 26 * 1024 * 1024;
/// Bodies above this count as large: few at once, and more time to send.
const LARGE_BODY: u64 = 1024 * 1024;
/// A 429 body is a few hundred bytes.
const MAX_LIMIT_BODY: usize = 64 * 1024;
/// How long our own side may take to hand over a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Repeats of one request after 5xx, lost answers to reads and failed connections.
const REPEATS: u32 = 2;
/// First pause before such a repeat; the second is four times as long.
const PAUSE: Duration = Duration::from_millis(200);
/// Least pause after a 429, so that `retry_after: 0` cannot spin.
const MIN_RETRY: Duration = Duration::from_millis(50);

/// Discord's error code for a second callback to one interaction.
const ALREADY_ACKNOWLEDGED: u64 = 40_060;

const X_AUDIT_LOG_REASON: HeaderName = HeaderName::from_static("x-audit-log-reason");

/// Bodies the front is given and answers with.
pub(super) type AnyBody = UnsyncBoxBody<Bytes, io::Error>;

#[derive(Deserialize)]
struct Limited429 {
    retry_after: Option<f64>,
    #[serde(default)]
    global: bool,
}

enum Attempt {
    Done(Response<AnyBody>),
    /// Not processed: may be sent again after the time, else this is the answer.
    Limited {
        retry_after: Duration,
        answer: Box<Response<AnyBody>>,
    },
    /// May have been processed; a read may be sent again, else this is the answer.
    Lost {
        unsent: bool,
        answer: Box<Response<AnyBody>>,
    },
}

/// Answers one request of our own side, whether it came through the port or from within the process.
pub(super) async fn forward(shared: &Arc<Shared>, request: Request<AnyBody>) -> Response<AnyBody> {
    bump(&shared.counters.requests);
    let (parts, body) = request.into_parts();
    let authorization = parts.headers.get(AUTHORIZATION);
    let ours = authorization
        .is_some_and(|given| same_secret(given.as_bytes(), shared.authorization.as_bytes()));
    let route = parts
        .uri
        .authority()
        .is_none()
        .then(|| Route::read(&parts.method, parts.uri.path(), &shared.limiter.hasher))
        .flatten()
        .filter(|route| ours || (route.kind != Kind::Bot && authorization.is_none()));
    let Some(route) = route else {
        bump(&shared.counters.forbidden);
        return own(StatusCode::FORBIDDEN, "gantry forwards only its own Discord calls", None);
    };
    let started = Instant::now();
    let (wait_until, hard_end) = match route.kind {
        Kind::Callback => {
            let end = started + shared.settings.callback_deadline;
            (end, Some(end))
        }
        Kind::Webhook | Kind::Bot => (started + shared.settings.wait_deadline, None),
    };
    let Some(url) = target(shared, &parts.uri) else {
        bump(&shared.counters.forbidden);
        return own(StatusCode::FORBIDDEN, "gantry forwards only its own Discord calls", None);
    };
    let large = body.size_hint().upper().is_none_or(|size| size > LARGE_BODY);
    let _room = if large { shared.large.acquire().await.ok() } else { None };
    let body = match timeout(BODY_TIMEOUT, Limited::new(body, MAX_BODY).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => {
            return own(StatusCode::PAYLOAD_TOO_LARGE, "Discord takes at most 25 MiB", None);
        }
        Err(_) => return own(StatusCode::REQUEST_TIMEOUT, "the request body did not arrive", None),
    };
    let call = Call {
        shared,
        route: &route,
        method: parts.method,
        url,
        headers: onward_headers(&parts.headers, ours.then_some(&shared.authorization)),
        body,
        patience: shared.settings.total_timeout * if large { 4 } else { 1 },
        hard_end,
    };
    let answer = call.run(wait_until).await;
    let counters = &shared.counters;
    let status = answer.status();
    bump(match status.as_u16() {
        ..400 => &counters.ok,
        429 => &counters.limits_passed_on,
        400..500 => &counters.client_errors,
        _ => &counters.server_errors,
    });
    tracing::debug!(
        method = %call.method,
        path = %route.masked,
        status = status.as_u16(),
        took_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        "discord"
    );
    answer
}

struct Call<'a> {
    shared: &'a Shared,
    route: &'a Route,
    method: Method,
    url: url::Url,
    headers: HeaderMap,
    body: Bytes,
    patience: Duration,
    hard_end: Option<Instant>,
}

impl Call<'_> {
    async fn run(&self, wait_until: Instant) -> Response<AnyBody> {
        let mut repeats = 0;
        let mut admitted = false;
        let mut perhaps_done = false;
        loop {
            if let Some(refused) = self.refused() {
                return refused;
            }
            let limiter = &self.shared.limiter;
            let permit = match limiter.acquire(self.route, wait_until, admitted).await {
                Ok(permit) => permit,
                Err(refusal) => return self.refuse(refusal),
            };
            admitted = true;
            match self.attempt(permit, perhaps_done).await {
                Attempt::Done(answer) => return answer,
                Attempt::Limited { retry_after, answer } => {
                    let at = Instant::now() + retry_after.max(MIN_RETRY);
                    if at > wait_until {
                        return *answer;
                    }
                    tracing::debug!(path = %self.route.masked, ?retry_after, "discord limits us");
                    // The limiter holds this bucket for the others; callbacks have none, so each
                    // waits for itself.
                    sleep_until(at).await;
                }
                Attempt::Lost { unsent, answer } => {
                    let pause = PAUSE * (1 + 3 * repeats).max(1);
                    let at = Instant::now() + pause;
                    let safe = self.route.repeatable || self.route.kind == Kind::Callback;
                    let again = repeats < REPEATS && (unsent || safe);
                    perhaps_done |= !unsent;
                    if !again || at > wait_until {
                        return *answer;
                    }
                    repeats += 1;
                    bump(&self.shared.counters.repeats);
                    sleep_until(at).await;
                }
            }
        }
    }

    /// What may not be sent at all at present.
    fn refused(&self) -> Option<Response<AnyBody>> {
        if self.route.kind == Kind::Bot && *self.shared.rejected.borrow() {
            return Some(own(
                StatusCode::UNAUTHORIZED,
                "Discord refused the bot token; nothing more is sent with it",
                None,
            ));
        }
        if self.route.kind != Kind::Callback
            && self.shared.invalid.recent() >= self.shared.settings.invalid_limit
        {
            bump(&self.shared.counters.braked);
            return Some(own(
                StatusCode::SERVICE_UNAVAILABLE,
                "too many invalid requests in ten minutes; held back before Discord blocks us",
                Some(Duration::from_secs(60)),
            ));
        }
        None
    }

    fn refuse(&self, refusal: Refusal) -> Response<AnyBody> {
        match refusal {
            Refusal::QueueFull => {
                bump(&self.shared.counters.queue_full);
                own(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "too many requests wait for the same Discord limit",
                    Some(Duration::from_secs(5)),
                )
            }
            Refusal::TooLate { retry_after, global } => limited(retry_after, global),
        }
    }

    /// `perhaps_done` says that an earlier attempt may have been carried out.
    async fn attempt(&self, permit: Permit, perhaps_done: bool) -> Attempt {
        let shared = self.shared;
        let now = Instant::now();
        let mut end = now + self.patience;
        if let Some(hard_end) = self.hard_end {
            // Half the time, so that a connection that died unnoticed does not cost all of it.
            end = hard_end.min(now + shared.settings.callback_deadline / 2);
        }
        let sending = shared
            .client
            .request(self.method.clone(), self.url.clone())
            .headers(self.headers.clone())
            .timeout(self.patience)
            .body(self.body.clone())
            .send();
        let response = match timeout_at(end, sending).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                let unsent = error.is_connect();
                let error = error.without_url();
                tracing::warn!(path = %self.route.masked, error = %chain(&error), "discord call failed");
                let (status, text) = if error.is_timeout() && !unsent {
                    (StatusCode::GATEWAY_TIMEOUT, "Discord did not answer in time")
                } else if unsent {
                    (StatusCode::BAD_GATEWAY, "Discord could not be reached; nothing was sent")
                } else {
                    (StatusCode::BAD_GATEWAY, "the connection to Discord broke before an answer")
                };
                return Attempt::Lost { unsent, answer: Box::new(own(status, text, None)) };
            }
            Err(_) => {
                tracing::warn!(path = %self.route.masked, "discord call timed out");
                let answer =
                    own(StatusCode::GATEWAY_TIMEOUT, "Discord did not answer in time", None);
                return Attempt::Lost { unsent: false, answer: Box::new(answer) };
            }
        };
        let status = response.status();
        let seen = RateHeaders::read(response.headers());
        if status == StatusCode::TOO_MANY_REQUESTS {
            return self.limited_answer(response, permit, &seen).await;
        }
        shared.limiter.learn(self.route, permit, &seen, !status.is_server_error());
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            shared.invalid.add();
            if status == StatusCode::UNAUTHORIZED
                && self.route.kind == Kind::Bot
                && !shared.rejected.send_replace(true)
            {
                tracing::error!("Discord refused the bot token (401): it was reset or is wrong");
            }
        }
        if status.is_server_error() {
            let json = is_json(response.headers());
            let answer = if json {
                stream(response)
            } else {
                own(status, "Discord has a fault of its own", None)
            };
            return Attempt::Lost { unsent: false, answer: Box::new(answer) };
        }
        if perhaps_done && self.route.kind == Kind::Callback && status == StatusCode::BAD_REQUEST {
            return Attempt::Done(acknowledged(response).await);
        }
        Attempt::Done(stream(response))
    }

    /// Reads a 429: whose limit, how long, and what the caller gets if that is too long.
    async fn limited_answer(
        &self,
        response: reqwest::Response,
        permit: Permit,
        seen: &RateHeaders,
    ) -> Attempt {
        let shared = self.shared;
        let counters = &shared.counters;
        let headers = response.headers().clone();
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let scope = text("x-ratelimit-scope").unwrap_or_default().to_ascii_lowercase();
        let json = is_json(&headers);
        let header_wait = text("retry-after").and_then(seconds);
        let global_header =
            text("x-ratelimit-global").is_some_and(|v| v.eq_ignore_ascii_case("true"));
        let body = read_limited(response).await;
        let told = json.then(|| serde_json::from_slice::<Limited429>(&body).ok()).flatten();
        let retry_after = told
            .as_ref()
            .and_then(|told| told.retry_after)
            .and_then(|wait| Duration::try_from_secs_f64(wait).ok())
            .or(header_wait)
            .unwrap_or(Duration::from_secs(1));
        let global =
            global_header || scope == "global" || told.as_ref().is_some_and(|told| told.global);
        if told.is_none() && scope.is_empty() {
            // Not Discord's own form: Cloudflare limits this address as a whole.
            bump(&counters.limited_address);
            shared.invalid.add();
            shared.limiter.hold_all(retry_after);
            tracing::warn!(?retry_after, "Cloudflare limits this address; all Discord calls wait");
        } else if global {
            bump(&counters.limited_global);
            shared.invalid.add();
            if self.route.kind == Kind::Bot {
                shared.limiter.hold_bot(retry_after);
            }
            tracing::warn!(?retry_after, "Discord's global limit reached");
        } else {
            if scope == "shared" {
                bump(&counters.limited_shared);
            } else {
                bump(&counters.limited_user);
                shared.invalid.add();
            }
            shared.limiter.hold(self.route, permit, seen, retry_after);
        }
        Attempt::Limited { retry_after, answer: Box::new(limited(retry_after, global)) }
    }
}

/// The upstream address of a request; `None` when it would leave the API.
fn target(shared: &Shared, uri: &http::Uri) -> Option<url::Url> {
    let base = shared.settings.api_base.as_str().trim_end_matches('/');
    let path = uri.path_and_query()?.as_str();
    let url = url::Url::parse(&format!("{base}{path}")).ok()?;
    let same = url.origin() == shared.settings.api_base.origin();
    (same && url.path().ends_with(uri.path())).then_some(url)
}

/// The headers that go on to Discord; everything hop-by-hop or unknown stays here.
fn onward_headers(given: &HeaderMap, authorization: Option<&HeaderValue>) -> HeaderMap {
    let mut onward = HeaderMap::with_capacity(4);
    for name in [CONTENT_TYPE, X_AUDIT_LOG_REASON] {
        if let Some(value) = given.get(&name) {
            onward.insert(name, value.clone());
        }
    }
    if let Some(authorization) = authorization {
        onward.insert(AUTHORIZATION, authorization.clone());
    }
    onward
}

fn stream(response: reqwest::Response) -> Response<AnyBody> {
    let status = response.status();
    let mut headers = HeaderMap::with_capacity(8);
    for (name, value) in response.headers() {
        if *name == CONTENT_TYPE
            || *name == RETRY_AFTER
            || *name == CONTENT_LENGTH
            || name.as_str().starts_with("x-ratelimit-")
        {
            headers.append(name.clone(), value.clone());
        }
    }
    let body = if response.content_length() == Some(0) {
        Full::new(Bytes::new()).map_err(|never| match never {}).boxed_unsync()
    } else {
        let chunks = response
            .bytes_stream()
            .map_ok(Frame::data)
            .map_err(|error| io::Error::other(error.without_url()));
        StreamBody::new(chunks).boxed_unsync()
    };
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    *answer.headers_mut() = headers;
    answer
}

/// The answer to a repeated callback: success when the first one had arrived after all.
async fn acknowledged(response: reqwest::Response) -> Response<AnyBody> {
    let body = read_limited(response).await;
    let told = serde_json::from_slice::<serde_json::Value>(&body).unwrap_or_default();
    if told.get("code").and_then(serde_json::Value::as_u64) == Some(ALREADY_ACKNOWLEDGED) {
        let empty = Full::new(Bytes::new()).map_err(|never| match never {}).boxed_unsync();
        let mut answer = Response::new(empty);
        *answer.status_mut() = StatusCode::NO_CONTENT;
        return answer;
    }
    json(StatusCode::BAD_REQUEST, &told, None)
}

async fn read_limited(response: reqwest::Response) -> Bytes {
    let body = reqwest::Body::from(response);
    Limited::new(body, MAX_LIMIT_BODY)
        .collect()
        .await
        .map_or_else(|_| Bytes::new(), http_body_util::Collected::to_bytes)
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with("application/json"))
}

/// What is read of an answer that stays in the process; Discord's messages are below 100 KiB.
const MAX_ANSWER: usize = 1024 * 1024;

/// The whole body of an answer.
pub(super) async fn whole(body: AnyBody) -> Option<Bytes> {
    Some(Limited::new(body, MAX_ANSWER).collect().await.ok()?.to_bytes())
}

/// An answer of our own, in the form of Discord's errors so that clients can read it.
fn own(status: StatusCode, message: &str, retry_after: Option<Duration>) -> Response<AnyBody> {
    let body = serde_json::json!({ "code": 0, "message": message });
    json(status, &body, retry_after)
}

fn limited(retry_after: Duration, global: bool) -> Response<AnyBody> {
    let body = serde_json::json!({
        "code": 0,
        "message": "You are being rate limited.",
        "retry_after": retry_after.as_secs_f64(),
        "global": global,
    });
    json(StatusCode::TOO_MANY_REQUESTS, &body, Some(retry_after))
}

fn json(
    status: StatusCode,
    body: &serde_json::Value,
    retry_after: Option<Duration>,
) -> Response<AnyBody> {
    let body = Full::new(Bytes::from(body.to_string()));
    let mut answer = Response::new(body.map_err(|never| match never {}).boxed_unsync());
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(wait) = retry_after {
        let whole = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(whole));
    }
    answer
}

/// An error with its causes, on one line.
pub(super) fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
