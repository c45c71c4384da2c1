//! A set as a file: what `/set apply` takes.

use serde_json::Value;

use super::spec::SetSpec;
use crate::document::{Format, Sheet, read};
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
        let mut sheet = Sheet::read(text, format)?;
        let (spec, wrong) = read::<SetSpec>(Value::Object(std::mem::take(&mut sheet.rest)));
        sheet.problems.extend(wrong);
        let Some(spec) = spec else { return Err(sheet.problems) };
        sheet.add(spec.problems());
        match sheet.problems.is_empty() {
            true => Ok(Self { cluster: sheet.cluster, spec }),
            false => Err(sheet.problems),
        }
    }

    /// Writes the file.
    ///
    /// # Errors
    /// Why it cannot be written.
    pub fn write(&self, format: Format) -> Result<String, String> {
        Sheet::write(&self.spec, self.cluster.as_ref(), format)
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
