//! Parameter tables: what each served method accepts, written compactly and parsed once at start.
//!
//! One line a parameter: `name[!] type attribute=value …` (`!` = required). The tables are ours; a test holds
//! them against the official schema. `check` is the only reader at request time.

mod check;
mod format;
mod tables;

pub(crate) use check::text_of;
pub(crate) use check::{check, property_string};
pub(crate) use format::disk_size as bytes_of;
use tables::group;
pub(crate) use tables::property_table;

use std::collections::BTreeMap;

use regex::Regex;

/// The scalar type of a parameter, as the server names it in its type errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `string`
    Text,
    /// `integer`
    Integer,
    /// `number`
    Number,
    /// `boolean`, which in forms is `0` or `1` only
    Boolean,
    /// `array` of texts: a repeated key, or one
    List,
}

impl Kind {
    /// The name used by the API ("string", "integer", …).
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
            Self::List => "array",
        }
    }
}

/// One parameter of one method.
#[derive(Debug, Clone)]
pub struct Param {
    /// Name; indexed ones end in `[n]`.
    pub name: String,
    /// Scalar type.
    pub kind: Kind,
    /// Must it be given?
    pub required: bool,
    /// Named format (`pve-node`), checked before everything but the type.
    pub format: Option<String>,
    /// Name of the property-string table, for object-valued formats.
    pub property: Option<String>,
    /// Lowest value.
    pub min: Option<f64>,
    /// Highest value.
    pub max: Option<f64>,
    /// Fewest characters.
    pub min_length: Option<usize>,
    /// Most characters.
    pub max_length: Option<usize>,
    /// Allowed values.
    pub choices: Vec<String>,
    /// Anchored pattern.
    pub pattern: Option<Regex>,
    /// Another parameter that must be there too.
    pub requires: Option<String>,
    /// May stand without `key=` in a property string.
    pub default_key: bool,
    /// Is another name of this key (property strings only).
    pub alias: Option<String>,
}

/// The parameters of one method or the keys of one property string.
#[derive(Debug, Clone, Default)]
pub struct Table {
    exact: BTreeMap<String, Param>,
    indexed: BTreeMap<String, Param>,
}

impl Table {
    /// Reads the compact notation.
    ///
    /// # Errors
    /// The offending line, when it cannot be read: a mistake in this crate, found by any test.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut table = Self::default();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            if let Some(name) = line.strip_prefix('@') {
                let inner = Self::parse(group(name).ok_or_else(|| format!("no group {name}"))?)?;
                table.exact.extend(inner.exact);
                table.indexed.extend(inner.indexed);
                continue;
            }
            let param = Param::parse(line).ok_or_else(|| format!("unreadable line: {line}"))?;
            match param.name.strip_suffix("[n]") {
                Some(stem) => table.indexed.insert(stem.to_owned(), param),
                None => table.exact.insert(param.name.clone(), param),
            };
        }
        Ok(table)
    }

    /// The parameter called `name`; `net7` finds `net[n]`.
    pub(crate) fn find(&self, name: &str) -> Option<&Param> {
        if let Some(param) = self.exact.get(name) {
            return Some(param);
        }
        let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
        if stem.len() == name.len() {
            return None;
        }
        self.indexed.get(stem)
    }

    /// Every parameter, indexed ones by their `name[n]`.
    pub fn params(&self) -> impl Iterator<Item = &Param> {
        self.exact.values().chain(self.indexed.values())
    }
}

impl Param {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.splitn(3, ' ');
        let name = words.next()?;
        let kind = match words.next()? {
            "str" => Kind::Text,
            "int" => Kind::Integer,
            "num" => Kind::Number,
            "bool" => Kind::Boolean,
            "list" => Kind::List,
            _ => return None,
        };
        let mut param = Self {
            name: name.trim_end_matches('!').to_owned(),
            kind,
            required: name.ends_with('!'),
            format: None,
            property: None,
            min: None,
            max: None,
            min_length: None,
            max_length: None,
            choices: Vec::new(),
            pattern: None,
            requires: None,
            default_key: false,
            alias: None,
        };
        let mut rest = words.next().unwrap_or_default();
        while !rest.is_empty() {
            if let Some(pattern) = rest.strip_prefix("pat=") {
                param.pattern = Some(Regex::new(&format!("^(?:{pattern})$")).ok()?);
                break;
            }
            let (word, tail) = rest.split_once(' ').unwrap_or((rest, ""));
            rest = tail;
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            match key {
                "fmt" => param.format = Some(value.to_owned()),
                "prop" => param.property = Some(value.to_owned()),
                "min" => param.min = Some(value.parse().ok()?),
                "max" => param.max = Some(value.parse().ok()?),
                "minlen" => param.min_length = Some(value.parse().ok()?),
                "maxlen" => param.max_length = Some(value.parse().ok()?),
                "enum" => param.choices = value.split('|').map(str::to_owned).collect(),
                "disks" => param.choices = tables::disks(value),
                "requires" => param.requires = Some(value.to_owned()),
                "dk" => param.default_key = true,
                "alias" => param.alias = Some(value.to_owned()),
                _ => return None,
            }
        }
        Some(param)
    }
}
