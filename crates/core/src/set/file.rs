//! A set as a file: what `/set apply` takes.

use serde_json::Value;

use super::spec::SetSpec;
use crate::document::{Format, read, tree, write};
use crate::id::ClusterId;
use crate::pod::Problem;

/// A set as written in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetFile {
    /// In which cluster; left out: the only one.
    pub cluster: Option<ClusterId>,
    /// What it shall be.
    pub spec: SetSpec,
}

impl SetFile {
    /// Reads a file.
    ///
    /// # Errors
    /// Every mistake in it, each with its key.
    pub fn read(text: &str, format: Format) -> Result<Self, Vec<Problem>> {
        let mut whole = tree(text, format).map_err(|problem| vec![problem])?;
        let mut problems = Vec::new();
        let cluster = whole.remove("cluster").and_then(|value| {
            let parsed = match value.as_str() {
                Some(text) => text.parse::<ClusterId>().map_err(|e| e.to_string()),
                None => Err("is the name of a cluster".to_owned()),
            };
            parsed.map_err(|why| problems.push(Problem { field: "cluster".into(), why })).ok()
        });
        let (spec, wrong) = read::<SetSpec>(Value::Object(whole));
        problems.extend(wrong);
        let Some(spec) = spec else { return Err(problems) };
        // A key that could not be read stands at its default; that is not a second mistake.
        let told = |field: &str| problems.iter().any(|p| field.starts_with(p.field.as_str()));
        let more: Vec<Problem> = spec.problems().into_iter().filter(|p| !told(&p.field)).collect();
        problems.extend(more);
        if problems.is_empty() { Ok(Self { cluster, spec }) } else { Err(problems) }
    }

    /// Writes the file.
    ///
    /// # Errors
    /// Why it cannot be written.
    pub fn write(&self, format: Format) -> Result<String, String> {
        let mut value = serde_json::to_value(&self.spec).map_err(|e| e.to_string())?;
        if let (Some(cluster), Value::Object(map)) = (&self.cluster, &mut value) {
            map.insert("cluster".into(), cluster.as_str().into());
        }
        write(&value, format)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEB: &str = r#"
cluster = "lab"
name = "web"
replicas = 3
nodes = ["pve1", "pve2"]
vmids = { from = 700, to = 799 }
addresses = { first = "10.0.0.10/24", gateway = "10.0.0.1" }

[update]
strategy = "rolling"
max_unavailable = 1

[[volumes]]
name = "data"
storage = "local-lvm"
size_gib = 4
path = "/data"

[template]
image = "local:vztmpl/debian-12-standard_12.7-1_amd64.tar.zst"
root = { storage = "local-lvm", size_gib = 4 }
networks = [{ bridge = "vmbr0" }]
health = { probe = { http = { port = 80, path = "/health" } } }
"#;

    #[test]
    fn a_file_is_read_and_written_back_in_both_formats() {
        let file = SetFile::read(WEB, Format::Toml).unwrap();
        assert_eq!((file.spec.name.as_str(), file.spec.volumes.len()), ("web", 1));
        for format in [Format::Toml, Format::Yaml] {
            let text = file.write(format).unwrap();
            assert_eq!(SetFile::read(&text, format), Ok(file.clone()), "{text}");
        }
    }

    #[test]
    fn every_mistake_is_told_with_its_key() {
        let text = WEB.replace("replicas = 3", "replicas = 300\nfoo = 1").replace("/data", "data");
        let found = SetFile::read(&text, Format::Toml).unwrap_err();
        let fields: Vec<&str> = found.iter().map(|p| p.field.as_str()).collect();
        for wanted in ["foo", "replicas", "volumes.path"] {
            assert!(fields.contains(&wanted), "{wanted}: {fields:?}");
        }
    }
}
