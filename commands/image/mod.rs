//! `/image …`: what guests are made from: templates, OCI images, ISO and disk images.

mod complete;
mod convert;
pub(crate) mod show;

use gantry_core::action::Verb;
use gantry_core::id::{ClusterId, NodeName, StorageId};
use gantry_core::image::{Attachment, BadImage, Checksum, Content, ImageRef, PruneFilter};
use gantry_core::policy::{Ruling, Target};
use gantry_engine::{Ask, ImageAsk, ImageFilter};

use crate::act;
use crate::cluster::choose;
use crate::face::{Context, FaceError};
use crate::screen::View;
use crate::visit::{Visit, said, serve};

/// Days an image must be unused before pruning takes it, where nobody says.
const PRUNE_DAYS: u32 = 30;

/// Images: what guests are made from
#[poise::command(
    slash_command,
    guild_only,
    subcommands(
        "list",
        "show",
        "pull",
        "prepare",
        "convert::convert",
        "cache",
        "used_by",
        "prune",
        "delete"
    ),
    subcommand_required
)]
pub async fn image(_: Context<'_>) -> Result<(), FaceError> {
    Ok(())
}

/// Kinds a list can be narrowed to.
#[derive(Debug, Clone, Copy, poise::ChoiceParameter)]
pub enum Kind {
    /// Templates and OCI images.
    #[name = "container template"]
    Template,
    /// ISO images.
    #[name = "ISO image"]
    Iso,
    /// Disk images.
    #[name = "disk image"]
    Disk,
}

impl From<Kind> for Content {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Template => Self::Vztmpl,
            Kind::Iso => Self::Iso,
            Kind::Disk => Self::Import,
        }
    }
}

/// A storage as somebody typed it.
fn storage_id(visit: &Visit, text: Option<&str>) -> Result<Option<StorageId>, FaceError> {
    text.map(|t| t.trim().parse().map_err(|e: gantry_core::id::BadId| wrong(visit, &e.to_string())))
        .transpose()
}

fn wrong(visit: &Visit, why: &str) -> FaceError {
    said(
        "Cannot read that",
        &format!("{why}. Nothing was done"),
        "Correct it and run the command again.",
        &visit.reference(),
    )
}

/// What a refusal is about before what was typed is read: an address may be signed.
const IMAGES: &str = "images";

/// Why the asker may do that nowhere: said before anything about what was typed.
fn denied(visit: &Visit, verb: Verb) -> Option<String> {
    match visit.may(verb, Target::Any) {
        Ruling::Denied { because } => Some(because),
        Ruling::Allowed { .. } => None,
    }
}

/// The cluster, and the node where one is named.
fn place(
    visit: &Visit,
    cluster: Option<&str>,
    node: Option<&str>,
) -> Result<(ClusterId, Option<NodeName>), FaceError> {
    match node {
        None => choose(visit, cluster).map(|cluster| (cluster, None)),
        Some(node) => {
            let only = cluster.map(|c| choose(visit, Some(c))).transpose()?;
            let (cluster, node) = crate::node::find(visit, node, only.as_ref())?;
            Ok((cluster, Some(node)))
        }
    }
}

/// Reads `image`; `pve1/local:iso/x.iso` names a node as well.
fn named(
    visit: &Visit,
    text: &str,
    node: Option<NodeName>,
) -> Result<(ImageRef, Option<NodeName>), FaceError> {
    let text = text.trim();
    if let Some((before, rest)) = text.split_once('/')
        && let (Ok(at), Ok(ImageRef::Volume(volid))) = (before.parse::<NodeName>(), rest.parse())
    {
        return Ok((ImageRef::Volume(volid), Some(node.unwrap_or(at))));
    }
    Ok((text.parse().map_err(|e| bad(visit, &e))?, node))
}

fn bad(visit: &Visit, why: &BadImage) -> FaceError {
    wrong(visit, &why.to_string())
}

/// A checksum as somebody typed it.
fn sum(visit: &Visit, text: Option<&str>) -> Result<Option<Checksum>, FaceError> {
    text.map(str::parse).transpose().map_err(|e| bad(visit, &e))
}

/// A source as people read it: without what may be signed.
fn source(image: &ImageRef) -> String {
    match image {
        ImageRef::Url(url) => url.shown(),
        other => other.to_string(),
    }
}

/// Images on the storages you may see
#[poise::command(slash_command, guild_only)]
async fn list(
    ctx: Context<'_>,
    #[description = "Only as this node sees them"]
    #[autocomplete = "crate::complete::node"]
    node: Option<String>,
    #[description = "Only on this storage"]
    #[autocomplete = "complete::storage"]
    storage: Option<String>,
    #[description = "Only of this kind"] kind: Option<Kind>,
    #[description = "Of which cluster; may be left out when there is only one"]
    #[autocomplete = "crate::complete::cluster"]
    cluster: Option<String>,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        let (cluster, node) = place(&visit, cluster.as_deref(), node.as_deref())?;
        let storage = storage_id(&visit, storage.as_deref())?;
        let filter =
            ImageFilter { node, storage, content: kind.map(Content::from), fetched: false };
        crate::show::open(&visit, View::Images { cluster, filter, page: 0 }).await
    })
    .await
}

/// One image, read just now: where it is, who uses it, what can be had
#[poise::command(slash_command, guild_only)]
async fn show(
    ctx: Context<'_>,
    #[description = "A template, name:tag, an address, or storage:vztmpl/file"]
    #[autocomplete = "complete::offered"]
    #[max_length = 1000]
    image: String,
    #[description = "As this node sees it"]
    #[autocomplete = "crate::complete::node"]
    node: Option<String>,
    #[description = "Take its checksum now, over the node shell; large files take minutes"]
    checksum: Option<bool>,
    #[description = "Of which cluster; may be left out when there is only one"]
    #[autocomplete = "crate::complete::cluster"]
    cluster: Option<String>,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        let (cluster, node) = place(&visit, cluster.as_deref(), node.as_deref())?;
        let (image, node) = named(&visit, &image, node)?;
        let sum = checksum.unwrap_or(false);
        crate::show::open(&visit, View::Image { cluster, image, node, users: false, sum }).await
    })
    .await
}

/// Who uses an image
#[poise::command(slash_command, guild_only, rename = "used-by")]
async fn used_by(
    ctx: Context<'_>,
    #[description = "Which image"]
    #[autocomplete = "complete::held"]
    #[max_length = 1000]
    image: String,
    #[description = "On which node, where several have one of that name"]
    #[autocomplete = "crate::complete::node"]
    node: Option<String>,
    #[description = "Of which cluster; may be left out when there is only one"]
    #[autocomplete = "crate::complete::cluster"]
    cluster: Option<String>,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        let (cluster, node) = place(&visit, cluster.as_deref(), node.as_deref())?;
        let (image, node) = named(&visit, &image, node)?;
        crate::show::open(&visit, View::Image { cluster, image, node, users: true, sum: false })
            .await
    })
    .await
}

/// What gantry fetched, and what it takes
#[poise::command(slash_command, guild_only)]
async fn cache(
    ctx: Context<'_>,
    #[description = "Only on this storage"]
    #[autocomplete = "complete::storage"]
    storage: Option<String>,
    #[description = "Of which cluster; may be left out when there is only one"]
    #[autocomplete = "crate::complete::cluster"]
    cluster: Option<String>,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        let cluster = choose(&visit, cluster.as_deref())?;
        let storage = storage_id(&visit, storage.as_deref())?;
        let filter = ImageFilter { storage, fetched: true, ..ImageFilter::default() };
        crate::show::open(&visit, View::Images { cluster, filter, page: 0 }).await
    })
    .await
}

/// Asks policy from memory, then the engine; the plan is for the whole channel.
async fn ask(
    visit: &Visit,
    verb: Verb,
    cluster: &ClusterId,
    shown: &str,
    ask: ImageAsk,
) -> Result<(), FaceError> {
    if let Ruling::Denied { because } = visit.may(verb, Target::Within(cluster)) {
        return visit.refuse(verb, shown, &because).await;
    }
    act::carry(visit, verb, shown, None, Ask::Image(ask), true).await
}

/// Fetch an image onto a storage
#[poise::command(slash_command, guild_only)]
async fn pull(
    ctx: Context<'_>,
    #[description = "A template, name:tag of a registry, or an https:// address"]
    #[autocomplete = "complete::offered"]
    #[max_length = 1000]
    image: Option<String>,
    #[description = "Or a file of yours, up to 500 MiB"] file: Option<serenity::all::Attachment>,
    #[description = "The node that fetches it"]
    #[autocomplete = "crate::complete::node"]
    node: Option<String>,
    #[description = "Onto which storage; left out: the shared one, or the one with most room"]
    #[autocomplete = "complete::storage"]
    storage: Option<String>,
    #[description = "sha256 or sha512 of the file; needed for addresses"]
    #[max_length = 140]
    checksum: Option<String>,
    #[description = "In which cluster; may be left out when there is only one"]
    #[autocomplete = "crate::complete::cluster"]
    cluster: Option<String>,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        if let Some(because) = denied(&visit, Verb::ImagePull) {
            return visit.refuse(Verb::ImagePull, IMAGES, &because).await;
        }
        let (cluster, node) = place(&visit, cluster.as_deref(), node.as_deref())?;
        let storage = storage_id(&visit, storage.as_deref())?;
        let checksum = sum(&visit, checksum.as_deref())?;
        let verb = Verb::ImagePull;
        let (shown, want) = match (&image, &file) {
            (Some(image), None) => {
                let (image, node) = named(&visit, image, node)?;
                if let ImageRef::Volume(volid) = &image {
                    return Err(said(
                        "That is a place, not a source",
                        &format!("{volid} says where an image lies, not where it comes from. Nothing was done"),
                        "Name a template, name:tag or an address; `/image prepare` brings a known image to another node.",
                        &visit.reference(),
                    ));
                }
                let shown = source(&image);
                (shown, ImageAsk::Fetch { verb, cluster: cluster.clone(), image, node, storage, checksum })
            }
            (None, Some(file)) => {
                let file = Attachment::new(&file.url, &file.filename, u64::from(file.size))
                    .map_err(|e| bad(&visit, &e))?;
                let shown = format!("attachment {}", file.file());
                (shown, ImageAsk::Upload { cluster: cluster.clone(), file, node, storage, checksum })
            }
            _ => {
                return Err(said(
                    "Which image?",
                    "Give either image or file. Nothing was done",
                    "`/image list` shows what there is; `/help` has an example.",
                    &visit.reference(),
                ));
            }
        };
        ask(&visit, verb, &cluster, &shown, want).await
    })
    .await
}

/// Have an image where it is needed; does nothing where it is there
#[poise::command(slash_command, guild_only)]
async fn prepare(
    ctx: Context<'_>,
    #[description = "A template, name:tag, or an image that is on another node"]
    #[autocomplete = "complete::offered"]
    #[max_length = 1000]
    image: String,
    #[description = "On which node; left out: on all that are up"]
    #[autocomplete = "crate::complete::node"]
    node: Option<String>,
    #[description = "On which storage; left out: the shared one, or the one with most room"]
    #[autocomplete = "complete::storage"]
    storage: Option<String>,
    #[description = "sha256 or sha512 of the file; needed for addresses"]
    #[max_length = 140]
    checksum: Option<String>,
    #[description = "In which cluster; may be left out when there is only one"]
    #[autocomplete = "crate::complete::cluster"]
    cluster: Option<String>,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        if let Some(because) = denied(&visit, Verb::ImagePrepare) {
            return visit.refuse(Verb::ImagePrepare, IMAGES, &because).await;
        }
        let (cluster, node) = place(&visit, cluster.as_deref(), node.as_deref())?;
        let storage = storage_id(&visit, storage.as_deref())?;
        let checksum = sum(&visit, checksum.as_deref())?;
        // A node before a volume says where it is; where it shall be, the option says.
        let (image, _) = named(&visit, &image, None)?;
        let (verb, shown) = (Verb::ImagePrepare, source(&image));
        let at = cluster.clone();
        let want = ImageAsk::Fetch { verb, cluster: at, image, node, storage, checksum };
        ask(&visit, verb, &cluster, &shown, want).await
    })
    .await
}

/// Delete images that gantry fetched and nothing uses
#[poise::command(slash_command, guild_only)]
async fn prune(
    ctx: Context<'_>,
    #[description = "Unused for at least so many days (30)"]
    #[min = 0]
    #[max = 3650]
    days: Option<u32>,
    #[description = "Only on this node, and on shared storages"]
    #[autocomplete = "crate::complete::node"]
    node: Option<String>,
    #[description = "Only on this storage"]
    #[autocomplete = "complete::storage"]
    storage: Option<String>,
    #[description = "In which cluster; may be left out when there is only one"]
    #[autocomplete = "crate::complete::cluster"]
    cluster: Option<String>,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        if let Some(because) = denied(&visit, Verb::ImagePrune) {
            return visit.refuse(Verb::ImagePrune, IMAGES, &because).await;
        }
        let (cluster, node) = place(&visit, cluster.as_deref(), node.as_deref())?;
        let storage = storage_id(&visit, storage.as_deref())?;
        let filter = PruneFilter { node, storage, days: days.unwrap_or(PRUNE_DAYS) };
        let want = ImageAsk::Prune { cluster: cluster.clone(), filter };
        ask(&visit, Verb::ImagePrune, &cluster, "unused images", want).await
    })
    .await
}

/// Delete an image that nothing uses
#[poise::command(slash_command, guild_only)]
async fn delete(
    ctx: Context<'_>,
    #[description = "Which image"]
    #[autocomplete = "complete::held"]
    #[max_length = 1000]
    image: String,
    #[description = "On which node, where several have one of that name"]
    #[autocomplete = "crate::complete::node"]
    node: Option<String>,
    #[description = "In which cluster; may be left out when there is only one"]
    #[autocomplete = "crate::complete::cluster"]
    cluster: Option<String>,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        if let Some(because) = denied(&visit, Verb::ImageDelete) {
            return visit.refuse(Verb::ImageDelete, IMAGES, &because).await;
        }
        let (cluster, node) = place(&visit, cluster.as_deref(), node.as_deref())?;
        let (image, node) = named(&visit, &image, node)?;
        let ImageRef::Volume(volid) = image else {
            return Err(said(
                "Which file?",
                &format!(
                    "{image} says where an image comes from, not where it lies. Nothing was done"
                ),
                "Choose one from the list, such as local:vztmpl/file.",
                &visit.reference(),
            ));
        };
        let shown = volid.to_string();
        let want = ImageAsk::Delete { cluster: cluster.clone(), volid, node };
        ask(&visit, Verb::ImageDelete, &cluster, &shown, want).await
    })
    .await
}
