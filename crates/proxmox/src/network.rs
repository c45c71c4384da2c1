//! A node's network interfaces. Writing them edits a staged file; only `reload_network` makes that real.
//!
//! There is no digest: the last writer wins (measured), so callers look before they write.

use std::collections::BTreeMap;

use gantry_core::id::NodeName;
use http::Method;
use serde_json::Value;

use crate::client::Client;
use crate::decode::decode_with_changes;
use crate::error::Error;
use crate::form::Form;
use crate::path::Path;
use crate::writes::Accepted;

/// An object of a list whose fields vary: its id, and everything else as text. Yes is `1`, no is `0`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    /// The value of the field that names it.
    pub id: String,
    /// Its fields.
    pub fields: BTreeMap<String, String>,
}

/// `GET /nodes/{node}/network`: what is staged, which is what runs while nothing is pending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeNetwork {
    /// The interfaces.
    pub ifaces: Vec<Row>,
    /// What is staged and not applied: a unified diff of `/etc/network/interfaces`.
    pub changes: Option<String>,
}

/// New settings of an interface.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IfaceChange {
    /// All its settings, `type` included: what is left out may be lost, because Proxmox decides how an interface
    /// gets its address by what this very call says.
    pub set: BTreeMap<String, String>,
    /// Settings that are taken away.
    pub unset: Vec<String>,
}

impl IfaceChange {
    fn form(&self) -> Result<Form, Error> {
        if !self.set.contains_key("type") {
            return Err(Error::refused("type", "is needed for every change of an interface"));
        }
        let mut form = Form::new();
        for (key, value) in &self.set {
            if !is_key(key) || matches!(key.as_str(), "node" | "iface" | "delete") {
                return Err(Error::refused(key, "is not the name of a setting"));
            }
            form.push(key, value);
        }
        if let Some(bad) = self.unset.iter().find(|k| !is_key(k)) {
            return Err(Error::refused(bad, "is not the name of a setting"));
        }
        let unset = (!self.unset.is_empty()).then(|| self.unset.join(","));
        Ok(form.with_some("delete", unset))
    }
}

pub(crate) fn is_key(key: &str) -> bool {
    !key.is_empty()
        && key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c))
}

/// Rows out of a list of objects; what has no id is left out.
pub(crate) fn rows(list: Vec<BTreeMap<String, Value>>, id: &str) -> Vec<Row> {
    list.into_iter()
        .filter_map(|mut object| {
            let id = text(object.remove(id)?)?;
            let fields = object.into_iter().filter_map(|(k, v)| text(v).map(|v| (k, v))).collect();
            Some(Row { id, fields })
        })
        .collect()
}

/// A value as text. Lists of texts and of ranges are joined by `;`, nothing else inside is kept.
fn text(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Number(n) => Some(n.to_string()),
        Value::Bool(b) => Some(u8::from(b).to_string()),
        Value::Array(list) => {
            let parts: Vec<String> = list
                .into_iter()
                .filter_map(|v| match v {
                    Value::Object(map) => Some(
                        map.iter()
                            .filter_map(|(k, v)| v.as_str().map(|v| format!("{k}={v}")))
                            .collect::<Vec<_>>()
                            .join(","),
                    ),
                    other => text(other),
                })
                .collect();
            (!parts.is_empty()).then(|| parts.join(";"))
        }
        Value::Null | Value::Object(_) => None,
    }
}

impl Client {
    /// `GET /nodes/{node}/network` with what is pending. Never shared: plans rest on it.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn node_network(&self, node: &NodeName) -> Result<NodeNetwork, Error> {
        let call = self.get(Path::node("/nodes/{node}/network", node));
        let answer = self.answer(&call).await?;
        let (list, changes): (Option<Vec<BTreeMap<String, Value>>>, _) =
            decode_with_changes(&call, &answer, self.secret())?;
        let changes = changes.filter(|text| !text.trim().is_empty());
        Ok(NodeNetwork { ifaces: rows(list.unwrap_or_default(), "iface"), changes })
    }

    /// Stages a new interface.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it exists already or a setting is wrong; else see [`Error`].
    pub async fn create_iface(
        &self,
        node: &NodeName,
        iface: &str,
        change: &IfaceChange,
    ) -> Result<(), Error> {
        let mut call = self.change(Method::POST, Path::node("/nodes/{node}/network", node));
        call.body = change.form()?.with("iface", iface);
        self.submit(&call).await.map(|_| ())
    }

    /// Stages new settings of an interface.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it does not exist or a setting is wrong; else see [`Error`].
    pub async fn update_iface(
        &self,
        node: &NodeName,
        iface: &str,
        change: &IfaceChange,
    ) -> Result<(), Error> {
        let path = Path::node("/nodes/{node}/network/{iface}", node).with("{iface}", iface);
        let mut call = self.change(Method::PUT, path);
        call.body = change.form()?;
        self.submit(&call).await.map(|_| ())
    }

    /// Stages the removal of an interface.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it does not exist; else see [`Error`].
    pub async fn delete_iface(&self, node: &NodeName, iface: &str) -> Result<(), Error> {
        let path = Path::node("/nodes/{node}/network/{iface}", node).with("{iface}", iface);
        self.submit(&self.change(Method::DELETE, path)).await.map(|_| ())
    }

    /// Makes real what is staged (`ifreload -a`); its task is a `srvreload`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn reload_network(&self, node: &NodeName) -> Result<Accepted, Error> {
        self.accepted(self.change(Method::PUT, Path::node("/nodes/{node}/network", node))).await
    }

    /// Drops what is staged. What was applied before stays.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn revert_network(&self, node: &NodeName) -> Result<(), Error> {
        let call = self.change(Method::DELETE, Path::node("/nodes/{node}/network", node));
        self.submit(&call).await.map(|_| ())
    }
}
