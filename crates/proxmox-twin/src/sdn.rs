//! Software-defined networks: zones, vnets, subnets; what is configured and what is applied.

/// The cluster's SDN configuration.
#[derive(Debug, Default)]
pub(crate) struct Sdn {}

impl Sdn {
    /// Names of the applied vnets a node has as bridges.
    pub(crate) fn live_vnets(&self, _node: &str) -> Vec<String> {
        Vec::new()
    }
}
