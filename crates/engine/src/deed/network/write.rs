//! Edits on their way to Proxmox. Each only changes what is staged.

use gantry_core::id::ClusterId;
use gantry_core::network::{Edit, FIREWALL, Scope, subnet_cidr};
use gantry_proxmox::{Client, FirewallAt, IfaceChange};

use crate::Engine;
use crate::deed::CallFault;

impl Engine {
    /// Stages `edits` in order; the first that fails ends it.
    pub(super) async fn stage(
        &self,
        cluster: &ClusterId,
        scope: &Scope,
        edits: &[Edit],
    ) -> Result<(), CallFault> {
        let client = self.client(cluster).map_err(|e| CallFault::never_sent(e.to_string()))?;
        for edit in edits {
            match scope {
                Scope::Node(node) if edit.key() == FIREWALL => {
                    if let Edit::Update { settings, unset, .. } = edit {
                        let mut set = settings.clone();
                        set.remove("type");
                        let at = FirewallAt::Node(node.clone());
                        client.set_firewall_options(&at, &set, unset, None).await?;
                    }
                }
                Scope::Node(node) => match edit {
                    Edit::Create { key, settings } => {
                        let change = IfaceChange { set: settings.clone(), unset: Vec::new() };
                        client.create_iface(node, key, &change).await?;
                    }
                    Edit::Update { key, settings, unset } => {
                        let change = IfaceChange { set: settings.clone(), unset: unset.clone() };
                        client.update_iface(node, key, &change).await?;
                    }
                    Edit::Delete { key } => client.delete_iface(node, key).await?,
                },
                Scope::Sdn => stage_sdn(client, edit).await?,
            }
        }
        Ok(())
    }
}

async fn stage_sdn(client: &Client, edit: &Edit) -> Result<(), CallFault> {
    let parts: Vec<&str> = edit.key().splitn(3, '/').collect();
    let strange = || CallFault::never_sent(format!("{} is nothing in the SDN", edit.key()));
    match (parts.as_slice(), edit) {
        (["zone", id], Edit::Create { settings, .. }) => {
            client.create_sdn_zone(id, settings, None).await?;
        }
        (["zone", id], Edit::Update { settings, unset, .. }) => {
            client.update_sdn_zone(id, settings, unset, None).await?;
        }
        (["zone", id], Edit::Delete { .. }) => client.delete_sdn_zone(id, None).await?,
        (["vnet", id], Edit::Create { settings, .. }) => {
            client.create_sdn_vnet(id, settings, None).await?;
        }
        (["vnet", id], Edit::Update { settings, unset, .. }) => {
            client.update_sdn_vnet(id, settings, unset, None).await?;
        }
        (["vnet", id], Edit::Delete { .. }) => client.delete_sdn_vnet(id, None).await?,
        (["subnet", vnet, id], Edit::Create { settings, .. }) => {
            let cidr = subnet_cidr(id).ok_or_else(strange)?;
            client.create_sdn_subnet(vnet, &cidr, settings, None).await?;
        }
        (["subnet", vnet, id], Edit::Update { settings, unset, .. }) => {
            client.update_sdn_subnet(vnet, id, settings, unset, None).await?;
        }
        (["subnet", vnet, id], Edit::Delete { .. }) => {
            client.delete_sdn_subnet(vnet, id, None).await?;
        }
        _ => return Err(strange()),
    }
    Ok(())
}
