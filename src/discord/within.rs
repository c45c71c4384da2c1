//! The front as the face uses it: calls from within the process, past the port that serenity needs. The same checks,
//! limits, deadlines and repeats, without two more connections' worth of waking up. Answers to interactions take it.

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use gantry_commands::{Method, Wire};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use serenity::http::{ErrorResponse, HttpError};

use super::forward;
use super::front::Front;
use super::route::API_PREFIX;

impl Wire for Front {
    fn send(
        &self,
        method: Method,
        path: String,
        json: Vec<u8>,
    ) -> BoxFuture<'_, Result<Vec<u8>, serenity::Error>> {
        self.track(self.send_within(method, path, json)).boxed()
    }

    fn fetch(&self, url: String, limit: usize) -> BoxFuture<'_, Result<Vec<u8>, String>> {
        let api = self.shared().settings.api_base.clone();
        self.track(async move { super::file::fetch(&api, &url, limit).await }).boxed()
    }
}

impl Front {
    async fn send_within(
        &self,
        method: Method,
        path: String,
        json: Vec<u8>,
    ) -> Result<Vec<u8>, serenity::Error> {
        let method = match method {
            Method::Post => http::Method::POST,
            Method::Patch => http::Method::PATCH,
            Method::Delete => http::Method::DELETE,
        };
        let shared = self.shared();
        let mut request = Request::builder()
            .method(method.clone())
            .uri(format!("{API_PREFIX}{path}"))
            .header(AUTHORIZATION, shared.authorization.clone());
        if !json.is_empty() {
            request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let request = request
            .body(Full::new(Bytes::from(json)).map_err(|never| match never {}).boxed_unsync())
            .map_err(|_| serenity::Error::Other("the path of a call to Discord is none"))?;
        let (parts, body) = forward::forward(shared, request).await.into_parts();
        let body = match forward::whole(body).await {
            Some(body) => body,
            // Discord has answered and acted; its words were lost on the way.
            None if parts.status.is_success() => Bytes::new(),
            None => Bytes::from_static(BROKE_OFF),
        };
        if parts.status.is_success() {
            return Ok(body.into());
        }
        Err(error(parts.status, body, method).await)
    }
}

const BROKE_OFF: &[u8] = br#"{"code":0,"message":"the answer of Discord broke off"}"#;

/// serenity's own error for what Discord, or the front in its stead, answered.
async fn error(status: StatusCode, body: Bytes, method: http::Method) -> serenity::Error {
    let mut answer = http::Response::new(body);
    *answer.status_mut() = status;
    // Made without a URL: the error must not hold one, an interaction's token is in it.
    let told = ErrorResponse::from_response(reqwest::Response::from(answer), method).await;
    HttpError::UnsuccessfulRequest(told).into()
}
