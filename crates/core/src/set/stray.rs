//! What of a pod's configuration is not as it was made: what the cluster's summary does not tell.

use super::spec::VolumeSpec;
use crate::id::Vmid;
use crate::pod::{Difference, Edit, PodSpec, Raw, differences, read_notes};

/// Settings that are left out: the summary tells of the first three, and tags are people's as long as gantry's own
/// are there.
const ELSEWHERE: [&str; 4] = ["hostname", "cores", "memory", "tags"];
/// Most sentences of one pod; a card has room for no more.
const TOLD_MAX: usize = 10;

/// What differs between a configuration as read and the pod as it was made, a sentence each. `made` has no volumes:
/// those of the set are looked for in the container that keeps them.
pub fn strayed(
    made: &PodSpec,
    volumes: &[VolumeSpec],
    keeper: Option<Vmid>,
    raw: &Raw,
) -> Vec<String> {
    let mut what = Vec::new();
    let mut rest = raw.clone();
    for volume in volumes {
        let place = format!("mp={}", volume.path);
        let found = raw
            .iter()
            .filter(|(key, _)| key.starts_with("mp"))
            .find(|(_, value)| value.split(',').any(|part| part == place));
        let Some((key, value)) = found else {
            what.push(format!("Its volume {} is not mounted at {}.", volume.name, volume.path));
            continue;
        };
        rest.remove(key);
        let id = value.split(',').next().unwrap_or_default();
        if keeper.is_some_and(|keeper| !is_of(id, keeper)) {
            what.push(format!(
                "At {} it has {id} instead of its volume {}.",
                volume.path, volume.name
            ));
        }
    }
    let told = raw.get("description").and_then(|notes| read_notes(notes));
    if let Some((told, _)) = told
        && told.template.image != made.template.image
    {
        // A container's image shows nowhere else; a backup of an older revision that was restored is seen by it.
        what.push(format!(
            "Its notes say it was made from {} instead of {}.",
            told.template.image, made.template.image
        ));
    }
    let has = |pair: &String| {
        raw.get("env").is_some_and(|text| text.split('\0').any(|have| have == pair))
    };
    let wanted = made.template.env.0.iter();
    // The image's own stand beside them; a value is nobody's business.
    what.extend(
        wanted
            .filter(|(key, value)| !has(&format!("{key}={value}")))
            .map(|(key, _)| format!("Its environment has not the {key} it was made with.")),
    );
    // Proxmox takes both from an OCI image where nobody says otherwise.
    let open =
        |key: &str| key == "env" || key == "entrypoint" && made.template.entrypoint.is_none();
    let all = differences(made, &rest);
    let told = all.iter().filter(|d| !ELSEWHERE.contains(&d.key()) && !open(d.key()));
    what.extend(told.map(sentence));
    what.truncate(TOLD_MAX);
    what
}

fn sentence(difference: &Difference) -> String {
    let Difference { what, is, shall, edit, .. } = difference;
    match edit {
        Edit::Unset(key) if key.starts_with("net") || key.starts_with("mp") => {
            format!("{what} ({is}) was added.")
        }
        _ => format!("{what}: {is} instead of {shall}."),
    }
}

/// Whether a volume belongs to the guest of that number: `local-lvm:vm-799-disk-1`, `tank:subvol-799-disk-1`,
/// `nas:799/vm-799-disk-1.raw`.
fn is_of(volume: &str, vmid: Vmid) -> bool {
    let name = volume.rsplit([':', '/']).next().unwrap_or_default();
    ["vm", "subvol", "base", "basevol"]
        .iter()
        .any(|kind| name.starts_with(&format!("{kind}-{vmid}-")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::{notes, settings};
    use crate::set::identity::allot;
    use crate::set::member::pod_of;
    use crate::set::simulation::{sample, with_volumes};

    fn made() -> (PodSpec, Vec<VolumeSpec>, Vmid, Raw) {
        let mut spec = with_volumes(sample("web", 1));
        let id = allot(&"lab".parse().unwrap(), &spec, 0, &Default::default()).unwrap();
        let keeper = id.keeper.unwrap();
        let volumes = vec![("/volumes/data".to_owned(), format!("local-lvm:vm-{keeper}-disk-1"))];
        let full = pod_of(&spec, &id, &volumes).unwrap();
        let mut raw: Raw = settings(&full).unwrap().into_iter().collect();
        raw.insert("rootfs".into(), "local-lvm:vm-700-disk-0,size=4G".into());
        raw.insert("description".into(), notes(&full, "op_1"));
        let volumes = std::mem::take(&mut spec.volumes);
        (pod_of(&spec, &id, &[]).unwrap(), volumes, keeper, raw)
    }

    #[test]
    fn a_pod_as_it_was_made_has_not_strayed() {
        let (pod, volumes, keeper, raw) = made();
        assert_eq!(strayed(&pod, &volumes, Some(keeper), &raw), Vec::<String>::new());
    }

    #[test]
    fn what_the_summary_tells_and_peoples_own_tags_are_not_told_twice() {
        let (pod, volumes, keeper, mut raw) = made();
        for (key, value) in [("memory", "4096"), ("cores", "8"), ("hostname", "mine")] {
            raw.insert(key.into(), value.into());
        }
        let tags = format!("{};mine", raw["tags"]);
        raw.insert("tags".into(), tags);
        assert_eq!(strayed(&pod, &volumes, Some(keeper), &raw), Vec::<String>::new());
    }

    #[test]
    fn what_an_image_brings_along_is_no_change() {
        let (mut pod, volumes, keeper, mut raw) = made();
        raw.insert("entrypoint".into(), "/sbin/entrypoint".into());
        raw.insert("env".into(), "PATH=/bin\0MODE=test".into());
        assert_eq!(strayed(&pod, &volumes, Some(keeper), &raw), Vec::<String>::new());
        pod.template.env.0.insert("MODE".into(), "hunter2".into());
        let told = strayed(&pod, &volumes, Some(keeper), &raw);
        assert_eq!(told, ["Its environment has not the MODE it was made with."]);
        pod.template.entrypoint = Some("/bin/web".into());
        let told = strayed(&pod, &volumes, Some(keeper), &raw);
        assert_eq!(told[1], "Entrypoint: /sbin/entrypoint instead of /bin/web.");
    }

    #[test]
    fn foreign_changes_of_network_volumes_and_image_are_told() {
        let (pod, volumes, keeper, raw) = made();
        let after = |key: &str, value: &str| {
            let mut raw = raw.clone();
            raw.insert(key.to_owned(), value.to_owned());
            strayed(&pod, &volumes, Some(keeper), &raw)
        };
        let moved = raw["net0"].replace("vmbr0", "vmbr9");
        assert_eq!(after("net0", &moved), ["Card eth0: bridge vmbr9 instead of bridge vmbr0."]);
        assert_eq!(after("swap", "2048"), ["Swap: 2048 MiB instead of 0 MiB."]);
        let other = "local-lvm:vm-123-disk-0,mp=/data";
        let told = after("mp0", other);
        assert_eq!(told, ["At /data it has local-lvm:vm-123-disk-0 instead of its volume data."]);
        let told = after("net1", "name=eth1,bridge=vmbr1");
        assert_eq!(told, ["Card eth1 (vmbr1) was added."]);
        let mut older = pod.clone();
        older.template.image = "local:vztmpl/older.tar.zst".into();
        let told = after("description", &notes(&older, "op_0"));
        assert!(told[0].contains("made from local:vztmpl/older.tar.zst"), "{told:?}");
        let mut gone = raw.clone();
        gone.remove("mp0");
        let told = strayed(&pod, &volumes, Some(keeper), &gone);
        assert_eq!(told, ["Its volume data is not mounted at /data."]);
    }
}
