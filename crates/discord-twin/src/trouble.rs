//! Trouble as plain state: what shall go wrong, on which endpoint, how often. REST asks before
//! and after it carries something out; the gateway kinds act at once.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::route::Route;

fn any_route() -> String {
    "*".to_owned()
}
fn once() -> u32 {
    1
}
fn second() -> u64 {
    1000
}
fn bad_gateway() -> u16 {
    502
}
fn user_scope() -> String {
    "user".to_owned()
}
fn unknown_error() -> u16 {
    4000
}

/// One kind of trouble, in the words of the control API.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Trouble {
    /// The next `times` calls are answered 429; scope `user`, `global` or `shared`.
    RateLimit {
        /// Endpoint name, alias or `*`.
        #[serde(default = "any_route")]
        route: String,
        /// How many calls.
        #[serde(default = "once")]
        times: u32,
        /// Milliseconds.
        #[serde(default = "second")]
        retry_after_ms: u64,
        /// `user`, `global` or `shared`.
        #[serde(default = "user_scope")]
        scope: String,
    },
    /// The next `times` calls fail with this status and body; nothing is carried out.
    Error {
        /// Endpoint name, alias or `*`.
        #[serde(default = "any_route")]
        route: String,
        /// HTTP status.
        #[serde(default = "bad_gateway")]
        status: u16,
        /// How many calls.
        #[serde(default = "once")]
        times: u32,
        /// JSON body; without it 5xx answers are the HTML page of a proxy.
        #[serde(default)]
        body: Option<Value>,
    },
    /// The next `times` calls take `ms` longer.
    Hang {
        /// Endpoint name, alias or `*`.
        #[serde(default = "any_route")]
        route: String,
        /// Milliseconds.
        ms: u64,
        /// How many calls.
        #[serde(default = "once")]
        times: u32,
    },
    /// Carried out, then the connection is cut without an answer.
    CutAfter {
        /// Endpoint name, alias or `*`.
        #[serde(default = "any_route")]
        route: String,
        /// How many calls.
        #[serde(default = "once")]
        times: u32,
    },
    /// The connection is cut before anything is carried out.
    CutBefore {
        /// Endpoint name, alias or `*`.
        #[serde(default = "any_route")]
        route: String,
        /// How many calls.
        #[serde(default = "once")]
        times: u32,
    },
    /// The bot loses sight of a channel (50001) until the trouble ends.
    NoAccess {
        /// Channel id.
        channel_id: String,
    },
    /// Gateway: every connection is closed with this code.
    Close {
        /// Close code.
        #[serde(default = "unknown_error")]
        code: u16,
    },
    /// Gateway: the next `times` identifies are closed with this code.
    CloseIdentify {
        /// Close code, e.g. 4010.
        code: u16,
        /// How many identifies.
        #[serde(default = "once")]
        times: u32,
    },
    /// Gateway: op 7.
    Reconnect,
    /// Gateway: op 9.
    InvalidSession {
        /// Whether the session may be resumed.
        #[serde(default)]
        resumable: bool,
    },
    /// Gateway: TCP connections end without a close frame.
    CutTcp,
    /// Gateway: present connections get no heartbeat acks any more.
    Zombie,
}

/// A trouble with its number.
#[derive(Clone, Debug, Serialize)]
pub struct Active {
    /// Number, for ending it.
    pub id: u64,
    /// What goes wrong.
    #[serde(flatten)]
    pub trouble: Trouble,
}

/// What shall happen to one REST call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) hang_ms: u64,
    pub(crate) cut_before: bool,
    pub(crate) cut_after: bool,
    pub(crate) error: Option<(u16, Option<Value>)>,
    pub(crate) rate_limit: Option<(u64, String)>,
}

/// The troubles in force.
#[derive(Debug, Default)]
pub(crate) struct Troubles {
    pub(crate) list: Vec<Active>,
    next: u64,
}

impl Troubles {
    pub(crate) fn add(&mut self, trouble: Trouble) -> u64 {
        self.next += 1;
        self.list.push(Active { id: self.next, trouble });
        self.next
    }

    /// Takes what applies to a call, counting down.
    pub(crate) fn verdict(&mut self, route: &Route) -> Verdict {
        let mut verdict = Verdict::default();
        for active in &mut self.list {
            let (pattern, times) = match &mut active.trouble {
                Trouble::RateLimit { route, times, .. }
                | Trouble::Error { route, times, .. }
                | Trouble::Hang { route, times, .. }
                | Trouble::CutAfter { route, times }
                | Trouble::CutBefore { route, times } => (route, times),
                _ => continue,
            };
            if *times == 0 || !route.is(pattern) {
                continue;
            }
            *times -= 1;
            match &active.trouble {
                Trouble::RateLimit { retry_after_ms, scope, .. } => {
                    verdict.rate_limit = Some((*retry_after_ms, scope.clone()));
                }
                Trouble::Error { status, body, .. } => {
                    verdict.error = Some((*status, body.clone()))
                }
                Trouble::Hang { ms, .. } => verdict.hang_ms += ms,
                Trouble::CutAfter { .. } => verdict.cut_after = true,
                Trouble::CutBefore { .. } => verdict.cut_before = true,
                _ => {}
            }
        }
        self.list.retain(|active| !spent(&active.trouble));
        verdict
    }

    /// Takes the close code the next identify shall meet, if any.
    pub(crate) fn close_identify(&mut self) -> Option<u16> {
        let mut taken = None;
        for active in &mut self.list {
            if let Trouble::CloseIdentify { code, times } = &mut active.trouble
                && *times > 0
                && taken.is_none()
            {
                *times -= 1;
                taken = Some(*code);
            }
        }
        self.list.retain(|active| !spent(&active.trouble));
        taken
    }

    /// Whether the bot has lost sight of a channel.
    pub(crate) fn hides(&self, channel: u64) -> bool {
        self.list.iter().any(|active| {
            matches!(&active.trouble, Trouble::NoAccess { channel_id } if channel_id.parse() == Ok(channel))
        })
    }
}

fn spent(trouble: &Trouble) -> bool {
    match trouble {
        Trouble::RateLimit { times, .. }
        | Trouble::Error { times, .. }
        | Trouble::Hang { times, .. }
        | Trouble::CutAfter { times, .. }
        | Trouble::CutBefore { times, .. }
        | Trouble::CloseIdentify { times, .. } => *times == 0,
        _ => false,
    }
}
