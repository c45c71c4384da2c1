//! The listener: one port for REST, gateway, control API, attachments and the page.
//! A connection can be dropped without an answer, which is why this is not a ready-made server.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::extract::ws::WebSocketUpgrade;
use http::{HeaderValue, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use crate::rest::Cut;
use crate::state::Shared;
use crate::{control, gateway, page, rest};

impl std::fmt::Display for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("cut on purpose")
    }
}

impl std::error::Error for Cut {}

/// Accepts connections until the twin stops.
pub(crate) async fn listen(shared: Arc<Shared>, listener: TcpListener) {
    loop {
        let accepted = tokio::select! {
            () = shared.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Out of file descriptors, most likely; the next connection may find one again.
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            continue;
        };
        tokio::spawn(connection(shared.clone(), stream));
    }
}

async fn connection(shared: Arc<Shared>, stream: TcpStream) {
    drop(stream.set_nodelay(true));
    let stop = shared.stop.clone();
    let service = service_fn(move |request| {
        let shared = shared.clone();
        // An error here makes hyper drop the connection without a byte of an answer.
        async move { route(shared, request).await }
    });
    let serving = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    tokio::select! {
        () = stop.cancelled() => {}
        _ = serving => {}
    }
}

async fn route(shared: Arc<Shared>, request: Request<Incoming>) -> Result<Response<Body>, Cut> {
    let path = request.uri().path().to_owned();
    if request.headers().contains_key(header::UPGRADE) {
        return Ok(upgrade(shared, request).await);
    }
    if path.starts_with("/api/") || path == "/api" {
        return rest::serve(shared, request).await;
    }
    if path.starts_with("/control") {
        return Ok(control::serve(shared, request).await);
    }
    if let Some(rest) = path.strip_prefix("/attachments/") {
        return Ok(attachment(&shared, rest));
    }
    Ok(match path.as_str() {
        "/" | "/index.html" => page::serve("index.html"),
        other => page::serve(other.trim_start_matches('/').trim_start_matches("page/")),
    })
}

/// `/gw`, `/gw/`, `/gw-resume` and `/` with an upgrade are the gateway.
async fn upgrade(shared: Arc<Shared>, request: Request<Incoming>) -> Response<Body> {
    let (mut parts, _) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let known = matches!(path.trim_end_matches('/'), "" | "/gw" | "/gw-resume");
    let query: HashMap<String, String> =
        rest::query(parts.uri.query().unwrap_or_default()).into_iter().collect();
    match WebSocketUpgrade::from_request_parts(&mut parts, &()).await {
        Ok(upgrade) if known => {
            upgrade.on_upgrade(move |socket| gateway::run(shared, socket, path, query))
        }
        _ => {
            let mut response = Response::new(Body::from("not a gateway"));
            *response.status_mut() = StatusCode::BAD_REQUEST;
            response
        }
    }
}

/// `{channel}/{id}/{name}`
fn attachment(shared: &Shared, path: &str) -> Response<Body> {
    let id = path.split('/').nth(1).and_then(|id| id.parse::<u64>().ok());
    let found = id.and_then(|id| shared.lock().attachments.get(&id).cloned());
    let Some(found) = found else {
        let mut response = Response::new(Body::from("not found"));
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    };
    let mut response = Response::new(Body::from(found.bytes));
    if let Ok(kind) = HeaderValue::from_str(&found.content_type) {
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
    }
    let sniff = header::X_CONTENT_TYPE_OPTIONS;
    response.headers_mut().insert(sniff, HeaderValue::from_static("nosniff"));
    response
}
