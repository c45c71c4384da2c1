//! The firewall of a node or a guest: its switches and its rules. Rules have positions that shift, so every change
//! names the digest that was read.

use std::collections::BTreeMap;

use gantry_core::id::NodeName;
use http::Method;
use serde_json::Value;

use crate::client::Client;
use crate::error::Error;
use crate::form::Form;
use crate::network::{is_key, rows};
use crate::path::Path;
use crate::writes::GuestRef;

/// Whose firewall.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FirewallAt {
    /// A node's own.
    Node(NodeName),
    /// A guest's.
    Guest(GuestRef),
}

impl FirewallAt {
    fn path(&self, node: &'static str, guest: &'static str) -> Path {
        match self {
            Self::Node(name) => Path::node(node, name),
            Self::Guest(at) => at.path(guest),
        }
    }
}

/// A rule as it stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FirewallRule {
    /// Its position; 0 is looked at first. Shifts when others come and go.
    pub pos: u32,
    /// Everything else, under the API's names.
    pub fields: BTreeMap<String, String>,
}

impl FirewallRule {
    /// Its comment.
    pub fn comment(&self) -> &str {
        self.fields.get("comment").map_or("", String::as_str)
    }
}

/// A rule to be added: accepts what comes in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRule {
    /// `tcp` or `udp`.
    pub proto: String,
    /// Destination port.
    pub dport: u16,
    /// Destination address; any where left out.
    pub dest: Option<String>,
    /// Its comment: how gantry finds its own rules again.
    pub comment: String,
}

impl Client {
    /// `GET …/firewall/options`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn firewall_options(
        &self,
        at: &FirewallAt,
    ) -> Result<BTreeMap<String, String>, Error> {
        let path = at
            .path("/nodes/{node}/firewall/options", "/nodes/{node}/{kind}/{vmid}/firewall/options");
        let found: BTreeMap<String, Value> = self.fetch(&self.get(path)).await?;
        let mut one = found;
        one.insert("id".into(), "options".into());
        Ok(rows(vec![one], "id").pop().map(|r| r.fields).unwrap_or_default())
    }

    /// Changes switches of a firewall.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the digest is stale; else see [`Error`].
    pub async fn set_firewall_options(
        &self,
        at: &FirewallAt,
        set: &BTreeMap<String, String>,
        unset: &[String],
        digest: Option<&str>,
    ) -> Result<(), Error> {
        if let Some(bad) = set.keys().chain(unset).find(|k| !is_key(k)) {
            return Err(Error::refused(bad, "is not the name of a setting"));
        }
        let path = at
            .path("/nodes/{node}/firewall/options", "/nodes/{node}/{kind}/{vmid}/firewall/options");
        let mut call = self.change(Method::PUT, path);
        for (key, value) in set {
            call.body.push(key, value);
        }
        let unset = (!unset.is_empty()).then(|| unset.join(","));
        call.body = call.body.with_some("delete", unset).with_some("digest", digest);
        self.submit(&call).await.map(|_| ())
    }

    /// `GET …/firewall/rules`, in the order they are looked at.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn firewall_rules(&self, at: &FirewallAt) -> Result<Vec<FirewallRule>, Error> {
        let path =
            at.path("/nodes/{node}/firewall/rules", "/nodes/{node}/{kind}/{vmid}/firewall/rules");
        let list: Option<Vec<BTreeMap<String, Value>>> = self.fetch(&self.get(path)).await?;
        let mut all: Vec<FirewallRule> = rows(list.unwrap_or_default(), "pos")
            .into_iter()
            .filter_map(|r| Some(FirewallRule { pos: r.id.parse().ok()?, fields: r.fields }))
            .collect();
        all.sort_by_key(|r| r.pos);
        Ok(all)
    }

    /// Adds a rule that accepts, switched on, before all others.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn add_firewall_rule(&self, at: &FirewallAt, rule: &NewRule) -> Result<(), Error> {
        let path =
            at.path("/nodes/{node}/firewall/rules", "/nodes/{node}/{kind}/{vmid}/firewall/rules");
        let mut call = self.change(Method::POST, path);
        call.body = Form::new()
            .with("type", "in")
            .with("action", "ACCEPT")
            .with("enable", 1)
            .with("proto", &rule.proto)
            .with("dport", rule.dport)
            .with_some("dest", rule.dest.as_deref())
            .with("comment", &rule.comment);
        self.submit(&call).await.map(|_| ())
    }

    /// Removes the rule at a position, if the rules are still those that were read.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the digest is stale; else see [`Error`].
    pub async fn delete_firewall_rule(
        &self,
        at: &FirewallAt,
        pos: u32,
        digest: Option<&str>,
    ) -> Result<(), Error> {
        let path = at
            .path(
                "/nodes/{node}/firewall/rules/{pos}",
                "/nodes/{node}/{kind}/{vmid}/firewall/rules/{pos}",
            )
            .with("{pos}", &pos.to_string());
        let mut call = self.change(Method::DELETE, path);
        call.query = Form::new().with_some("digest", digest);
        self.submit(&call).await.map(|_| ())
    }
}
