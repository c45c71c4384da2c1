//! `{"data": …, "total": …}` around every good answer, `{"message": …, "errors": …}` around every bad one.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::lenient;

/// A good answer. `data` is null for an empty list of some calls.
#[derive(Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
pub(crate) struct Good<T> {
    #[serde(default = "Option::default")]
    pub(crate) data: Option<T>,
    #[serde(default, deserialize_with = "lenient::u64")]
    pub(crate) total: Option<u64>,
    /// Stands beside `data` where a node's network has pending changes.
    #[serde(default, deserialize_with = "lenient::text")]
    pub(crate) changes: Option<String>,
}

/// A bad answer's body; all of it may be absent.
#[derive(Default, Deserialize)]
pub(crate) struct Bad {
    #[serde(default, deserialize_with = "lenient::text")]
    pub(crate) message: Option<String>,
    #[serde(default)]
    pub(crate) errors: Option<BTreeMap<String, serde_json::Value>>,
}

/// A list that may be null: `data` of most list calls.
pub(crate) struct List<T>(pub(crate) Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        lenient::list(d).map(Self)
    }
}
