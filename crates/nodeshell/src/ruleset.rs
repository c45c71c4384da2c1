//! The forwards in force, read back from the kernel's ruleset rather than from what was once written down.

use std::net::IpAddr;

use serde_json::Value;

use crate::answer::{Answer, Unreadable, forwarding};
use crate::forward::{Forward, ForwardTable, Generation, Listen, Protocol};

/// What is in force on a node, and what it will put back at boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardState {
    /// The table in the kernel.
    pub live: LiveTable,
    /// What the node puts back at boot.
    pub kept: Option<Generation>,
    /// Whether the kernel's table is byte for byte the one that was last put in force.
    pub untouched: bool,
    /// Whether the node forwards IPv4.
    pub forwards_ipv4: bool,
    /// Whether the node forwards IPv6.
    pub forwards_ipv6: bool,
    /// The addresses the node has; none from a script that does not tell them.
    pub local: Vec<IpAddr>,
}

/// The table in the kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LiveTable {
    /// There is none: never set, or somebody flushed the ruleset.
    Absent,
    /// There is one of our name that is not ours.
    Foreign,
    /// Ours.
    Ours {
        /// The generation it says it is.
        generation: Generation,
        /// The forwards that its maps really hold.
        table: ForwardTable,
    },
}

impl ForwardState {
    /// Whether exactly this table is in force, untouched, and kept for the next start.
    pub fn is(&self, wanted: &ForwardTable) -> bool {
        let generation = wanted.generation();
        self.untouched
            && self.kept.as_ref() == Some(&generation)
            && matches!(&self.live, LiveTable::Ours { generation: g, table } if *g == generation && table == wanted)
    }

    /// Whether the table in force is one of ours that was not written down any more: whoever put it there was stopped, or
    /// the disk was full. Its lines are just those of the generation it says it is, so that nobody has changed them.
    pub fn is_broken_off(&self) -> bool {
        matches!(&self.live, LiveTable::Ours { generation, table }
            if self.kept.as_ref() != Some(generation) && table.generation() == *generation)
    }

    /// The forwards in force.
    pub fn table(&self) -> Option<&ForwardTable> {
        match &self.live {
            LiveTable::Ours { table, .. } => Some(table),
            LiveTable::Absent | LiveTable::Foreign => None,
        }
    }

    pub(crate) fn read(text: &str) -> Result<Self, Unreadable> {
        let answer = Answer::read(text);
        let live = match answer.one("generation")? {
            "none" => LiveTable::Absent,
            "foreign" => LiveTable::Foreign,
            text => {
                let ruleset: Value = answer.json("ruleset")?;
                match (Generation::parse(text), table(&ruleset)) {
                    (Some(generation), Some(table)) => LiveTable::Ours { generation, table },
                    // Our name, and something in it that we never write: somebody changed it.
                    _ => LiveTable::Foreign,
                }
            }
        };
        Ok(Self {
            live,
            kept: Generation::parse(answer.one("kept")?),
            untouched: answer.one("sealed")? == "yes",
            forwards_ipv4: forwarding(&answer, "ipv4"),
            forwards_ipv6: forwarding(&answer, "ipv6"),
            local: answer.all("local").filter_map(|text| text.parse().ok()).collect(),
        })
    }
}

/// The forwards of the four maps; `None` when an element is not one.
fn table(ruleset: &Value) -> Option<ForwardTable> {
    let mut forwards = Vec::new();
    for object in ruleset.get("nftables")?.as_array()? {
        let Some(map) = object.get("map") else { continue };
        let at = match map.get("name")?.as_str()? {
            "at4" | "at6" => true,
            "any4" | "any6" => false,
            _ => return None,
        };
        let elements = map.get("elem").and_then(Value::as_array);
        for element in elements.into_iter().flatten() {
            forwards.push(forward(at, element)?);
        }
    }
    ForwardTable::new(forwards).ok()
}

/// `[{"concat": [listen?, "tcp", 8080]}, {"concat": ["10.0.0.5", 80]}]`, as nft prints an element.
fn forward(at: bool, element: &Value) -> Option<Forward> {
    let [key, value] = element.as_array()?.as_slice() else { return None };
    let concat = |v: &Value| -> Option<Vec<Value>> { v.get("concat")?.as_array().cloned() };
    let (mut key, value) = (concat(key)?, concat(value)?);
    let listen = if at { Listen::At(address(&key.remove(0))?) } else { Listen::Any };
    let ([protocol, from], [target, to]) = (key.as_slice(), value.as_slice()) else { return None };
    let protocol = match protocol.as_str()? {
        "tcp" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return None,
    };
    Forward::new(protocol, listen, port(from)?, address(target)?, port(to)?).ok()
}

fn address(value: &Value) -> Option<IpAddr> {
    value.as_str()?.parse().ok()
}

fn port(value: &Value) -> Option<u16> {
    value.as_u64().and_then(|n| n.try_into().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As nft 1.0.6 prints it.
    const RULESET: &str = r#"{"nftables": [{"metainfo": {"version": "1.0.6", "json_schema_version": 1}}, {"table": {"family": "inet", "name": "gantry", "handle": 2}}, {"map": {"family": "inet", "name": "any4", "table": "gantry", "type": ["inet_proto", "inet_service"], "handle": 6, "map": "ipv4_addr . inet_service", "elem": [[{"concat": ["udp", 53]}, {"concat": ["10.0.0.6", 53]}], [{"concat": ["tcp", 8080]}, {"concat": ["10.0.0.5", 80]}]]}}, {"map": {"family": "inet", "name": "at4", "table": "gantry", "type": ["ipv4_addr", "inet_proto", "inet_service"], "handle": 7, "map": "ipv4_addr . inet_service", "elem": [[{"concat": ["203.0.113.7", "tcp", 80]}, {"concat": ["10.0.0.9", 80]}]]}}, {"map": {"family": "inet", "name": "any6", "table": "gantry", "type": ["inet_proto", "inet_service"], "handle": 8, "map": "ipv6_addr . inet_service"}}]}"#;

    #[test]
    fn what_is_in_force_is_read_from_the_kernel() {
        let said =
            format!("generation 0123456789abcdef\nkept none\nsealed no\nruleset {RULESET}\n");
        let state = ForwardState::read(&said).unwrap();
        let lines: Vec<String> = state.table().unwrap().iter().map(Forward::to_string).collect();
        assert_eq!(
            lines,
            [
                "tcp,ipv4,any,8080,10.0.0.5,80",
                "tcp,ipv4,203.0.113.7,80,10.0.0.9,80",
                "udp,ipv4,any,53,10.0.0.6,53"
            ]
        );
        assert!(!state.is(state.table().unwrap()), "a generation that is not the table's");
    }

    #[test]
    fn a_table_that_was_not_written_down_is_nobody_elses() {
        let table = ForwardState::read(&format!(
            "generation 0123456789abcdef\nkept none\nsealed no\nruleset {RULESET}\n"
        ));
        let generation = table.unwrap().table().unwrap().generation();
        let read = |live: &str, kept: &str| {
            let said = format!(
                "generation {live}\nkept {kept}\nsealed no\nlocal 10.0.0.1\nruleset {RULESET}\n"
            );
            ForwardState::read(&said).unwrap()
        };
        let other = "0123456789abcdef";
        assert!(read(generation.as_str(), other).is_broken_off());
        assert!(read(generation.as_str(), "none").is_broken_off());
        // Lines that are not its own, or a seal that does not fit what was written down: somebody else's hand.
        assert!(!read(other, generation.as_str()).is_broken_off());
        assert!(!read(generation.as_str(), generation.as_str()).is_broken_off());
        assert_eq!(read(other, other).local, ["10.0.0.1".parse::<IpAddr>().unwrap()]);
    }
}
