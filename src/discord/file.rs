//! Files that people attach to commands. The address stands in an interaction that came over the authenticated
//! gateway, and is still held against a list: nothing but Discord's own file hosts is ever asked, no redirect is
//! followed, and no more is read than was asked for. Called by the face through its `Wire`, and by the engine for files that
//! are handed on to a node.

use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};
use gantry_engine::{Attachments, Pieces};
use url::Url;

use super::dial;
use super::forward::chain;

/// Hosts that hand out attachments.
const HOSTS: [&str; 2] = ["cdn.discordapp.com", "media.discordapp.net"];
/// One small file, from the first byte sent to the last one read.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Until a connection stands.
const CONNECT: Duration = Duration::from_secs(10);
/// Longest silence between two pieces of a file that is handed on; how long it may take in all, the upload says.
const SILENCE: Duration = Duration::from_secs(30);

/// Whether a file may be fetched from there. `api` is the configured API address: a simulated Discord on this machine
/// hands out its own files.
fn is_ours(api: &Url, url: &Url) -> bool {
    let plain = url.username().is_empty() && url.password().is_none();
    if *api != dial::discord() && api.origin() == url.origin() {
        return plain;
    }
    plain
        && url.scheme() == "https"
        && url.port().is_none()
        && url.host_str().is_some_and(|host| HOSTS.contains(&host))
}

/// The address holds a signature; it stays out of every message.
fn unread(error: reqwest::Error) -> String {
    format!("Discord's file server did not hand it out: {}", chain(&error.without_url()))
}

/// Asks for a file; `whole` is how long all of it may take, where that is bounded here.
async fn ask(api: &Url, url: &str, whole: Option<Duration>) -> Result<reqwest::Response, String> {
    let url = url.parse::<Url>().map_err(|_| "Discord gave no address for it".to_owned())?;
    if !is_ours(api, &url) {
        return Err("its address is not one of Discord's".into());
    }
    let client = reqwest::Client::builder()
        .no_proxy()
        // Bytes are counted: they must be those of the file, not of something unpacked on the way.
        .no_gzip()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT)
        .read_timeout(SILENCE);
    let client = match whole {
        Some(whole) => client.timeout(whole),
        None => client,
    };
    let client = client.build().map_err(|error| chain(&error))?;
    let answer = client.get(url).send().await.map_err(unread)?;
    match answer.status() {
        status if status.is_success() => Ok(answer),
        status => Err(format!("Discord's file server answered {}", status.as_u16())),
    }
}

/// Fetches a file of at most `limit` bytes.
pub(super) async fn fetch(api: &Url, url: &str, limit: usize) -> Result<Vec<u8>, String> {
    let mut answer = ask(api, url, Some(TIMEOUT)).await?;
    let mut bytes = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(unread)? {
        if bytes.len() + part.len() > limit {
            return Err(format!("it is larger than {} KiB", limit / 1024));
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

/// The way of attached files to the engine, which hands them on to a node.
pub(crate) struct Files {
    api: Url,
}

impl Files {
    /// `api` is the configured address of Discord's API.
    pub(crate) fn new(api: Url) -> Self {
        Self { api }
    }
}

impl Attachments for Files {
    fn open(&self, url: String) -> BoxFuture<'_, Result<Pieces, String>> {
        async move {
            let answer = ask(&self.api, &url, None).await?;
            Ok(answer.bytes_stream().map_err(unread).boxed())
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_discords_file_hosts_is_asked() {
        let real = dial::discord();
        let ours = |api: &Url, url: &str| is_ours(api, &url.parse().unwrap());
        assert!(ours(&real, "https://cdn.discordapp.com/ephemeral-attachments/1/2/web.toml?ex=1"));
        assert!(ours(&real, "https://media.discordapp.net/attachments/1/2/web.toml"));
        for bad in [
            "http://cdn.discordapp.com/attachments/1/2/web.toml",
            "https://cdn.discordapp.com.evil.example/a",
            "https://evil.example/cdn.discordapp.com",
            "https://cdn.discordapp.com@evil.example/a",
            "https://user@cdn.discordapp.com/a",
            "https://cdn.discordapp.com:8443/a",
            "https://169.254.169.254/latest/meta-data",
            "http://127.0.0.1:8006/api2/json",
            "file:///etc/passwd",
        ] {
            assert!(!ours(&real, bad), "{bad}");
        }
        let twin: Url = "http://127.0.0.1:4000/api/v10".parse().unwrap();
        assert!(ours(&twin, "http://127.0.0.1:4000/attachments/1/2/web.toml"));
        assert!(!ours(&twin, "http://127.0.0.1:4001/attachments/1/2/web.toml"));
    }
}
