//! What Proxmox is asked for: an ordinal's pod, and the keeper of its volumes.
//!
//! A volume belongs to the container in whose number it is named, and goes when that one is deleted; a container that
//! only mounts it leaves it alone. So each ordinal has a stopped, protected container that owns its volumes: the pod can
//! be deleted, by gantry or by anybody, and made again, and they are still there.

use super::identity::{Identity, keeper_name, set_tag};
use super::spec::SetSpec;
use super::state::Facts;
use crate::pod::{Boot, Mount, PodSpec, PodTemplate};

/// Where a keeper mounts the volume of that name.
pub fn keeper_path(volume: &str) -> String {
    format!("/volumes/{volume}")
}

/// An ordinal's pod. `volumes` gives the volume id for a volume's name, as its keeper has them.
///
/// # Errors
/// What is missing, as a sentence: a volume the keeper does not have, an address that cannot be read.
pub fn pod_of(
    spec: &SetSpec,
    identity: &Identity,
    volumes: &[(String, String)],
) -> Result<PodSpec, String> {
    let mut template = spec.template.clone();
    template.tags.push(set_tag(&spec.name));
    template.start = true;
    for volume in &spec.volumes {
        let path = keeper_path(&volume.name);
        let found = volumes.iter().find(|(at, _)| *at == path);
        let Some((_, volid)) = found else {
            return Err(format!(
                "the keeper of {}'s volumes has no volume {}",
                identity.name, volume.name
            ));
        };
        template.mounts.push(Mount {
            name: volume.name.clone(),
            path: volume.path.clone(),
            volume: Some(volid.clone()),
            size_gib: volume.size_gib,
            backup: volume.backup,
            ..Mount::default()
        });
    }
    if let Some(card) = template.networks.first_mut() {
        card.mac = Some(identity.mac.clone());
        if let Some(address) = &identity.address {
            let gateway = spec.addresses.as_ref().and_then(|p| p.gateway.as_deref());
            let bad = |_| format!("{address} is no address with a gateway of its kind");
            if address.contains(':') {
                card.ipv6 = address.parse()?;
                card.gateway6 = gateway.map(str::parse).transpose().map_err(bad)?;
            } else {
                card.ipv4 = address.parse()?;
                card.gateway4 = gateway.map(str::parse).transpose().map_err(bad)?;
            }
        }
    }
    Ok(template.pod(identity.name.clone(), Some(identity.node.clone())))
}

/// The container that owns an ordinal's volumes: never started, protected against deletion.
pub fn keeper_of(spec: &SetSpec, identity: &Identity) -> PodSpec {
    let template = PodTemplate {
        image: spec.template.image.clone(),
        memory_mib: 16,
        root: spec.template.root.clone(),
        mounts: spec
            .volumes
            .iter()
            .map(|volume| Mount {
                name: volume.name.clone(),
                path: keeper_path(&volume.name),
                storage: Some(volume.storage.clone()),
                size_gib: volume.size_gib,
                backup: volume.backup,
                ..Mount::default()
            })
            .collect(),
        boot: Boot { start: false, ..Boot::default() },
        start: false,
        pool: spec.template.pool.clone(),
        protection: true,
        // Policies that go by tags hold for the volumes as for the pods.
        tags: [spec.template.tags.clone(), vec![set_tag(&spec.name)]].concat(),
        unprivileged: spec.template.unprivileged,
        note: format!(
            "Owns the volumes of {}, so that they outlive it. Do not start or delete it while they are needed.",
            identity.name
        ),
        ..PodTemplate::default()
    };
    template.pod(keeper_name(&identity.name), Some(identity.node.clone()))
}

/// What the guest of a pod is expected to look like.
pub fn facts_of(pod: &PodSpec) -> Facts {
    Facts {
        name: pod.name.clone(),
        cores: f64::from(pod.template.cores),
        memory: pod.template.memory_mib << 20,
    }
}
