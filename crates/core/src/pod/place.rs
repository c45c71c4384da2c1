//! Where a pod may run: rules, as written down. Which node they come to is decided in `placement`.

use serde::{Deserialize, Serialize};

use super::label::Match;
use super::problem::Problems;

/// Most rules of one kind; keeps plans readable.
const RULES_MAX: usize = 16;

/// Rules for choosing a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Place {
    /// Only nodes with a name like one of these: `pve1`, `pve*`, or `!pve3` for any but that. Empty: all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<String>,
    /// Rather a node that runs fewer pods of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub spread: Vec<Match>,
    /// Only a node that runs one of each of these, where any runs at all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub together: Vec<Match>,
    /// Never a node that runs one of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub apart: Vec<Match>,
}

impl Place {
    /// Whether a node of that name is among those wanted.
    pub fn wants(&self, node: &str) -> bool {
        let (not, yes): (Vec<&str>, Vec<&str>) =
            self.nodes.iter().map(String::as_str).partition(|p| p.starts_with('!'));
        !not.iter().any(|p| like(&p[1..], node))
            && (yes.is_empty() || yes.iter().any(|p| like(p, node)))
    }

    pub(super) fn check(&self, found: &mut Problems) {
        let pattern = |p: &String| {
            let name = p.strip_prefix('!').unwrap_or(p);
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '*';
            !name.is_empty() && name.len() <= 63 && name.chars().all(plain)
        };
        found.check(
            self.nodes.len() <= RULES_MAX && self.nodes.iter().all(pattern),
            "placement.nodes",
            "at most 16 names of nodes, with * for anything and ! for not: pve1, pve*, !pve3",
        );
        for (key, rules) in
            [("spread", &self.spread), ("together", &self.together), ("apart", &self.apart)]
        {
            found.check(
                rules.len() <= RULES_MAX,
                format!("placement.{key}"),
                "at most 16 labels or tags",
            );
        }
        found.check(
            !self.apart.iter().any(|m| self.together.contains(m)),
            "placement.apart",
            "the same label cannot be kept together and apart",
        );
    }
}

/// Whether `text` is like `pattern`, in which `*` stands for anything.
fn like(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_choose_nodes() {
        let place = |nodes: &[&str]| Place {
            nodes: nodes.iter().map(|n| (*n).to_owned()).collect(),
            ..Place::default()
        };
        assert!(place(&[]).wants("pve1"));
        assert!(place(&["pve*"]).wants("pve1") && !place(&["pve*"]).wants("big1"));
        assert!(place(&["*1"]).wants("pve1") && !place(&["*1"]).wants("pve2"));
        assert!(place(&["p*v*1"]).wants("pve1"));
        assert!(!place(&["pve1"]).wants("pve11"));
        assert!(!place(&["pve*", "!pve3"]).wants("pve3") && place(&["!pve3"]).wants("pve1"));
        assert!(!place(&["aa*aa"]).wants("aaa"), "parts do not overlap");
    }
}
