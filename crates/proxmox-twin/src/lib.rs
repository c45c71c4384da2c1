//! A simulated Proxmox VE cluster that answers as the real API does.
//!
//! `Twin::start` serves one HTTPS port per node with its own certificate authority, and one plain control port.
//! It imports nothing of gantry, so it cannot share a mistake with the client. State survives nothing; trouble
//! is plain state. Used by tests in process, by the demo, and as a program of its own.

mod access;
mod api;
mod certs;
mod control;
mod effect;
mod firewall;
mod guest;
mod internet;
mod mount;
mod moves;
mod network;
mod noise;
mod notify;
mod presence;
mod reply;
mod schedule;
mod schema;
mod script;
mod sdn;
mod server;
mod shell;
mod start;
mod state;
mod task;
mod trouble;
mod view;
mod volume;
mod wear;
mod wire;
mod world;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

pub use control::Meddling;
pub use guest::GuestKind;
pub use internet::{Appliance, Internet, RemoteFile, RemoteImage};
pub use schema::{Kind, Param, Table};
pub use shell::NodeMeddling;
pub use trouble::{ActiveTrouble, Trouble};
pub use view::{Change, GuestView, InterfaceView, RequestRecord, TaskView, VolumeView};
pub use wear::{Replication, Wear};
pub use world::{DEBIAN_TEMPLATE, GuestSpec, NodeSpec, PastTask, StorageSpec, World};

use access::{Acl, Token};
use server::Shared;
use state::{Settings, State};

/// Why a twin could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A port could not be bound.
    #[error("cannot listen on 127.0.0.1:{port}")]
    Listen {
        /// Which.
        port: u16,
        /// Why.
        source: std::io::Error,
    },
    /// Certificates could not be made.
    #[error("cannot make certificates: {0}")]
    Certificates(String),
    /// A table in this crate cannot be read: a mistake in the twin.
    #[error("unreadable parameter table: {0}")]
    Table(String),
    /// The options do not describe a cluster.
    #[error("the options are wrong: {0}")]
    Options(String),
}

/// How a twin is set up.
#[derive(Debug, Clone)]
pub struct Options {
    /// Name of the cluster.
    pub cluster: String,
    /// Node names, used when the world names none.
    pub nodes: Vec<String>,
    /// Port of the first node (the others follow); 0 = any free ones.
    pub port: u16,
    /// Port of the control API; 0 = any free one.
    pub control_port: u16,
    /// Factor on all durations of tasks: 1.0 is realistic, tests use 0.02.
    pub speed: f64,
    /// How long every 401 waits (3 s in reality).
    pub unauthorised_delay: Duration,
    /// How long a call to a silent node waits before 595 (30 s in reality).
    pub proxy_timeout: Duration,
    /// Idle time after which a connection is closed (5 s in reality).
    pub idle_timeout: Duration,
    /// Seed of everything that moves.
    pub seed: u64,
    /// What there is at the start.
    pub world: World,
}

impl Default for Options {
    /// As in reality, with the demo's world.
    fn default() -> Self {
        Self {
            cluster: "demo".to_owned(),
            nodes: vec!["pve1".to_owned()],
            port: 0,
            control_port: 0,
            speed: 1.0,
            unauthorised_delay: Duration::from_secs(3),
            proxy_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(5),
            seed: 1,
            world: World::demo(),
        }
    }
}

impl Options {
    /// Quick and without pauses, for tests.
    pub fn quick(world: World) -> Self {
        Self {
            cluster: "test".to_owned(),
            nodes: ["pve1", "pve2", "pve3"].map(str::to_owned).to_vec(),
            speed: 0.02,
            unauthorised_delay: Duration::ZERO,
            proxy_timeout: Duration::from_millis(300),
            world,
            ..Self::default()
        }
    }
}

/// A running simulated cluster; everything ends when it is dropped.
pub struct Twin {
    shared: Arc<Shared>,
    ports: Vec<(String, u16)>,
    control_port: u16,
    ca: String,
    fingerprints: BTreeMap<String, String>,
    secret: String,
    password: String,
    shells: Vec<ShellEnd>,
    shell_key: String,
}

/// The SSH end of a node.
struct ShellEnd {
    node: String,
    port: u16,
    host_key: String,
}

/// The user of the bot's token.
const BOT_USER: &str = "gantry@pve";
/// The bot's token.
const BOT_TOKEN: &str = "bot";

async fn bind(port: u16) -> Result<TcpListener, Error> {
    TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .await
        .map_err(|source| Error::Listen { port, source })
}

fn port_of(listener: &TcpListener) -> Result<u16, Error> {
    listener.local_addr().map(|a| a.port()).map_err(|source| Error::Listen { port: 0, source })
}

impl Twin {
    /// Starts listening; returns when every port answers.
    ///
    /// # Errors
    /// Ports, certificates, or options that describe no cluster.
    pub async fn start(options: Options) -> Result<Self, Error> {
        if options.nodes.is_empty() && options.world.nodes.is_empty() {
            return Err(Error::Options("a cluster needs at least one node".to_owned()));
        }
        let settings = Settings {
            cluster: options.cluster.clone(),
            speed: options.speed,
            unauthorised_delay: options.unauthorised_delay,
            proxy_timeout: options.proxy_timeout,
            seed: options.seed,
        };
        let router = api::Router::new().map_err(Error::Table)?;
        let mut state = State::new(settings, options.world, &options.nodes);
        let (secret, password) = (api::people::uuid(), api::people::uuid());
        people(&mut state, &secret, &password);
        let authority = certs::Authority::new(&options.cluster)?;
        let (mut listeners, mut ports, mut fingerprints) =
            (Vec::new(), Vec::new(), BTreeMap::new());
        for (n, node) in state.nodes.iter_mut().enumerate() {
            let offset = u16::try_from(n).unwrap_or(u16::MAX);
            let wanted = if options.port == 0 { 0 } else { options.port.saturating_add(offset) };
            let listener = bind(wanted).await?;
            let (tls, fingerprint) = authority.node(&node.name)?;
            node.fingerprint.clone_from(&fingerprint);
            fingerprints.insert(node.name.clone(), fingerprint);
            ports.push((node.name.clone(), port_of(&listener)?));
            listeners.push((node.name.clone(), listener, TlsAcceptor::from(tls)));
        }
        let user = shell::key()?;
        let (mut shells, mut doors) = (Vec::new(), Vec::new());
        for (node, _) in &ports {
            let (host, listener) = (shell::key()?, bind(0).await?);
            let (port, host_key) = (port_of(&listener)?, shell::public_text(&host)?);
            shells.push(ShellEnd { node: node.clone(), port, host_key });
            doors.push((node.clone(), listener, host));
        }
        let control = bind(options.control_port).await?;
        let control_port = port_of(&control)?;
        let shared = Arc::new(Shared::new(state, router, options.idle_timeout));
        for (name, listener, tls) in listeners {
            let shared = Arc::clone(&shared);
            tokio::spawn(async move {
                if let Err(error) = server::listen(shared, name.clone(), listener, tls).await {
                    tracing::error!(node = %name, %error, "a node's listener ended");
                }
            });
        }
        for (node, listener, host) in doors {
            let key = user.public_key().clone();
            tokio::spawn(shell::listen(Arc::clone(&shared), node, listener, host, key));
        }
        tokio::spawn(presence::serve(Arc::clone(&shared)));
        tokio::spawn(notify::serve(Arc::clone(&shared)));
        let serving = server::control(Arc::clone(&shared), control);
        tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(%error, "the control listener ended");
            }
        });
        Ok(Self {
            shared,
            ports,
            control_port,
            ca: authority.pem,
            fingerprints,
            secret,
            password,
            shells,
            shell_key: shell::private_text(&user)?,
        })
    }

    /// `https://127.0.0.1:PORT`, one a node, in the order of the nodes.
    pub fn endpoints(&self) -> Vec<String> {
        self.ports.iter().map(|(_, port)| format!("https://127.0.0.1:{port}")).collect()
    }

    /// The endpoint of one node.
    pub fn endpoint(&self, node: &str) -> Option<String> {
        let (_, port) = self.ports.iter().find(|(name, _)| name == node)?;
        Some(format!("https://127.0.0.1:{port}"))
    }

    /// The certificate authority, as PEM.
    pub fn ca_pem(&self) -> String {
        self.ca.clone()
    }

    /// SHA-256 of a node's certificate, upper-case hex with colons.
    pub fn fingerprint(&self, node: &str) -> Option<String> {
        self.fingerprints.get(node).cloned()
    }

    /// The bot's token: its full name and its secret.
    pub fn token(&self) -> (String, String) {
        (format!("{BOT_USER}!{BOT_TOKEN}"), self.secret.clone())
    }

    /// The password of root@pam, for tickets.
    pub fn root_password(&self) -> String {
        self.password.clone()
    }

    /// The SSH ends: node, `127.0.0.1:PORT`, and host key as `ssh-ed25519 AAAA…`.
    pub fn shells(&self) -> Vec<(String, String, String)> {
        let end =
            |s: &ShellEnd| (s.node.clone(), format!("127.0.0.1:{}", s.port), s.host_key.clone());
        self.shells.iter().map(end).collect()
    }

    /// The private key that every node's SSH lets in, as OpenSSH keeps it in a file.
    pub fn shell_key(&self) -> String {
        self.shell_key.clone()
    }

    /// The forwards in force on a node, as `tcp,ipv4,any,8080,10.0.0.5,80`; `None` without a table.
    pub fn forwards(&self, node: &str) -> Option<Vec<String>> {
        let state = self.shared.lock();
        state.live_forwards(node).map(|all| all.iter().map(|f| f.text.clone()).collect())
    }

    /// Does something on a node by hand.
    pub fn meddle_node(&self, order: NodeMeddling) {
        self.shared.lock().meddle_node(order);
    }

    /// `http://127.0.0.1:PORT` of the control API.
    pub fn control_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.control_port)
    }

    /// Adds a guest, or replaces the one with its id.
    pub fn has(&self, guest: GuestSpec) {
        let mut state = self.shared.lock();
        let names: Vec<String> = state.nodes.iter().map(|n| n.name.clone()).collect();
        let world = World { guests: vec![guest], ..World::default() };
        let born = State::new(state.settings.clone(), world, &names);
        for pool in born.pools.into_keys() {
            state.pools.entry(pool).or_default();
        }
        for guest in born.guests.into_values() {
            state.adopt_disks(&guest);
            state.guests.insert(guest.vmid, guest);
        }
    }

    /// Gives the bot's token a role on a path, besides what it has (`GantryBot` on `/`).
    pub fn grant(&self, subject: &str, path: &str, role: &str) {
        self.shared.lock().access.acl.push(Acl {
            path: path.to_owned(),
            subject: subject.to_owned(),
            role: role.to_owned(),
            propagate: true,
        });
    }

    /// Takes every ACL entry of a user or token away.
    pub fn revoke(&self, subject: &str) {
        self.shared.lock().access.acl.retain(|e| e.subject != subject);
    }

    /// Defines a role.
    pub fn role(&self, name: &str, privileges: &[&str]) {
        let mask = access::privileges(privileges.iter().copied());
        self.shared.lock().access.roles.insert(name.to_owned(), mask);
    }

    /// Makes trouble and gives its number.
    ///
    /// # Errors
    /// A sentence when it names something that is not there.
    pub fn trouble(&self, trouble: Trouble) -> Result<u64, String> {
        let made = self.shared.lock().trouble(trouble);
        self.shared.changed.send_modify(|n| *n += 1);
        made
    }

    /// Ends one trouble; `false` when there was none with that number.
    pub fn clear_trouble(&self, id: u64) -> bool {
        let known = self.shared.lock().clear_trouble(id);
        self.shared.changed.send_modify(|n| *n += 1);
        known
    }

    /// Ends all troubles.
    pub fn clear_all_trouble(&self) {
        control::clear_all(&self.shared);
    }

    /// Lets a node say that it runs another version of Proxmox VE. It goes on answering as before, but for webhook targets,
    /// which there are from 8.3 on.
    pub fn installs(&self, node: &str, version: &str) {
        let mut state = self.shared.lock();
        for found in state.nodes.iter_mut().filter(|n| n.name == node) {
            version.clone_into(&mut found.version);
        }
    }

    /// Changes what ages and breaks by itself: replications, certificates, disks, pools, Ceph, backup jobs.
    pub fn wears(&self, change: impl FnOnce(&mut Wear)) {
        change(&mut self.shared.lock().wear);
        self.shared.changed.send_modify(|n| *n += 1);
    }

    /// A task that somebody else has just begun and ended: a backup, a migration, …
    pub fn ran(&self, kind: &str, id: &str, node: &str, user: &str, exit: &str) {
        self.shared.lock().remember_ran(kind, id, node, user, exit);
    }

    /// A node notices something and tells it where its matchers say.
    pub fn tells(&self, node: &str, kind: &str, severity: &str, title: &str, message: &str) {
        self.shared.lock().notice(node, kind, severity, title, message);
    }

    /// The webhook targets and matchers by name, with the names of secrets only.
    pub fn notifications(&self) -> serde_json::Value {
        let state = self.shared.lock();
        let webhooks: serde_json::Map<String, serde_json::Value> = state
            .notify
            .webhooks
            .iter()
            .map(|(name, w)| (name.clone(), serde_json::json!(w.options)))
            .collect();
        serde_json::json!({"webhooks": webhooks, "matchers": state.notify.matchers})
    }

    /// The value of a webhook target's secret, which the API never tells.
    pub fn webhook_secret(&self, target: &str, name: &str) -> Option<String> {
        let state = self.shared.lock();
        notify::decoded(state.notify.webhooks.get(target)?.secrets.get(name)?)
    }

    /// Changes a webhook target or matcher past the API, one setting by its API name; `None` takes the whole away.
    pub fn meddle_notifications(&self, name: &str, change: Option<(&str, serde_json::Value)>) {
        let mut state = self.shared.lock();
        let all = &mut state.notify;
        let Some((key, value)) = change else {
            all.webhooks.remove(name);
            all.matchers.remove(name);
            return;
        };
        let options = match all.webhooks.get_mut(name) {
            Some(webhook) => &mut webhook.options,
            None => all.matchers.entry(name.to_owned()).or_default(),
        };
        options.insert(key.to_owned(), value);
    }

    /// What is wrong at the moment.
    pub fn troubles(&self) -> Vec<ActiveTrouble> {
        self.shared.lock().troubles.active.clone()
    }

    /// What was really carried out, oldest first.
    pub fn changes(&self) -> Vec<Change> {
        self.shared.lock().changes.clone()
    }

    /// How often `what` was really carried out through the API on a guest.
    pub fn count(&self, what: &str, vmid: u32) -> usize {
        let state = self.shared.lock();
        state
            .changes
            .iter()
            .filter(|c| c.what == what && c.vmid == Some(vmid) && c.user != "control")
            .count()
    }

    /// The requests served so far, oldest first.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.shared.lock().requests.iter().cloned().collect()
    }

    /// Forgets the requests and changes so far.
    pub fn forget(&self) {
        let mut state = self.shared.lock();
        state.forget_requests();
        state.changes.clear();
    }

    /// One guest.
    pub fn guest(&self, vmid: u32) -> Option<GuestView> {
        self.shared.lock().guests.get(&vmid).map(GuestView::of)
    }

    /// All guests, by id.
    pub fn guests(&self) -> Vec<GuestView> {
        self.shared.lock().guests.values().map(GuestView::of).collect()
    }

    /// What lies on a storage, as a node sees it: disks, templates, images, backups.
    pub fn volumes(&self, node: &str, storage: &str) -> Vec<VolumeView> {
        self.shared.lock().volume_views(node, storage)
    }

    /// Puts a file onto a storage as somebody at the node would: `local:iso/x.iso`.
    pub fn put_file(&self, node: &str, volid: &str, bytes: u64) {
        let mut state = self.shared.lock();
        let volume = volume::Volume { bytes, created: 1, ..volume::Volume::default() };
        state.put_volume(node, volid, volume);
    }

    /// Puts an image into its registry; the same reference may change its digest.
    pub fn publish_image(&self, image: RemoteImage) {
        self.shared.lock().internet.publish_image(image);
    }

    /// Puts a file on the web.
    pub fn publish_file(&self, file: RemoteFile) {
        self.shared.lock().internet.publish_file(file);
    }

    /// Takes a URL or an image's reference out of the catalogue.
    pub fn withdraw(&self, what: &str) {
        self.shared.lock().internet.withdraw(what);
    }

    /// Every interface of every node, live or staged.
    pub fn interfaces(&self) -> Vec<InterfaceView> {
        self.shared.lock().network_views()
    }

    /// Changes an interface behind the API's back, live at once: its options, or `None` to take it away.
    ///
    /// # Errors
    /// A sentence when there is no such node.
    pub fn meddle_network(
        &self,
        node: &str,
        iface: &str,
        options: Option<BTreeMap<String, String>>,
    ) -> Result<(), String> {
        self.shared.lock().meddle_network(node, iface, options)
    }

    /// Tasks, newest first.
    pub fn tasks(&self) -> Vec<TaskView> {
        self.shared.lock().task_views()
    }

    /// Changes a guest behind the API's back.
    ///
    /// # Errors
    /// A sentence when that cannot be done.
    pub fn meddle(&self, order: &Meddling) -> Result<(), String> {
        control::meddle(&mut self.shared.lock(), order)
    }

    /// The document of `GET /control/state`.
    pub fn state(&self) -> serde_json::Value {
        self.shared.lock().control_state()
    }

    /// Stops listening and cuts every connection.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Twin {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

/// The accounts every twin has: root@pam by password, the bot by token with separation.
fn people(state: &mut State, secret: &str, password: &str) {
    let root = api::people::account(Some(password.to_owned()), None);
    state.access.users.insert("root@pam".to_owned(), root);
    let token = Token { secret: secret.to_owned(), separated: true, comment: None, expire: 0 };
    let bot = api::people::account(None, Some((BOT_TOKEN, token)));
    state.access.users.insert(BOT_USER.to_owned(), bot);
    for subject in [BOT_USER.to_owned(), format!("{BOT_USER}!{BOT_TOKEN}")] {
        for (path, role) in [
            ("/", "GantryBot"),
            ("/nodes", "GantryNetwork"),
            ("/mapping/notifications", "GantryNotify"),
        ] {
            state.access.acl.push(Acl {
                path: path.to_owned(),
                subject: subject.clone(),
                role: role.to_owned(),
                propagate: true,
            });
        }
    }
}

/// Whether the SSH of a node takes a line, and why not. For comparison with the script.
///
/// # Errors
/// Why it is refused.
pub fn takes_line(line: &str) -> Result<(), &'static str> {
    shell::takes(line)
}

/// The routes this twin serves: method, path, parameters. For comparison with the official schema.
///
/// # Errors
/// An unreadable table.
pub fn routes() -> Result<Vec<(String, String, Table)>, Error> {
    let router = api::Router::new().map_err(Error::Table)?;
    Ok(router
        .routes
        .into_iter()
        .map(|c| (c.route.method.to_owned(), c.route.path.to_owned(), c.table))
        .collect())
}

/// The keys of a property string, by the name in [`Param::property`].
pub fn property_table(name: &str) -> Option<&'static Table> {
    schema::property_table(name)
}
