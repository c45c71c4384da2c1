//! The twin through its ports, with a client that shares nothing with it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail by panicking")]

mod contract;
mod disks;
mod errors;
mod firewall;
mod guests;
mod images;
mod moves;
mod networks;
mod notifications;
mod people;
mod sdn;
mod tasks;
mod troubles;
mod wire;

use std::time::Duration;

use proxmox_twin::{Options, Twin, World};
use reqwest::{Client, Method, header};
use serde_json::Value;

/// An answer, with the reason phrase.
#[derive(Debug)]
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) reason: String,
    pub(crate) close: bool,
    pub(crate) text: String,
    pub(crate) body: Value,
}

impl Got {
    pub(crate) fn data(&self) -> &Value {
        assert_eq!(self.status, 200, "{} {}", self.reason, self.text);
        &self.body["data"]
    }

    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.status, self.reason)
    }

    pub(crate) fn error(&self, name: &str) -> &str {
        self.body["errors"][name]
            .as_str()
            .unwrap_or_else(|| panic!("no error for {name}: {}", self.text))
    }
}

/// A twin and somebody who asks it.
pub(crate) struct Desk {
    pub(crate) twin: Twin,
    pub(crate) client: Client,
    pub(crate) auth: String,
}

pub(crate) fn client(twin: &Twin) -> Client {
    let ca = reqwest::Certificate::from_pem(twin.ca_pem().as_bytes()).unwrap();
    Client::builder().add_root_certificate(ca).timeout(Duration::from_secs(20)).build().unwrap()
}

impl Desk {
    pub(crate) async fn new(world: World) -> Self {
        Self::with(Options::quick(world)).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let twin = Twin::start(options).await.unwrap();
        let (id, secret) = twin.token();
        Self { client: client(&twin), auth: format!("PVEAPIToken={id}={secret}"), twin }
    }

    pub(crate) async fn try_call(
        &self,
        method: &str,
        path: &str,
        form: &[(&str, &str)],
    ) -> reqwest::Result<Got> {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut url = format!("{}/api2/json{path}", self.twin.endpoints()[0]);
        let body = reqwest::Url::parse_with_params("http://x/", form)
            .unwrap()
            .query()
            .unwrap_or("")
            .to_owned();
        let writes = method == Method::POST || method == Method::PUT;
        if !writes && !body.is_empty() {
            url = format!("{url}?{body}");
        }
        let mut request =
            self.client.request(method, url).header(header::AUTHORIZATION, &self.auth);
        if writes {
            request = request
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(body);
        }
        read(request.send().await?).await
    }

    pub(crate) async fn call(&self, method: &str, path: &str, form: &[(&str, &str)]) -> Got {
        self.try_call(method, path, form).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Got {
        self.call("GET", path, &[]).await
    }

    pub(crate) async fn post(&self, path: &str, form: &[(&str, &str)]) -> Got {
        self.call("POST", path, form).await
    }

    pub(crate) async fn put(&self, path: &str, form: &[(&str, &str)]) -> Got {
        self.call("PUT", path, form).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Got {
        self.call("DELETE", path, &[]).await
    }

    /// Waits until the task an answer speaks of has ended; gives its exit status.
    pub(crate) async fn exit(&self, got: &Got) -> String {
        let upid =
            got.data().as_str().unwrap_or_else(|| panic!("no UPID: {}", got.text)).to_owned();
        let node = upid.split(':').nth(1).unwrap().to_owned();
        for _ in 0..2_000 {
            let status = self.get(&format!("/nodes/{node}/tasks/{upid}/status")).await;
            let data = status.data();
            if data["status"] == "stopped" {
                return data["exitstatus"].as_str().unwrap().to_owned();
            }
            assert!(data.get("exitstatus").is_none());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{upid} did not end");
    }
}

pub(crate) async fn read(response: reqwest::Response) -> reqwest::Result<Got> {
    let status = response.status().as_u16();
    let reason = match response.extensions().get::<hyper::ext::ReasonPhrase>() {
        Some(reason) => String::from_utf8_lossy(reason.as_bytes()).into_owned(),
        None => response.status().canonical_reason().unwrap_or("").to_owned(),
    };
    let close = response
        .headers()
        .get(header::CONNECTION)
        .is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"close"));
    let text = response.text().await?;
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    Ok(Got { status, reason, close, text, body })
}
