//! Paths below `/api2/json`, made from a template and typed ids only.
//!
//! Every segment is percent-encoded, so no id can leave its place. The template, not the path, goes to the log.

use gantry_core::id::{GuestKind, NodeName, StorageId, Upid, Vmid};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Everything outside RFC 3986's unreserved set is encoded.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// A path with its template and the node it concerns.
#[derive(Debug, Clone)]
pub(crate) struct Path {
    template: &'static str,
    text: String,
    node: Option<NodeName>,
}

impl Path {
    /// A path without parameters.
    pub(crate) fn fixed(template: &'static str) -> Self {
        Self { template, text: template.to_owned(), node: None }
    }

    /// A path of a node: `{node}` is filled.
    pub(crate) fn node(template: &'static str, node: &NodeName) -> Self {
        let mut path = Self::fixed(template);
        path.fill("{node}", node.as_str());
        path.node = Some(node.clone());
        path
    }

    /// A path of a guest: `{node}`, `{kind}` and `{vmid}` are filled.
    pub(crate) fn guest(
        template: &'static str,
        node: &NodeName,
        kind: GuestKind,
        vmid: Vmid,
    ) -> Self {
        let mut path = Self::node(template, node);
        path.fill("{kind}", kind.as_str());
        path.fill("{vmid}", &vmid.to_string());
        path
    }

    /// A path of a storage on a node.
    pub(crate) fn storage(template: &'static str, node: &NodeName, storage: &StorageId) -> Self {
        let mut path = Self::node(template, node);
        path.fill("{storage}", storage.as_str());
        path
    }

    /// A path of a volume on a storage.
    pub(crate) fn volume(
        template: &'static str,
        node: &NodeName,
        storage: &StorageId,
        volume: &str,
    ) -> Self {
        let mut path = Self::storage(template, node, storage);
        path.fill("{volume}", volume);
        path
    }

    /// A path of a task, on the node that runs it.
    pub(crate) fn task(template: &'static str, upid: &Upid) -> Self {
        let mut path = Self::node(template, upid.node());
        path.fill("{upid}", upid.as_str());
        path
    }

    /// The same path with one more hole filled.
    pub(crate) fn with(mut self, hole: &str, value: &str) -> Self {
        self.fill(hole, value);
        self
    }

    fn fill(&mut self, hole: &str, value: &str) {
        let encoded = utf8_percent_encode(value, SEGMENT).to_string();
        self.text = self.text.replacen(hole, &encoded, 1);
    }

    /// The encoded path.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
    /// The template, for logs.
    pub(crate) fn template(&self) -> &'static str {
        self.template
    }
    /// The node whose answer is wanted.
    pub(crate) fn node_name(&self) -> Option<&NodeName> {
        self.node.as_ref()
    }
}
