//! Specifications as files: TOML or YAML in, every mistake told together with its key, the same file out.
//!
//! Reading goes through one tree, so that both formats mean the same. A value that cannot be read is told and taken
//! out, and the rest is read on; nothing is ever used from a file with a mistake in it.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::id::ClusterId;
use crate::pod::Problem;

/// Largest file, bytes. A specification takes some hundred; the notes it has to fit into take 8 KiB.
pub const FILE_MAX: usize = 64 * 1024;
/// Most mistakes that are looked for; whoever has more has sent something else.
const MISTAKES_MAX: usize = 40;

/// Most nodes that references of a YAML file may unfold to.
const REPLAYED_MAX: usize = 2_000;

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// TOML.
    Toml,
    /// YAML 1.2.
    Yaml,
}

impl Format {
    /// What the end of a file's name says.
    pub fn of(name: &str) -> Option<Self> {
        match name.rsplit_once('.')?.1.to_ascii_lowercase().as_str() {
            "toml" => Some(Self::Toml),
            "yaml" | "yml" => Some(Self::Yaml),
            _ => None,
        }
    }

    /// The end of a file's name.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Toml => "toml",
            Self::Yaml => "yaml",
        }
    }
}

/// Reads a file into a tree.
///
/// # Errors
/// What is wrong with the file as a whole, with the line where the parser says so.
pub fn tree(text: &str, format: Format) -> Result<Map<String, Value>, Problem> {
    let wrong = |why: String| Problem { field: "file".into(), why };
    if text.len() > FILE_MAX {
        return Err(wrong(format!("larger than {} KiB", FILE_MAX / 1024)));
    }
    let read = match format {
        Format::Toml => toml::from_str::<Value>(text).map_err(|e| e.to_string()),
        Format::Yaml => {
            // References may not unfold a small file into a large one.
            let mut options = serde_saphyr::Options::default();
            options.alias_limits.max_total_replayed_events = REPLAYED_MAX;
            serde_saphyr::from_str_with_options::<Value>(text, options).map_err(|e| e.to_string())
        }
    };
    match read.map_err(|why| wrong(why.trim().chars().take(600).collect()))? {
        Value::Object(map) => Ok(map),
        _ => Err(wrong("holds no keys; a specification is `key: value` lines".into())),
    }
}

/// A specification's file, parted: the cluster it names, and everything else.
#[derive(Debug)]
pub(crate) struct Sheet {
    /// In which cluster; left out: the only one.
    pub(crate) cluster: Option<ClusterId>,
    /// All other keys.
    pub(crate) rest: Map<String, Value>,
    /// What is wrong so far.
    pub(crate) problems: Vec<Problem>,
}

impl Sheet {
    /// Reads a file.
    ///
    /// # Errors
    /// What is wrong with it as a whole.
    pub(crate) fn read(text: &str, format: Format) -> Result<Self, Vec<Problem>> {
        let mut rest = tree(text, format).map_err(|problem| vec![problem])?;
        let mut problems = Vec::new();
        let cluster = rest.remove("cluster").and_then(|value| {
            let parsed = match value.as_str() {
                Some(text) => text.parse::<ClusterId>().map_err(|e| e.to_string()),
                None => Err("is the name of a cluster".to_owned()),
            };
            parsed.map_err(|why| problems.push(Problem { field: "cluster".into(), why })).ok()
        });
        Ok(Self { cluster, rest, problems })
    }

    /// Notes what a specification says is wrong with it. A key that could not be read stands at its default; that is
    /// not a second mistake.
    pub(crate) fn add(&mut self, found: Vec<Problem>) {
        let told = |field: &str| self.problems.iter().any(|p| field.starts_with(p.field.as_str()));
        let more: Vec<Problem> = found.into_iter().filter(|p| !told(&p.field)).collect();
        self.problems.extend(more);
    }

    /// Writes a specification with the cluster it is for.
    ///
    /// # Errors
    /// Why it cannot be written.
    pub(crate) fn write(
        spec: &impl Serialize,
        cluster: Option<&ClusterId>,
        format: Format,
    ) -> Result<String, String> {
        let mut value = serde_json::to_value(spec).map_err(|e| e.to_string())?;
        if let (Some(cluster), Value::Object(map)) = (cluster, &mut value) {
            map.insert("cluster".into(), cluster.as_str().into());
        }
        write(&value, format)
    }
}

/// Reads a tree; what cannot be read is told with its key and left at its default. `None` where nothing could be made
/// of it.
pub fn read<T: DeserializeOwned>(mut tree: Value) -> (Option<T>, Vec<Problem>) {
    let mut problems = Vec::new();
    while problems.len() < MISTAKES_MAX {
        let error = match serde_path_to_error::deserialize::<_, T>(tree.clone()) {
            Ok(value) => return (Some(value), problems),
            Err(error) => error,
        };
        let (text, mut path) = (error.inner().to_string(), steps(error.path()));
        if let Some(name) = unknown(&text)
            && path.last() != Some(&Step::Key(name.to_owned()))
        {
            path.push(Step::Key(name.to_owned()));
        }
        problems.push(Problem { field: shown(&path), why: plain(&text) });
        if !take_out(&mut tree, &path) {
            break;
        }
    }
    (None, problems)
}

/// Writes a value as a file.
///
/// # Errors
/// Why it cannot be written.
pub fn write<T: Serialize>(value: &T, format: Format) -> Result<String, String> {
    // Through the tree, so that nothing is written that would not be read.
    let mut tree = serde_json::to_value(value).map_err(|e| e.to_string())?;
    drop_nulls(&mut tree);
    match format {
        Format::Toml => toml::to_string(&tree).map_err(|e| e.to_string()),
        Format::Yaml => serde_saphyr::to_string(&tree).map_err(|e| e.to_string()),
    }
}

/// Drops keys that hold nothing: TOML has no word for it, and a key that is left out reads back the same.
fn drop_nulls(tree: &mut Value) {
    match tree {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// One step into the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Place(usize),
}

fn steps(path: &serde_path_to_error::Path) -> Vec<Step> {
    use serde_path_to_error::Segment;
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Map { key } => Some(Step::Key(key.clone())),
            Segment::Enum { variant } => Some(Step::Key(variant.clone())),
            Segment::Seq { index } => Some(Step::Place(*index)),
            Segment::Unknown => None,
        })
        .collect()
}

/// `networks[0].vlan`.
fn shown(path: &[Step]) -> String {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Place(n) => text.push_str(&format!("[{n}]")),
            Step::Key(key) if text.is_empty() => text.push_str(key),
            Step::Key(key) => text.push_str(&format!(".{key}")),
        }
    }
    if text.is_empty() { "file".to_owned() } else { text }
}

/// The key that serde did not know, where that is the mistake.
fn unknown(text: &str) -> Option<&str> {
    text.strip_prefix("unknown field `")?.split('`').next()
}

/// serde's text in plainer words.
fn plain(text: &str) -> String {
    let text = text.split(" at line ").next().unwrap_or(text);
    if let Some(rest) = text.strip_prefix("unknown field `") {
        let known = rest.split_once("expected ").map_or("", |(_, known)| known);
        return format!("there is no such key; expected {known}");
    }
    match text.strip_prefix("invalid type: ").and_then(|t| t.split_once(", expected ")) {
        Some((is, wanted)) => format!("is {is}, and should be {wanted}"),
        None => text.to_owned(),
    }
}

/// Takes out what could not be read: the nearest key. Of a list the whole, since its other places would be told wrongly.
fn take_out(tree: &mut Value, path: &[Step]) -> bool {
    (1..=path.len()).rev().any(|n| remove(tree, &path[..n]))
}

fn remove(tree: &mut Value, path: &[Step]) -> bool {
    let Some((Step::Key(last), before)) = path.split_last() else { return false };
    let mut here = tree;
    for step in before {
        let next = match step {
            Step::Key(key) => here.get_mut(key),
            Step::Place(n) => here.get_mut(n),
        };
        let Some(next) = next else { return false };
        here = next;
    }
    here.as_object_mut().is_some_and(|map| map.remove(last).is_some())
}
