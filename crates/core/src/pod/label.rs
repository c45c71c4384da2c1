//! Labels, kept at Proxmox as tags, and what a rule about them matches.
//!
//! `app=web` becomes the tag `app+web`: Proxmox folds tags to lower case and allows `+`, which no label may
//! contain, so the way back is certain. A plain tag may not look like that.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::problem::TAG_MAX;

/// Between key and value.
const BETWEEN: char = '+';

/// Whether `text` can be the key of a label: lower case, starting with a letter or digit.
pub(super) fn is_key(text: &str) -> bool {
    !text.is_empty()
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && is_value(text)
}

/// Whether `text` can be the value of a label. It may be empty.
pub(super) fn is_value(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c))
}

/// Whether both fit into one tag.
pub(super) fn fits(key: &str, value: &str) -> bool {
    key.len() + value.len() < TAG_MAX
}

/// The tag of a label.
pub fn tag(key: &str, value: &str) -> String {
    format!("{key}{BETWEEN}{value}")
}

/// The label a tag stands for, if it stands for one.
pub fn label(tag: &str) -> Option<(&str, &str)> {
    let (key, value) = tag.split_once(BETWEEN)?;
    (is_key(key) && is_value(value)).then_some((key, value))
}

/// Parts tags into labels and plain tags.
pub fn split<'a>(
    tags: impl IntoIterator<Item = &'a str>,
) -> (BTreeMap<String, String>, Vec<String>) {
    let mut labels = BTreeMap::new();
    let mut plain = Vec::new();
    for text in tags {
        match label(text) {
            Some((key, value)) => {
                labels.insert(key.to_owned(), value.to_owned());
            }
            None => plain.push(text.to_owned()),
        }
    }
    (labels, plain)
}

/// Which pods a rule means: those with a label (`app=web`) or a tag (`web`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Match {
    /// Pods with this label.
    Label(String, String),
    /// Guests with this tag.
    Tag(String),
}

impl Match {
    /// Whether a guest with these tags is meant.
    pub fn meets(&self, tags: &[String]) -> bool {
        let wanted = match self {
            Self::Label(key, value) => tag(key, value),
            Self::Tag(tag) => tag.clone(),
        };
        tags.iter().any(|t| t.eq_ignore_ascii_case(&wanted))
    }
}

impl FromStr for Match {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("`{text}` is neither a label like app=web nor a tag like web");
        match text.split_once('=') {
            Some((key, value)) if is_key(key) && is_value(value) && fits(key, value) => {
                Ok(Self::Label(key.to_owned(), value.to_owned()))
            }
            None if super::problem::is_tag(text) => Ok(Self::Tag(text.to_owned())),
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label(key, value) => write!(f, "{key}={value}"),
            Self::Tag(tag) => f.write_str(tag),
        }
    }
}

impl TryFrom<String> for Match {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Match> for String {
    fn from(wanted: Match) -> Self {
        wanted.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_comes_back_from_its_tag() {
        for (key, value) in [("app", "web"), ("app.io_x-y", ""), ("0", "1.2.3")] {
            let text = tag(key, value);
            assert!(super::super::problem::is_tag(&text), "{text}");
            assert_eq!(label(&text), Some((key, value)));
        }
        for plain in ["web", "c++", "+x", "_a+b", "A+b", "a+B"] {
            assert_eq!(label(plain), None, "{plain}");
        }
    }

    #[test]
    fn a_rule_finds_labels_and_tags() {
        let tags = vec!["gantry".to_owned(), "app+web".to_owned(), "Blue".to_owned()];
        let meets = |text: &str| text.parse::<Match>().unwrap().meets(&tags);
        assert!(meets("app=web") && meets("blue") && meets("gantry"));
        assert!(!meets("app=db") && !meets("web"));
        assert!("a b".parse::<Match>().is_err() && "A=b".parse::<Match>().is_err());
    }
}
