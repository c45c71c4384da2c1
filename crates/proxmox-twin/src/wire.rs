//! From bytes to a request and from an answer to bytes: forms, JSON bodies, reason phrases, cut bodies.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::ext::ReasonPhrase;
use hyper::{Response, StatusCode, header};
use percent_encoding::percent_decode;
use serde_json::Value;

use crate::reply::{Answer, Refusal};

/// A body: whole, or one that breaks off halfway.
pub(crate) struct Payload {
    next: Option<Bytes>,
    breaks: bool,
    promised: u64,
}

impl Payload {
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self { promised: bytes.len() as u64, next: Some(bytes), breaks: false }
    }

    /// Promises all and gives half.
    pub(crate) fn half(bytes: impl Into<Bytes>) -> Self {
        let bytes: Bytes = bytes.into();
        let promised = bytes.len() as u64;
        Self { next: Some(bytes.slice(..bytes.len() / 2)), breaks: true, promised }
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(bytes) = self.next.take()
            && !bytes.is_empty()
        {
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        if self.breaks {
            self.breaks = false;
            return Poll::Ready(Some(Err(io::Error::other("cut by trouble"))));
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        !self.breaks && self.next.as_ref().is_none_or(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.promised)
    }
}

/// Puts an answer on the wire; `close` says that the connection ends after it.
pub(crate) fn respond(answer: Answer, close: bool, half: bool) -> Response<Payload> {
    let length = answer.body.len();
    let body = if half { Payload::half(answer.body) } else { Payload::whole(answer.body) };
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let reason: Vec<u8> =
        answer.reason.bytes().map(|b| if b < 0x20 || b == 0x7f { b' ' } else { b }).collect();
    if let Ok(reason) = ReasonPhrase::try_from(reason) {
        response.extensions_mut().insert(reason);
    }
    let headers = response.headers_mut();
    headers.insert(header::SERVER, header::HeaderValue::from_static("pve-api-daemon/3.0"));
    headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("max-age=0"));
    headers.insert(header::PRAGMA, header::HeaderValue::from_static("no-cache"));
    headers.insert(header::CONTENT_LENGTH, header::HeaderValue::from(length));
    if let Some(kind) = answer.content_type {
        headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    }
    if close {
        headers.insert(header::CONNECTION, header::HeaderValue::from_static("close"));
    }
    response
}

/// Reads `a=1&b=2`; a repeated key becomes a list.
pub(crate) fn form(text: &[u8]) -> BTreeMap<String, Value> {
    let decode = |part: &[u8]| {
        let spaced: Vec<u8> = part.iter().map(|b| if *b == b'+' { b' ' } else { *b }).collect();
        percent_decode(&spaced).decode_utf8_lossy().into_owned()
    };
    let mut map: BTreeMap<String, Value> = BTreeMap::new();
    for pair in text.split(|b| *b == b'&').filter(|p| !p.is_empty()) {
        let (key, value) = match pair.iter().position(|b| *b == b'=') {
            Some(at) => {
                (pair.get(..at).unwrap_or_default(), pair.get(at + 1..).unwrap_or_default())
            }
            None => (pair, [].as_slice()),
        };
        let value = Value::String(decode(value));
        match map.get_mut(&decode(key)) {
            Some(Value::Array(list)) => list.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
            None => {
                map.insert(decode(key), value);
            }
        }
    }
    map
}

/// An upload form: its fields, and the content of its file.
#[derive(Debug, Default)]
pub(crate) struct UploadForm {
    pub(crate) fields: BTreeMap<String, Value>,
    pub(crate) file: Option<Vec<u8>>,
}

/// Reads `multipart/form-data`: plain fields, and one file whose name becomes the field `filename`.
///
/// # Errors
/// 500 as text when the form cannot be taken apart.
pub(crate) fn multipart(content_type: &str, body: &[u8]) -> Result<UploadForm, Refusal> {
    let bad = |what: &str| Refusal::text(500, format!("upload failed - {what}"));
    let boundary = content_type
        .split(';')
        .find_map(|p| p.trim().strip_prefix("boundary="))
        .map(|b| b.trim_matches('"'))
        .ok_or_else(|| bad("no boundary"))?;
    let fence = format!("--{boundary}");
    let mut form = UploadForm::default();
    for part in split(body, fence.as_bytes()).into_iter().skip(1) {
        if part.starts_with(b"--") {
            break;
        }
        let part = part.strip_prefix(b"\r\n".as_slice()).unwrap_or(part);
        let part = part.strip_suffix(b"\r\n".as_slice()).unwrap_or(part);
        let at = find(part, b"\r\n\r\n").ok_or_else(|| bad("a part has no header"))?;
        let head = String::from_utf8_lossy(part.get(..at).unwrap_or_default()).into_owned();
        let content = part.get(at + 4..).unwrap_or_default();
        let named = |key: &str| {
            let rest = head.split_once(&format!("{key}=\""))?.1;
            rest.split('"').next().map(str::to_owned)
        };
        let name = named(" name").ok_or_else(|| bad("a part has no name"))?;
        match named(" filename") {
            Some(file) => {
                let token: String = crate::api::people::uuid().replace('-', "");
                let tmp = format!("/var/tmp/pveupload-{token}");
                form.fields.insert("filename".to_owned(), Value::String(file));
                form.fields.insert("tmpfilename".to_owned(), Value::String(tmp));
                form.file = Some(content.to_vec());
                // What comes behind the file is not read any more.
                break;
            }
            None => {
                let text = String::from_utf8_lossy(content).into_owned();
                form.fields.insert(name, Value::String(text));
            }
        }
    }
    Ok(form)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|w| w == needle)
}

fn split<'a>(mut text: &'a [u8], fence: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    while let Some(at) = find(text, fence) {
        parts.push(text.get(..at).unwrap_or_default());
        text = text.get(at + fence.len()..).unwrap_or_default();
    }
    parts.push(text);
    parts
}

/// Reads a JSON object as parameters.
///
/// # Errors
/// 500 with the words of the server's JSON library.
pub(crate) fn json(text: &[u8]) -> Result<BTreeMap<String, Value>, Refusal> {
    match serde_json::from_slice::<Value>(text) {
        Ok(Value::Object(map)) => {
            Ok(map.into_iter().filter(|(_, value)| !value.is_null()).collect())
        }
        Ok(_) => Err(Refusal::text(500, "unable to parse parameters: not a JSON object")),
        Err(_) => {
            let start: String = String::from_utf8_lossy(text).chars().take(20).collect();
            Err(Refusal::text(
                500,
                format!(
                    "malformed JSON string, neither tag, array, object, number, string or atom, at character offset 0 (before \"{start}\") at /usr/share/perl5/PVE/APIServer/AnyEvent.pm line 870, <GEN0> line 14."
                ),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json as value;

    #[test]
    fn forms_decode_and_gather() {
        let map = form(b"a=1&b=x%20y+z&a=2&empty=&flag");
        assert_eq!(map.get("a"), Some(&value!(["1", "2"])));
        assert_eq!(map.get("b"), Some(&value!("x y z")));
        assert_eq!(map.get("empty"), Some(&value!("")));
        assert_eq!(map.get("flag"), Some(&value!("")));
    }

    #[test]
    fn a_bad_body_is_a_500_with_text() {
        let refusal = json(b"{bad").unwrap_err();
        assert_eq!(refusal.status, 500);
        assert!(refusal.message.starts_with("malformed JSON string"));
    }
}
