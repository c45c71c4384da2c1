//! A bare bot: a REST client and a gateway socket that say exactly what a test wants said.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use discord_twin::contract::Checker;
use discord_twin::{Options, Twin};
use flate2::{Decompress, FlushDecompress};
use futures::{SinkExt, StreamExt};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, coding::CloseCode};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

pub const APP: &str = "1100000000000000001";
pub const OPS: u64 = discord_twin::world::OPS_CHANNEL;
/// GUILDS | GUILD_MESSAGES
pub const INTENTS: u64 = 1 | (1 << 9);
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Options for tests: no pauses that belong to no promise under test.
pub fn quick() -> Options {
    Options { identify_window: Duration::ZERO, rate_limits: false, ..Options::default() }
}

/// What came back.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub json: Value,
    pub text: String,
}

impl Reply {
    pub fn code(&self) -> u64 {
        self.json["code"].as_u64().unwrap_or(0)
    }
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
    pub fn id(&self) -> u64 {
        self.json["id"].as_str().unwrap().parse().unwrap()
    }
}

#[derive(Clone, Debug)]
pub struct Rest {
    http: reqwest::Client,
    pub url: String,
    pub token: String,
    pub agent: String,
}

impl Rest {
    pub fn new(twin: &Twin) -> Self {
        Self {
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            url: twin.url(),
            token: format!("Bot {}", twin.token()),
            agent: "DiscordBot (https://example.invalid, 1.0)".into(),
        }
    }

    pub async fn try_send(
        &self,
        method: Method,
        path: &str,
        body: Value,
    ) -> reqwest::Result<Reply> {
        let mut request = self
            .http
            .request(method, format!("{}/api/v10{path}", self.url))
            .header("authorization", &self.token)
            .header("user-agent", &self.agent);
        if !body.is_null() {
            request = request.json(&body);
        }
        Self::read(request).await
    }

    async fn read(request: reqwest::RequestBuilder) -> reqwest::Result<Reply> {
        let answer = request.send().await?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await?;
        let json = serde_json::from_str(&text).unwrap_or_default();
        Ok(Reply { status, headers, json, text })
    }

    pub async fn send(&self, method: Method, path: &str, body: Value) -> Reply {
        self.try_send(method, path, body).await.unwrap()
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, Value::Null).await
    }
    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.send(Method::POST, path, body).await
    }
    pub async fn patch(&self, path: &str, body: Value) -> Reply {
        self.send(Method::PATCH, path, body).await
    }
    pub async fn put(&self, path: &str, body: Value) -> Reply {
        self.send(Method::PUT, path, body).await
    }
    pub async fn delete(&self, path: &str) -> Reply {
        self.send(Method::DELETE, path, Value::Null).await
    }

    /// Uploads files beside a JSON payload.
    pub async fn upload(&self, path: &str, body: &Value, files: &[(&str, &[u8])]) -> Reply {
        let mut form = reqwest::multipart::Form::new().text("payload_json", body.to_string());
        for (n, (name, bytes)) in files.iter().enumerate() {
            let part =
                reqwest::multipart::Part::bytes(bytes.to_vec()).file_name((*name).to_owned());
            form = form.part(format!("files[{n}]"), part);
        }
        let request = self
            .http
            .post(format!("{}/api/v10{path}", self.url))
            .header("authorization", &self.token)
            .header("user-agent", &self.agent)
            .multipart(form);
        Self::read(request).await.unwrap()
    }

    /// Fetches anything from the twin's port.
    pub async fn raw(&self, path: &str) -> Reply {
        Self::read(self.http.get(format!("{}{path}", self.url))).await.unwrap()
    }

    /// Calls the control API.
    pub async fn control(&self, method: Method, path: &str, body: &Value) -> Reply {
        let request = self.http.request(method, format!("{}/control{path}", self.url));
        Self::read(if body.is_null() { request } else { request.json(body) }).await.unwrap()
    }

    /// Answers an interaction.
    pub async fn callback(&self, interaction: &Value, body: Value) -> Reply {
        let id = interaction["id"].as_str().unwrap();
        let token = interaction["token"].as_str().unwrap();
        self.post(&format!("/interactions/{id}/{token}/callback"), body).await
    }

    /// Path below an interaction's webhook.
    pub fn hook(interaction: &Value, rest: &str) -> String {
        format!("/webhooks/{APP}/{}{rest}", interaction["token"].as_str().unwrap())
    }
}

pub struct Socket {
    ws: WebSocketStream<MaybeTlsStream<TcpStream>>,
    zlib: Option<Decompress>,
    pub seq: u64,
    pub hello: Value,
}

impl Socket {
    pub async fn open(url: &str) -> Self {
        let (ws, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        let zlib = url.contains("zlib-stream").then(|| Decompress::new(true));
        let mut socket = Self { ws, zlib, seq: 0, hello: Value::Null };
        if !url.contains("v=1&") && !url.contains("encoding=etf") {
            socket.hello = socket.next().await.unwrap();
            assert_eq!(socket.hello["op"], 10, "the first payload is hello");
        }
        socket
    }

    pub async fn plain(twin: &Twin) -> Self {
        Self::open(&format!("{}?v=10&encoding=json", twin.gateway_url())).await
    }

    /// Connects, identifies and waits for READY.
    pub async fn ready(twin: &Twin, intents: u64, shard: (u64, u64)) -> (Self, Value) {
        let mut socket = Self::plain(twin).await;
        socket.identify(twin, intents, shard).await;
        let ready = socket.expect("READY").await;
        (socket, ready)
    }

    pub async fn send(&mut self, payload: &Value) {
        self.ws.send(Message::text(payload.to_string())).await.unwrap();
    }

    pub async fn text(&mut self, text: String) {
        drop(self.ws.send(Message::text(text)).await);
    }

    pub async fn identify(&mut self, twin: &Twin, intents: u64, shard: (u64, u64)) {
        let token = format!("Bot {}", twin.token());
        self.send(&identify(&token, intents, shard)).await;
    }

    /// The next payload, or the close code (0 for a cut).
    pub async fn next(&mut self) -> Result<Value, u16> {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.ws.next())
                .await
                .expect("the gateway says something");
            let text = match message {
                Some(Ok(Message::Text(text))) => text.to_string(),
                Some(Ok(Message::Binary(bytes))) => match &mut self.zlib {
                    Some(zlib) => inflate(zlib, &bytes),
                    None => inflate(&mut Decompress::new(true), &bytes),
                },
                Some(Ok(Message::Close(frame))) => {
                    return Err(frame.map_or(0, |frame| frame.code.into()));
                }
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => return Err(0),
            };
            let value: Value = serde_json::from_str(&text).unwrap();
            if let Some(seq) = value["s"].as_u64() {
                self.seq = seq;
            }
            return Ok(value);
        }
    }

    /// Skips to an event and returns its data.
    pub async fn expect(&mut self, name: &str) -> Value {
        loop {
            let payload =
                self.next().await.unwrap_or_else(|code| panic!("closed {code} before {name}"));
            if payload["t"] == name {
                return payload["d"].clone();
            }
        }
    }

    /// Skips to an opcode and returns the payload.
    pub async fn opcode(&mut self, op: u64) -> Value {
        loop {
            let payload =
                self.next().await.unwrap_or_else(|code| panic!("closed {code} before op {op}"));
            if payload["op"] == op {
                return payload;
            }
        }
    }

    /// Reads on until the twin closes.
    pub async fn closed(&mut self) -> u16 {
        loop {
            if let Err(code) = self.next().await {
                return code;
            }
        }
    }

    /// A heartbeat that is answered proves that everything sent before has been read.
    pub async fn heartbeat(&mut self) {
        let seq = self.seq;
        self.send(&json!({"op": 1, "d": seq})).await;
        self.opcode(11).await;
    }

    pub async fn leave(mut self, code: u16) {
        let frame = CloseFrame { code: CloseCode::from(code), reason: "".into() };
        drop(self.ws.close(Some(frame)).await);
        while let Some(Ok(_)) = self.ws.next().await {}
    }
}

fn inflate(zlib: &mut Decompress, bytes: &[u8]) -> String {
    let mut out = Vec::with_capacity(bytes.len() * 20 + 4096);
    zlib.decompress_vec(bytes, &mut out, FlushDecompress::Sync).unwrap();
    String::from_utf8(out).unwrap()
}

pub fn identify(token: &str, intents: u64, shard: (u64, u64)) -> Value {
    json!({"op": 2, "d": {
        "token": token, "intents": intents, "shard": [shard.0, shard.1],
        "properties": {"os": "linux", "browser": "test", "device": "test"},
        // serenity sends an object where the documentation has a number.
        "presence": {"afk": false, "status": "online", "activities": [], "since": {"secs_since_epoch": 1, "nanos_since_epoch": 2}},
    }})
}

/// A twin whose recorded requests, and its answers to them, are held against the official
/// schema when the test ends.
#[derive(Debug)]
pub struct Watched(pub Twin);

impl std::ops::Deref for Watched {
    type Target = Twin;
    fn deref(&self) -> &Twin {
        &self.0
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let Some(checker) = checker().filter(|_| !std::thread::panicking()) else { return };
        let mut found = Vec::new();
        for entry in self.0.log() {
            found.extend(checker.check(&entry).iter().map(|one| format!("request {one}")));
            found.extend(checker.answer(&entry).iter().map(|one| format!("answer {one}")));
        }
        found.sort();
        found.dedup();
        assert!(found.is_empty(), "against the official schema:\n{}", found.join("\n"));
    }
}

/// The official schema, when it is there; its absence is said once.
pub fn checker() -> Option<&'static Checker> {
    static CHECKER: OnceLock<Option<Checker>> = OnceLock::new();
    let folder = std::env::var_os("GANTRY_CONTRACTS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/contracts"),
        PathBuf::from,
    );
    CHECKER
        .get_or_init(|| {
            let loaded = Checker::load(folder.join("discord-openapi.json"));
            if let Err(why) = &loaded {
                eprintln!("NOT CHECKED AGAINST DISCORD'S OPENAPI: {why}; set GANTRY_CONTRACTS");
            }
            loaded.ok()
        })
        .as_ref()
}

/// A twin, a REST client and a connected gateway socket.
pub async fn bot() -> (Watched, Rest, Socket) {
    let twin = Twin::start(quick()).await.unwrap();
    let rest = Rest::new(&twin);
    let (socket, _) = Socket::ready(&twin, INTENTS, (0, 1)).await;
    (Watched(twin), rest, socket)
}

/// A set of commands with every kind of option.
pub fn commands() -> Value {
    json!([
        {"name": "pod", "description": "Pods", "options": [
            {"type": 1, "name": "delete", "description": "Delete", "options": [
                {"type": 3, "name": "pod", "description": "Which", "required": true, "autocomplete": true},
                {"type": 5, "name": "purge", "description": "Also from jobs"}]},
            {"type": 2, "name": "net", "description": "Network", "options": [
                {"type": 1, "name": "set", "description": "Set", "options": [
                    {"type": 4, "name": "vlan", "description": "Tag", "required": true, "min_value": 1, "max_value": 4094},
                    {"type": 6, "name": "who", "description": "Member"},
                    {"type": 8, "name": "role", "description": "Role"},
                    {"type": 7, "name": "where", "description": "Channel"},
                    {"type": 10, "name": "rate", "description": "Rate"}]}]}]},
        {"name": "help", "description": "Help", "options": [
            {"type": 3, "name": "topic", "description": "Topic", "choices": [{"name": "Pods", "value": "pod"}]}]},
        {"name": "secret", "description": "Admins only", "default_member_permissions": "0"},
    ])
}

pub async fn register(rest: &Rest) {
    let reply = rest.put(&format!("/applications/{APP}/commands"), commands()).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
}

/// Uses a command as the operator and answers it; returns the interaction and the answer.
pub async fn used(
    twin: &Twin,
    rest: &Rest,
    socket: &mut Socket,
    text: &str,
    body: Value,
) -> (Value, discord_twin::Answer) {
    let (answer, interaction) = tokio::join!(twin.run("operator", "#ops", text), async {
        let interaction = socket.expect("INTERACTION_CREATE").await;
        let reply = rest.callback(&interaction, body).await;
        assert_eq!(reply.status, 204, "{}", reply.text);
        interaction
    });
    (interaction, answer.unwrap())
}
