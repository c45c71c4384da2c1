//! The demo page's files, compiled in. A debug build reads them from `TWIN_PAGE_DIR` when that
//! is set, so that the page can be worked on without rebuilding.

use axum::body::Body;
use http::{Response, StatusCode, header};

const FILES: &[(&str, &str, &str)] = &[
    ("index.html", "text/html; charset=utf-8", include_str!("../page/index.html")),
    ("style.css", "text/css; charset=utf-8", include_str!("../page/style.css")),
    ("app.js", "text/javascript; charset=utf-8", include_str!("../page/app.js")),
    ("markdown.js", "text/javascript; charset=utf-8", include_str!("../page/markdown.js")),
    ("composer.js", "text/javascript; charset=utf-8", include_str!("../page/composer.js")),
    ("panel.js", "text/javascript; charset=utf-8", include_str!("../page/panel.js")),
];

/// Serves one file of the page.
pub(crate) fn serve(name: &str) -> Response<Body> {
    let Some((_, kind, text)) = FILES.iter().find(|(file, _, _)| *file == name) else {
        let mut response = Response::new(Body::from("not found"));
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    };
    let body = from_disk(name).unwrap_or_else(|| (*text).to_owned());
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, http::HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    response
}

#[cfg(debug_assertions)]
fn from_disk(name: &str) -> Option<String> {
    let folder = std::env::var_os("TWIN_PAGE_DIR")?;
    std::fs::read_to_string(std::path::Path::new(&folder).join(name)).ok()
}

#[cfg(not(debug_assertions))]
fn from_disk(_name: &str) -> Option<String> {
    None
}
