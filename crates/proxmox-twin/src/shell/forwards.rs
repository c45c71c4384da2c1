//! A node's table of port forwards: put in force as a whole, read back as nftables would print it.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::grammar::{self, Forward};

/// The table of one node.
#[derive(Debug, Clone, Default)]
pub(crate) struct Forwards {
    /// What is in force: its generation and its forwards. `None`: no table.
    pub(crate) live: Option<(String, Vec<Forward>)>,
    /// What is put back at boot.
    pub(crate) kept: Option<(String, Vec<Forward>)>,
    /// Somebody has changed the live table by hand.
    pub(crate) touched: bool,
}

/// The first 16 digits of the SHA-256 over the sorted lines.
pub(crate) fn generation(forwards: &[Forward]) -> String {
    let mut lines: Vec<&str> = forwards.iter().map(|f| f.text.as_str()).collect();
    lines.sort_unstable();
    let text: String = lines.iter().map(|l| format!("{l}\n")).collect();
    hex::encode(Sha256::digest(text)).chars().take(16).collect()
}

/// Reads forwards as somebody would type them; what is none is left out.
pub(crate) fn read(lines: &[String]) -> Vec<Forward> {
    lines.iter().filter_map(|l| grammar::forward(l)).collect()
}

impl Forwards {
    /// The generation in force, as the script says it.
    pub(crate) fn in_force(&self) -> &str {
        self.live.as_ref().map_or("none", |(generation, _)| generation)
    }

    /// Puts a table in force and keeps it for the next boot.
    pub(crate) fn apply(&mut self, generation: &str, forwards: Vec<Forward>) {
        self.live = Some((generation.to_owned(), forwards));
        self.kept.clone_from(&self.live);
        self.touched = false;
    }

    /// What the boot unit does.
    pub(crate) fn restore(&mut self) {
        self.live.clone_from(&self.kept);
        self.touched = false;
    }

    /// The answer of `forward-list`.
    pub(crate) fn listing(&self, local: &[String]) -> String {
        let kept = self.kept.as_ref().map_or("none", |(generation, _)| generation);
        let sealed =
            if self.kept.is_some() && self.live.is_some() && !self.touched { "yes" } else { "no" };
        let mut text = format!(
            "generation {}\nkept {kept}\nsealed {sealed}\nforwarding ipv4 on\nforwarding ipv6 on\n",
            self.in_force()
        );
        for address in local {
            text.push_str(&format!("local {address}\n"));
        }
        if let Some((_, forwards)) = &self.live {
            text.push_str(&format!("ruleset {}\n", ruleset(forwards)));
        }
        text
    }
}

/// The maps as `nft -j` prints them; the parts that nobody reads are left out.
fn ruleset(forwards: &[Forward]) -> Value {
    let mut all = vec![
        json!({"metainfo": {"version": "1.1.3", "json_schema_version": 1}}),
        json!({"table": {"family": "inet", "name": "gantry", "handle": 1}}),
    ];
    for (name, family, any) in [
        ("any4", "ipv4", true),
        ("at4", "ipv4", false),
        ("any6", "ipv6", true),
        ("at6", "ipv6", false),
    ] {
        let elements: Vec<Value> = forwards
            .iter()
            .filter(|f| f.family == family && (f.listen == "any") == any)
            .map(|f| {
                let mut key = vec![json!(f.proto), json!(f.port)];
                if !any {
                    key.insert(0, json!(f.listen));
                }
                json!([{"concat": key}, {"concat": [f.target, f.to]}])
            })
            .collect();
        let mut map = json!({"family": "inet", "name": name, "table": "gantry"});
        if !elements.is_empty()
            && let Some(map) = map.as_object_mut()
        {
            map.insert("elem".into(), Value::Array(elements));
        }
        all.push(json!({"map": map}));
    }
    json!({"nftables": all})
}
