//! Request bodies: JSON, or multipart with `payload_json` and `files[n]`; query strings.

use axum::body::Body;
use axum::extract::{DefaultBodyLimit, FromRequest, Multipart};
use bytes::Bytes;
use http::{HeaderMap, header};
use http_body_util::{BodyExt, Limited};
use serde_json::Value;

use crate::fault::Fault;
use crate::message::Upload;

/// Bytes of one request.
const REQUEST: usize = 25 << 20;

/// A body, read.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub(super) json: Value,
    pub(super) multipart: bool,
    pub(super) uploads: Vec<Upload>,
}

/// Reads a request's body as its content type says.
pub(super) async fn read(headers: &HeaderMap, body: hyper::body::Incoming) -> Result<Read, Fault> {
    let collected = Limited::new(body, REQUEST).collect().await;
    let bytes =
        collected.map_err(|_| Fault::new(413, 40_005, "Request entity too large"))?.to_bytes();
    if bytes.is_empty() {
        return Ok(Read::default());
    }
    let kind =
        headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "application/json" => Ok(Read { json: json(&bytes)?, ..Read::default() }),
        "multipart/form-data" => multipart(kind, bytes).await,
        _ => {
            let message = "Expected \"Content-Type\" header to be one of {'application/json'}.";
            Err(Fault::new(400, 50_035, message))
        }
    }
}

fn json(bytes: &[u8]) -> Result<Value, Fault> {
    serde_json::from_slice(bytes)
        .map_err(|_| Fault::new(400, 50_109, "The request body contains invalid JSON."))
}

async fn multipart(kind: &str, bytes: Bytes) -> Result<Read, Fault> {
    let broken = || Fault::new(400, 50_035, "Invalid multipart body");
    let mut request = http::Request::builder()
        .header(header::CONTENT_TYPE, kind)
        .body(Body::from(bytes))
        .map_err(|_| broken())?;
    // The whole body was bounded when it was read.
    DefaultBodyLimit::disable().apply(&mut request);
    let mut parts = Multipart::from_request(request, &()).await.map_err(|_| broken())?;
    let mut read = Read { multipart: true, ..Read::default() };
    while let Some(field) = parts.next_field().await.map_err(|_| broken())? {
        let name = field.name().unwrap_or_default().to_owned();
        let filename = field.file_name().map(str::to_owned);
        let content_type = field.content_type().map(str::to_owned);
        let bytes = field.bytes().await.map_err(|_| broken())?;
        if name == "payload_json" {
            read.json = json(&bytes)?;
            continue;
        }
        let Some(filename) = filename else {
            let message = format!("Unknown form part \"{name}\": send payload_json and files[n]");
            return Err(Fault::form(&name, "TWIN_UNKNOWN_KEY", message));
        };
        let n = name.strip_prefix("files[").and_then(|rest| rest.strip_suffix(']'));
        let n = n.and_then(|n| n.parse().ok()).unwrap_or(read.uploads.len() as u64);
        let content_type = content_type
            .filter(|kind| kind != "application/octet-stream")
            .unwrap_or_else(|| guess(&filename).to_owned());
        read.uploads.push(Upload { n, filename, content_type, bytes });
    }
    Ok(read)
}

/// The content type by file name, as Discord guesses it.
fn guess(filename: &str) -> &'static str {
    match filename.rsplit('.').next().unwrap_or_default().to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "svg" => "image/svg+xml",
        "json" => "application/json",
        "txt" | "log" => "text/plain; charset=utf-8",
        "csv" => "text/csv; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// A query string as pairs.
pub(crate) fn query(text: &str) -> Vec<(String, String)> {
    let decode = |part: &str| {
        let part = part.replace('+', " ");
        percent_encoding::percent_decode_str(&part).decode_utf8_lossy().into_owned()
    };
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(key, value)| (decode(key), decode(value)))
        .collect()
}
