//! What a handler answers: data, or a refusal with the exact status line the real server would give.
//!
//! The reason phrase is the first line of the message; nothing here touches sockets.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

/// Outcome of a handler.
pub(crate) type Reply = Result<Data, Refusal>;

/// A successful answer.
#[derive(Debug)]
pub(crate) struct Data {
    pub(crate) value: Value,
    /// Already written JSON, instead of `value`: for answers with thousands of rows.
    pub(crate) written: Option<Vec<u8>>,
    /// Stands beside `data` in paged lists.
    pub(crate) total: Option<usize>,
    /// Stands beside `data` of a node's interfaces while changes are staged.
    pub(crate) changes: Option<String>,
}

impl From<Value> for Data {
    fn from(value: Value) -> Self {
        Self { value, written: None, total: None, changes: None }
    }
}

impl Data {
    /// A page of a longer list.
    pub(crate) const fn page(value: Value, total: usize) -> Self {
        Self { value, written: None, total: Some(total), changes: None }
    }

    /// JSON that is already written.
    pub(crate) const fn written(json: Vec<u8>) -> Self {
        Self { value: Value::Null, written: Some(json), total: None, changes: None }
    }
}

/// Shape of a refusal's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// No body, no content type.
    Empty,
    /// `{"data":null,"message":…}`
    Json,
    /// The reason as plain text.
    Text,
}

/// An unsuccessful answer.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    /// May hold several lines; the status line gets the first.
    pub(crate) message: String,
    pub(crate) errors: Option<BTreeMap<String, String>>,
    pub(crate) shape: Shape,
    /// How long the real server takes before it says so.
    pub(crate) delay: Duration,
}

impl Refusal {
    fn new(status: u16, message: impl Into<String>, shape: Shape) -> Self {
        Self { status, message: message.into(), errors: None, shape, delay: Duration::ZERO }
    }

    /// "Anything else in code": 500 with the text of the error.
    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self::new(500, message, Shape::Json)
    }

    /// A privilege is missing; `detail` is `path, privilege` or empty.
    pub(crate) fn denied(detail: &str) -> Self {
        let message = if detail.is_empty() {
            "Permission check failed".to_owned()
        } else {
            format!("Permission check failed ({detail})")
        };
        Self::new(403, message, Shape::Json)
    }

    /// Parameters did not verify.
    pub(crate) fn invalid(errors: BTreeMap<String, String>) -> Self {
        let mut refusal = Self::new(400, "Parameter verification failed.", Shape::Json);
        refusal.errors = Some(errors);
        refusal
    }

    /// One parameter did not verify.
    pub(crate) fn parameter(name: &str, sentence: impl Into<String>) -> Self {
        Self::invalid(BTreeMap::from([(name.to_owned(), sentence.into())]))
    }

    /// Status line only.
    pub(crate) fn bare(status: u16, message: impl Into<String>) -> Self {
        Self::new(status, message, Shape::Empty)
    }

    /// Status line and the same as text.
    pub(crate) fn text(status: u16, message: impl Into<String>) -> Self {
        Self::new(status, message, Shape::Text)
    }

    /// With a JSON body but another status.
    pub(crate) fn json(status: u16, message: impl Into<String>) -> Self {
        Self::new(status, message, Shape::Json)
    }

    /// With a pause before the answer.
    pub(crate) fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}

/// A finished answer, ready for the wire.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) reason: String,
    pub(crate) body: Vec<u8>,
    pub(crate) content_type: Option<&'static str>,
    pub(crate) delay: Duration,
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        match reply {
            Ok(data) => {
                let mut body = Vec::with_capacity(256);
                body.extend_from_slice(b"{\"data\":");
                match data.written {
                    Some(written) => body.extend_from_slice(&written),
                    // Writing to a Vec cannot fail, and these values hold no maps with non-text keys.
                    None => {
                        let _ = serde_json::to_writer(&mut body, &data.value);
                    }
                }
                if let Some(total) = data.total {
                    body.extend_from_slice(format!(",\"total\":{total}").as_bytes());
                }
                if let Some(changes) = data.changes {
                    body.extend_from_slice(format!(",\"changes\":{}", json!(changes)).as_bytes());
                }
                body.push(b'}');
                Self {
                    status: 200,
                    reason: "OK".to_owned(),
                    body,
                    content_type: Some("application/json;charset=UTF-8"),
                    delay: Duration::ZERO,
                }
            }
            Err(refusal) => {
                let reason = refusal.message.lines().next().unwrap_or_default().to_owned();
                let (body, content_type) = match refusal.shape {
                    Shape::Empty => (Vec::new(), None),
                    Shape::Text => (refusal.message.into_bytes(), Some("text/plain")),
                    Shape::Json => {
                        let mut body = json!({"data": null, "message": format!("{}\n", refusal.message.trim_end())});
                        if let (Some(errors), Some(map)) = (refusal.errors, body.as_object_mut()) {
                            map.insert("errors".to_owned(), json!(errors));
                        }
                        (body.to_string().into_bytes(), Some("application/json;charset=UTF-8"))
                    }
                };
                Self { status: refusal.status, reason, body, content_type, delay: refusal.delay }
            }
        }
    }
}
