//! A pod as a file: what `/pod apply` takes and `/pod spec` gives.

use serde_json::Value;

use super::{PodSpec, PodTemplate, Problem, stored};
use crate::document::{Format, Sheet, read};
use crate::id::ClusterId;

/// A pod as written in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodFile {
    /// In which cluster; left out: the only one.
    pub cluster: Option<ClusterId>,
    /// What it shall be.
    pub spec: PodSpec,
}

impl PodFile {
    /// Reads a file.
    ///
    /// # Errors
    /// Every mistake in it, each with its key.
    pub fn read(text: &str, format: Format) -> Result<Self, Vec<Problem>> {
        let mut sheet = Sheet::read(text, format)?;
        let (identity, rest) = stored::part(std::mem::take(&mut sheet.rest));
        let (identity, wrong) = read::<stored::Identity>(Value::Object(identity));
        sheet.problems.extend(wrong);
        let (template, wrong) = read::<PodTemplate>(Value::Object(rest));
        sheet.problems.extend(wrong);
        let (Some(identity), Some(template)) = (identity, template) else {
            return Err(sheet.problems);
        };
        let spec = PodSpec { name: identity.name, node: identity.node, template };
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
    use super::super::{Ipv4, Probe};
    use super::*;

    const WEB: &str = r#"
name = "web-0"
cluster = "lab"
image = "local:vztmpl/debian-12.tar.zst"
cores = 2
cpu_limit = 1.5
memory_mib = 1024
root = { storage = "local-lvm", size_gib = 8 }
labels = { app = "web" }

[[networks]]
bridge = "vmbr0"
vlan = 20
ipv4 = "10.0.0.5/24"
gateway4 = "10.0.0.1"

[[mounts]]
name = "data"
path = "/var/lib/data"
size_gib = 20
backup = true

[placement]
nodes = ["pve*"]
apart = ["app=web"]

[health]
probe = { http = { port = 8080, path = "/ready" } }
"#;

    #[test]
    fn a_file_says_what_a_pod_shall_be() {
        let file = PodFile::read(WEB, Format::Toml).unwrap();
        assert_eq!(file.cluster.as_ref().unwrap().as_str(), "lab");
        let template = &file.spec.template;
        assert!(matches!(template.networks[0].ipv4, Ipv4::Fixed(_)));
        assert_eq!(template.cpu_limit.unwrap().to_string(), "1.5");
        assert!(matches!(
            &template.health.as_ref().unwrap().probe,
            Probe::Http { status: 200, .. }
        ));
        for format in [Format::Toml, Format::Yaml] {
            let text = file.write(format).unwrap();
            assert_eq!(PodFile::read(&text, format).as_ref(), Ok(&file), "{text}");
        }
    }

    #[test]
    fn every_mistake_is_told_with_its_key() {
        let yaml = "
name: Web_0
image: local:vztmpl/debian-12.tar.zst
cores: many
colour: red
root: {storage: local-lvm, size: 8}
networks:
  - {bridge: vmbr0, vlan: 5000}
  - {bridge: vmbr1, ipv4: 10.0.0.5, speed: 9}
env: {PORT: 8080, OK: 'yes'}
health:
  probe: {tcp: {prot: 80}}
  every: 5
placement:
  apart: ['a b', 'app=web']
";
        let problems = PodFile::read(yaml, Format::Yaml).unwrap_err();
        let fields: Vec<&str> = problems.iter().map(|p| p.field.as_str()).collect();
        for wanted in [
            "name",
            "cores",
            "colour",
            "root.size",
            "networks[0].vlan",
            "networks[1].ipv4",
            "networks[1].speed",
            "env.PORT",
            "placement.apart[0]",
        ] {
            assert_eq!(
                fields.iter().filter(|f| **f == wanted).count(),
                1,
                "{wanted}: {problems:#?}"
            );
        }
        assert!(fields.iter().any(|f| f.starts_with("health")), "{fields:?}");
        let cores = problems.iter().find(|p| p.field == "cores").unwrap();
        assert_eq!(cores.why, "is string \"many\", and should be u32");
    }

    #[test]
    fn what_is_no_specification_is_told_as_a_whole() {
        for (text, format) in [
            ("name = ", Format::Toml),
            ("- a\n- b\n", Format::Yaml),
            ("a: [1,\n", Format::Yaml),
            ("", Format::Yaml),
        ] {
            let problems = PodFile::read(text, format).unwrap_err();
            assert_eq!(problems[0].field, "file", "{text}: {problems:?}");
        }
        let long = format!("note: {}", "x".repeat(crate::document::FILE_MAX));
        assert!(PodFile::read(&long, Format::Yaml).is_err());
        // A few lines that would unfold into a great many.
        let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: [*f,*f,*f,*f,*f,*f,*f,*f,*f]\n";
        assert!(PodFile::read(bomb, Format::Yaml).is_err());
    }
}
