//! The configuration: one TOML file, the environment over it, secrets from files.
//!
//! `Config::load` either gives a configuration that makes sense or every mistake at once, each with its key's path
//! and what would be right. The only room that reads environment variables. Called by `cli`, `demo` and tests.

mod alerts;
mod boards;
mod clusters;
mod discord;
mod dns;
mod health;
mod http;
mod images;
mod log;
mod node_shell;
mod operations;
mod policy;
mod read;
mod store;
mod wording;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use gantry_core::image::ImageRules;
use gantry_core::pod::HealthRules;
use gantry_core::policy::Policy;
use gantry_engine::AlertSettings;

pub use boards::Boards;
pub use clusters::{Cluster, Limits, Tls};
pub use discord::{API_URL, Discord, Register, Shards};
pub use dns::{Algorithm, Dns, Provider};
pub use http::Http;
pub use log::{DEFAULT_FILTER, Format, Log};
pub use node_shell::NodeShell;
pub use operations::Operations;
pub use read::{Key, MASK, Mistake, Origin};
pub use store::{DEFAULT_URL, Store};

use read::Reader;

/// Where the configuration is looked for when nobody names a file, in this order.
pub const PLACES: &[&str] = &["gantry.toml", "/etc/gantry/gantry.toml"];

/// Largest configuration file read, in bytes; thousands of rules fit.
const FILE_MAX: u64 = 4 * 1024 * 1024;

/// Everything an operator decides.
#[derive(Debug, Clone)]
pub struct Config {
    /// How gantry reaches Discord.
    pub discord: Discord,
    /// The clusters it drives.
    pub clusters: Vec<Cluster>,
    /// The name servers headless services are published at; may be empty.
    pub dns: Vec<Dns>,
    /// Where it keeps what it must not forget.
    pub store: Store,
    /// Who may do what.
    pub policy: Policy,
    /// Timings of plans and operations.
    pub operations: Operations,
    /// Where nodes may fetch images from.
    pub images: ImageRules,
    /// Which addresses health checks of pods may ask.
    pub health: HealthRules,
    /// Who is told about what.
    pub alerts: AlertSettings,
    /// How status boards are kept.
    pub boards: Boards,
    /// What is served over HTTP.
    pub http: Http,
    /// What is logged.
    pub log: Log,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No file was named and none stands where one is looked for.
    #[error(
        "no configuration found: neither gantry.toml here nor /etc/gantry/gantry.toml exists. \
         Copy config/gantry.example.toml, or name a file with --config"
    )]
    NotFound,
    /// The file cannot be read.
    #[error("cannot read the configuration {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It can be read and is wrong.
    #[error("{}", mistakes_text(path, mistakes))]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Everything that is wrong.
        mistakes: Vec<Mistake>,
    },
}

fn mistakes_text(path: &Path, mistakes: &[Mistake]) -> String {
    let count = mistakes.len();
    let noun = if count == 1 { "mistake" } else { "mistakes" };
    let mut text = format!("{} has {count} {noun}:", path.display());
    for Mistake { at, what } in mistakes {
        let _ = if at.is_empty() {
            write!(text, "\n  {what}")
        } else {
            write!(text, "\n  {at}: {what}")
        };
    }
    text
}

/// A configuration, where it came from, and every key with its origin.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// The file.
    pub path: PathBuf,
    /// Every key, secrets masked; for `config show`.
    pub keys: Vec<Key>,
}

impl Config {
    /// Reads the named file, or the first of [`PLACES`], with this process's environment over it.
    pub fn load(path: Option<&Path>) -> Result<Loaded, Error> {
        let path = match path {
            Some(path) => path.to_owned(),
            None => PLACES.iter().map(PathBuf::from).find(|p| p.exists()).ok_or(Error::NotFound)?,
        };
        let unreadable = |source| Error::Unreadable { path: path.clone(), source };
        let size = std::fs::metadata(&path).map_err(unreadable)?.len();
        if size > FILE_MAX {
            return Err(unreadable(std::io::Error::other(format!(
                "{size} bytes; a configuration has at most {FILE_MAX}"
            ))));
        }
        let text = std::fs::read_to_string(&path).map_err(unreadable)?;
        let environment = std::env::vars_os()
            .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)));
        Self::parse(&text, &path, environment)
    }

    /// Reads a text as if it stood in the file `path`, with `environment` over it.
    pub fn parse(
        text: &str,
        path: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Loaded, Error> {
        let (config, keys, mistakes) = Self::read(text, path, environment);
        match config {
            Some(config) if mistakes.is_empty() => {
                Ok(Loaded { config, path: path.to_owned(), keys })
            }
            _ => Err(Error::Wrong { path: path.to_owned(), mistakes }),
        }
    }

    fn read(
        text: &str,
        path: &Path,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> (Option<Self>, Vec<Key>, Vec<Mistake>) {
        let table: toml::Table = match text.parse() {
            Ok(table) => table,
            Err(e) => {
                // Only place and reason: the quoted line of the usual message could hold a secret.
                let e: toml::de::Error = e;
                let line = e.span().map_or(0, |s| text[..s.start].matches('\n').count() + 1);
                let what = format!("line {line} is not TOML: {}", e.message());
                return (None, Vec::new(), vec![Mistake { at: String::new(), what }]);
            }
        };
        let base = path.parent().unwrap_or(Path::new(""));
        let reader = Reader::new(base, environment);
        let mut root = reader.root(table);
        let discord = Discord::read(root.section("discord"));
        let clusters = Cluster::read_all(root.sections("clusters"));
        let dns = Dns::read_all(root.sections("dns"));
        let store = Store::read(root.section("store"));
        let ids: Vec<_> = clusters.iter().map(|c| c.id.clone()).collect();
        let policy = policy::read(root.section("policy"), &ids);
        let operations = Operations::read(root.section("operations"));
        let images = images::read(root.section("images"));
        let health = health::read(root.section("health"));
        let alerts = alerts::read(root.section("alerts"), &ids);
        let boards = boards::read(root.section("boards"));
        let http = Http::read(root.section("http"), &ids, !alerts.routes.is_empty());
        let log = Log::read(root.section("log"));
        root.finish();
        let (keys, mut mistakes) = reader.finish();
        if clusters.is_empty() && mistakes.iter().all(|m| !m.at.starts_with("clusters")) {
            mistakes.push(Mistake {
                at: "clusters".to_owned(),
                what: "is missing; describe at least one cluster: [[clusters]]".to_owned(),
            });
        }
        let config = discord.zip(store).map(|(discord, store)| Self {
            discord,
            clusters,
            dns,
            store,
            policy,
            operations,
            images,
            health,
            alerts,
            boards,
            http,
            log,
        });
        (config, keys, mistakes)
    }
}

impl Loaded {
    /// The configuration as TOML with the origin of every value; secrets masked.
    pub fn shown(&self) -> String {
        let mut text = format!("# {}\n", self.path.display());
        let mut section = None;
        for key in &self.keys {
            if section != Some(&key.section) {
                let _ = match key.section.split_once('[') {
                    // `clusters[0]` is written as a list element, `clusters[0].limits` as a table of it.
                    Some((list, rest)) => match rest.split_once("].") {
                        Some((_, sub)) => write!(text, "\n[{list}.{sub}]\n"),
                        None => write!(text, "\n[[{list}]]\n"),
                    },
                    None => write!(text, "\n[{}]\n", key.section),
                };
                section = Some(&key.section);
            }
            let origin = match &key.origin {
                Origin::Default => "default".to_owned(),
                Origin::File => "file".to_owned(),
                Origin::Environment(name) => name.clone(),
            };
            let _ = match &key.value {
                Some(value) => writeln!(text, "{} = {value}  # {origin}", key.name),
                None => writeln!(text, "#{} is not set", key.name),
            };
        }
        text
    }
}

#[cfg(test)]
mod tests;
