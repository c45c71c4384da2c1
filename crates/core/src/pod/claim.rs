//! What a specification by people may not claim: volumes of other guests, and the tags by which gantry knows its own.

use super::props::Props;
use super::{PodSpec, Problem, Raw};
use crate::id::Vmid;

/// What tags begin with that gantry gives by itself: `gantry-set.web`.
const OWN_TAGS: &str = "gantry-";

/// Whether only gantry itself may give that tag. Proxmox folds tags to lower case.
pub fn is_reserved(tag: &str) -> bool {
    tag.to_ascii_lowercase().starts_with(OWN_TAGS)
}

/// The guest that owns a volume, as Proxmox reads it off the volume's name: `local-lvm:vm-201-disk-1`,
/// `local:201/vm-201-disk-0.raw`, `tank:basevol-100-disk-0/subvol-201-disk-0`. `None` where the name does not say,
/// or says two.
pub fn volume_owner(volume: &str) -> Option<Vmid> {
    let (_, name) = volume.split_once(':')?;
    let (folder, file) = match name.rsplit_once('/') {
        Some((folders, file)) => (folders.rsplit('/').next(), file),
        None => (None, name),
    };
    let folder: Option<Vmid> = folder.and_then(|f| f.parse().ok());
    let file: Option<Vmid> = ["vm-", "subvol-", "base-", "basevol-"]
        .iter()
        .find_map(|kind| file.strip_prefix(kind))
        .and_then(|rest| rest.split('-').next()?.parse().ok());
    match (folder, file) {
        (Some(a), Some(b)) if a != b => None,
        (folder, file) => folder.or(file),
    }
}

/// What people claim that is not their pod's to have. `pod` is the pod's number and configuration, where there is one:
/// what it has already it keeps.
pub fn claims(spec: &PodSpec, pod: Option<(Vmid, &Raw)>) -> Vec<Problem> {
    let mut found = Vec::new();
    let has_tag = |tag: &str| {
        let tags = pod.and_then(|(_, raw)| raw.get("tags")).map_or("", String::as_str);
        tags.split([';', ',', ' ']).any(|t| t.eq_ignore_ascii_case(tag))
    };
    for tag in spec.template.tags.iter().filter(|t| is_reserved(t) && !has_tag(t)) {
        found.push(Problem {
            field: "tags".into(),
            why: format!("{tag}: tags that begin with {OWN_TAGS} are gantry's own"),
        });
    }
    let mounts = |volume: &str| {
        let is = |(key, text): (&String, &String)| {
            key.starts_with("mp") && Props::read(text).head.as_deref() == Some(volume)
        };
        pod.is_some_and(|(_, raw)| raw.iter().any(is))
    };
    for (n, mount) in spec.template.mounts.iter().enumerate() {
        let Some(volume) = mount.volume.as_deref().filter(|v| !mounts(v)) else { continue };
        if pod.is_some_and(|(vmid, _)| volume_owner(volume) == Some(vmid)) {
            continue;
        }
        let why = match pod {
            Some((vmid, _)) => format!(
                "{volume} is not a volume of CT {vmid}; a pod takes only volumes that carry its own number. \
                 Reassign it to CT {vmid} at Proxmox first"
            ),
            None => "a new pod has no volumes of its own yet: leave `volume` out to make a new one"
                .into(),
        };
        found.push(Problem { field: format!("mounts[{n}].volume"), why });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::{Mount, sample};
    use super::*;

    #[test]
    fn a_volume_is_its_guests() {
        for (volume, owner) in [
            ("local-lvm:vm-201-disk-1", Some(201)),
            ("tank:subvol-201-disk-0", Some(201)),
            ("tank:basevol-100-disk-0/subvol-201-disk-0", Some(201)),
            ("local:201/vm-201-disk-0.raw", Some(201)),
            ("local:201/any.raw", Some(201)),
            ("local:100/base-100-disk-0.raw/201/vm-201-disk-0.raw", Some(201)),
            ("local:100/vm-201-disk-0.raw", None),
            ("local-lvm:9999", None),
            ("local-lvm:any", None),
        ] {
            assert_eq!(volume_owner(volume).map(Vmid::get), owner, "{volume}");
        }
    }

    fn fields(spec: &PodSpec, pod: Option<(Vmid, &Raw)>) -> Vec<String> {
        claims(spec, pod).into_iter().map(|p| p.field).collect()
    }

    #[test]
    fn nobody_mounts_what_is_another_guests() {
        let mut spec = sample();
        let named = |volume: &str| {
            let (name, path) = ("data".to_owned(), "/data".to_owned());
            vec![Mount { name, path, volume: Some(volume.into()), ..Mount::default() }]
        };
        let vmid: Vmid = 201.try_into().unwrap();
        let raw = Raw::from([("mp0".into(), "tank:subvol-300-disk-1,mp=/data,size=4G".into())]);
        for (volume, new, there) in [
            ("local-lvm:vm-100-disk-0", false, false),
            ("local-lvm:9999", false, false),
            ("local-lvm:vm-201-disk-1", false, true),
            // Kept by somebody else for it, and mounted already.
            ("tank:subvol-300-disk-1", false, true),
        ] {
            spec.template.mounts = named(volume);
            assert_eq!(fields(&spec, None).is_empty(), new, "{volume}");
            assert_eq!(fields(&spec, Some((vmid, &raw))).is_empty(), there, "{volume}");
        }
        // A size is no volume at all: it would make one.
        spec.template.mounts = named("local-lvm:9999");
        assert_eq!(spec.problems().len(), 1);
    }

    #[test]
    fn nobody_gives_gantrys_own_tags() {
        let mut spec = sample();
        spec.template.tags = vec!["Gantry-Set.web".into()];
        assert_eq!(fields(&spec, None), ["tags"]);
        let raw = Raw::from([("tags".into(), "gantry;gantry-set.web".into())]);
        assert!(fields(&spec, Some((201.try_into().unwrap(), &raw))).is_empty());
    }
}
