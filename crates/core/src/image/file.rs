//! Turning a disk image that lies on a storage into another form, where it lies: raw to qcow2 and back. Proxmox's API
//! has no call for it; the node shell runs `qemu-img`.

use serde_json::json;

use super::convert::DiskFormat;
use super::plan::{LiveVolume, ROOM_LEFT, Room, size};
use super::reference::{Content, ImageVolid};
use super::step::{Doomed, ImageStep, Place};
use crate::id::ClusterId;
use crate::near::it_has;
use crate::operation::StepKind;
use crate::plan::{Change, Draft, Planned, hash};

/// What is true of a file that shall be converted, read just now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveFile {
    /// The file, where it is there.
    pub file: Option<LiveVolume>,
    /// Bytes a guest sees in it, as `qemu-img` says.
    pub guest_bytes: Option<u64>,
    /// Whether something is there already under the new name.
    pub taken: bool,
    /// The storage.
    pub room: Option<Room>,
    /// Whether the node has a node shell; without it, what else there is.
    pub shell: Result<(), String>,
    /// Other disk images on that storage.
    pub others: Vec<String>,
}

/// The form of a disk image by its ending, where it is one of the two.
pub fn format_of(volid: &ImageVolid) -> Option<DiskFormat> {
    let (_, ending) = volid.file().rsplit_once('.')?;
    ending.parse().ok().filter(|_| volid.content() == Content::Import)
}

/// What a file becomes: the same name with the other ending, on the same storage.
pub fn converted(place: &Place, to: DiskFormat) -> Option<Place> {
    let (stem, _) = place.volid.file().rsplit_once('.')?;
    let (storage, content) = (place.volid.storage().clone(), place.volid.content());
    let volid = ImageVolid::new(storage, content, &format!("{stem}.{}", to.as_str())).ok()?;
    Some(Place { volid, ..place.clone() })
}

/// Plans converting a file.
pub fn plan_file(cluster: &ClusterId, place: &Place, to: DiskFormat, live: &LiveFile) -> Planned {
    let refused = |why: String| Planned::Refused { why };
    let (Some(from), Some(target)) = (format_of(&place.volid), converted(place, to)) else {
        return refused(format!(
            "{} is no disk image in raw or qcow2. Other forms are converted by importing them into a virtual machine.",
            place.volid
        ));
    };
    if from == to {
        return Planned::Nothing { why: format!("{place} is {} already.", to.as_str()) };
    }
    let Some(file) = live.file else {
        let have = it_has(&place.volid.to_string(), live.others.iter().map(String::as_str));
        return refused(format!("{place} is not there.{have}"));
    };
    if let Err(why) = &live.shell {
        return refused(why.clone());
    }
    if live.taken {
        return refused(format!(
            "{target} is there already. Delete it first with `/image delete`; it is never overwritten."
        ));
    }
    let Some(room) = live.room.filter(|r| r.active && r.holds) else {
        return refused(format!("{} cannot take it now.", place.volid.storage()));
    };
    // Raw may come to take all a guest sees; qcow2 never takes much more than that either.
    let bytes = live.guest_bytes.unwrap_or(file.bytes).max(file.bytes);
    if room.free < bytes.saturating_add(ROOM_LEFT) {
        return refused(format!(
            "{} has {} free; the copy can take {}, and {} must stay free.",
            place.volid.storage(),
            size(room.free),
            size(bytes),
            size(ROOM_LEFT)
        ));
    }
    let seen = Doomed { place: place.clone(), bytes: file.bytes, created_s: file.created_s };
    Planned::Ready(Draft {
        name: place.volid.file().to_owned(),
        target: format!("{place} ({cluster})"),
        effects: vec![
            format!("Make {target} from it with qemu-img on {}, over the node shell.", place.node),
            format!("{} stays as it is.", place.volid),
        ],
        changes: vec![Change {
            what: "Form".into(),
            before: from.as_str().into(),
            after: format!("{}, as {}", to.as_str(), target.volid),
        }],
        warnings: vec![
            "Once begun it cannot be stopped from here: the node carries it to its end.".into(),
        ],
        fingerprint: hash(&json!([cluster, seen, to])),
        steps: vec![StepKind::Image(Box::new(ImageStep::ConvertFile { seen, from, target, to }))],
        digest: String::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(volid: &str) -> Place {
        Place { node: "pve1".parse().unwrap(), shared: false, volid: volid.parse().unwrap() }
    }

    fn live() -> LiveFile {
        LiveFile {
            file: Some(LiveVolume { bytes: 5 << 20, created_s: 7 }),
            guest_bytes: Some(2 << 30),
            taken: false,
            room: Some(Room { active: true, holds: true, free: 4 << 30 }),
            shell: Ok(()),
            others: vec!["local:import/debian.raw".into()],
        }
    }

    fn plan(volid: &str, to: DiskFormat, live: &LiveFile) -> Planned {
        plan_file(&"lab".parse().unwrap(), &at(volid), to, live)
    }

    #[test]
    fn a_file_becomes_another_beside_it() {
        let Planned::Ready(draft) = plan("local:import/a.qcow2", DiskFormat::Raw, &live()) else {
            panic!("it can be done")
        };
        assert!(draft.effects[0].contains("local:import/a.raw on pve1"), "{:?}", draft.effects);
        assert_eq!(draft.steps.len(), 1);
    }

    #[test]
    fn what_cannot_be_converted_says_why() {
        let refused = |volid: &str, to, live: &LiveFile| match plan(volid, to, live) {
            Planned::Refused { why } => why,
            other => panic!("{other:?}"),
        };
        let qcow2 = "local:import/a.qcow2";
        let gone = LiveFile { file: None, ..live() };
        let why = refused("local:import/debain.qcow2", DiskFormat::Raw, &gone);
        assert!(why.contains("It has: local:import/debian.raw"), "{why}");
        let none = LiveFile { shell: Err("the node shell is not set up".into()), ..live() };
        assert!(refused(qcow2, DiskFormat::Raw, &none).contains("not set up"));
        let taken = LiveFile { taken: true, ..live() };
        assert!(refused(qcow2, DiskFormat::Raw, &taken).contains("never overwritten"));
        let full =
            LiveFile { room: Some(Room { free: 1 << 30, ..live().room.unwrap() }), ..live() };
        assert!(refused(qcow2, DiskFormat::Raw, &full).contains("can take 2.0 GiB"));
        assert!(refused("local:import/a.ova", DiskFormat::Raw, &live()).contains("no disk image"));
        assert!(refused("local:iso/a.img", DiskFormat::Raw, &live()).contains("no disk image"));
        let same = plan(qcow2, DiskFormat::Qcow2, &live());
        assert!(matches!(same, Planned::Nothing { .. }), "{same:?}");
    }
}
