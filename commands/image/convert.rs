//! `/image convert`: a guest into a template, a guest's disk elsewhere or into another form, a file into another form.

use gantry_core::action::Verb;
use gantry_core::id::{ClusterId, GuestKind, NodeName, StorageId};
use gantry_core::image::{DiskFormat, ImageRef};
use gantry_core::policy::{Ruling, Target};
use gantry_engine::{Ask, ImageAsk};

use super::{IMAGES, ask, complete, denied, named, place, storage_id};
use crate::act::{self, Named};
use crate::card;
use crate::face::{Context, FaceError};
use crate::visit::{Visit, said, serve};

/// What something can be turned into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, poise::ChoiceParameter)]
pub enum Form {
    /// A guest that others are cloned from.
    #[name = "template"]
    Template,
    /// A disk, byte for byte.
    #[name = "raw"]
    Raw,
    /// A disk in QEMU's own form.
    #[name = "qcow2"]
    Qcow2,
}

impl Form {
    /// The form of a disk it stands for; a template is none.
    fn disk(self) -> Option<DiskFormat> {
        match self {
            Self::Raw => Some(DiskFormat::Raw),
            Self::Qcow2 => Some(DiskFormat::Qcow2),
            Self::Template => None,
        }
    }
}

/// What is done to a guest.
struct OfGuest {
    to: Option<Form>,
    storage: Option<StorageId>,
    disk: Option<String>,
    delete_original: bool,
}

/// Turn a guest into a template, or a disk or disk image into another form
#[poise::command(slash_command, guild_only)]
#[expect(clippy::too_many_arguments, reason = "a slash command's options are its arguments")]
pub(super) async fn convert(
    ctx: Context<'_>,
    #[description = "Whose disk, or which guest"]
    #[autocomplete = "crate::complete::guest"]
    #[max_length = 300]
    guest: Option<String>,
    #[description = "Or a disk image on a storage: local:import/file.qcow2"]
    #[autocomplete = "complete::held"]
    #[max_length = 1000]
    image: Option<String>,
    #[description = "Into what; left out: only another storage"] to: Option<Form>,
    #[description = "Onto which storage; its kind decides the form of a container's disk"]
    #[autocomplete = "complete::disk_storage"]
    storage: Option<String>,
    #[description = "Which disk; left out: rootfs of a container, scsi0 of a machine"]
    #[max_length = 20]
    disk: Option<String>,
    #[description = "Delete the old disk afterwards; left out: it stays as an unused disk"]
    delete_original: Option<bool>,
    #[description = "On which node the image is, where several have one of that name"]
    #[autocomplete = "crate::complete::node"]
    node: Option<String>,
    #[description = "In which cluster the image is; may be left out when there is only one"]
    #[autocomplete = "crate::complete::cluster"]
    cluster: Option<String>,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        let verb = Verb::ImageConvert;
        if let Some(because) = denied(&visit, verb) {
            return visit.refuse(verb, IMAGES, &because).await;
        }
        match (&guest, &image) {
            (Some(guest), None) => {
                let storage = storage_id(&visit, storage.as_deref())?;
                let delete_original = delete_original.unwrap_or(false);
                of_guest(&visit, guest, OfGuest { to, storage, disk, delete_original }).await
            }
            (None, Some(image)) => {
                let at = place(&visit, cluster.as_deref(), node.as_deref())?;
                of_file(&visit, image, at, to).await
            }
            _ => Err(said(
                "Which one?",
                "Give either guest or image. Nothing was done",
                "docs/images.md says which conversions there are.",
                &visit.reference(),
            )),
        }
    })
    .await
}

async fn of_guest(visit: &Visit, guest: &str, what: OfGuest) -> Result<(), FaceError> {
    let verb = Verb::ImageConvert;
    let found = match act::find(visit, verb, guest) {
        Named::One(found) => found,
        Named::Several(_) => {
            let why = "Several guests answer to that. Write cluster/number";
            let title = crate::press::titled("✗ Which ", guest);
            return visit.say(&card::note(card::Tone::Bad, title, why)).await;
        }
        Named::None(similar) => {
            return visit.say(&act::unknown(visit, verb, guest, &similar)).await;
        }
    };
    if let Ruling::Denied { because } = visit.may(verb, Target::Guest(&found)) {
        return visit.refuse(verb, &gantry_core::plan::describe(&found), &because).await;
    }
    let (guest, kind) = (found.address(), found.kind);
    let want = match (what.to, what.storage) {
        (Some(Form::Template), _) => ImageAsk::Template { guest, kind },
        (None, None) => {
            return Err(said(
                "Into what?",
                "Neither a form nor a storage is given. Nothing was done",
                "Give to:template, to:qcow2, or a storage. docs/images.md says which conversions there are.",
                &visit.reference(),
            ));
        }
        (to, storage) => ImageAsk::Move {
            guest,
            kind,
            disk: what.disk.unwrap_or_else(|| {
                if kind == GuestKind::Lxc { "rootfs" } else { "scsi0" }.to_owned()
            }),
            storage,
            format: to.and_then(Form::disk),
            delete_original: what.delete_original,
        },
    };
    act::carry(visit, verb, &found.name, None, Ask::Image(want), true).await
}

async fn of_file(
    visit: &Visit,
    image: &str,
    (cluster, node): (ClusterId, Option<NodeName>),
    to: Option<Form>,
) -> Result<(), FaceError> {
    let wrong =
        |why: &str, next: &str| said("That cannot be converted", why, next, &visit.reference());
    let (image, node) = named(visit, image, node)?;
    let ImageRef::Volume(volid) = image else {
        return Err(wrong(
            &format!("{image} says where an image comes from, not where it lies. Nothing was done"),
            "Choose one from the list, such as local:import/file.qcow2.",
        ));
    };
    let Some(to) = to.and_then(Form::disk) else {
        return Err(wrong(
            "A disk image becomes raw or qcow2. Nothing was done",
            "Give to:raw or to:qcow2.",
        ));
    };
    let shown = volid.to_string();
    let want = ImageAsk::ConvertFile { cluster: cluster.clone(), volid, node, to };
    ask(visit, Verb::ImageConvert, &cluster, &shown, want).await
}
