//! `/pod …`: containers that gantry owns.

use gantry_core::action::Verb;
use gantry_core::id::StorageId;
use gantry_core::pod::{Network, PodSpec, PodTemplate, Root};
use gantry_core::policy::{Ruling, Target};
use gantry_core::world::GuestStatus;

use crate::act;
use crate::cluster::{choose, filter};
use crate::complete;
use crate::face::{Context, FaceError};
use crate::form;
use crate::guest::{State, on};
use crate::screen::{GuestFilter, View};
use crate::show;
use crate::visit::{Visit, said, serve};

/// CPU cores where nobody says.
const CORES: u32 = 1;
/// Memory where nobody says, MiB.
const MEMORY_MIB: u64 = 512;
/// Root disk where nobody says, GiB.
const DISK_GIB: u64 = 8;
/// Bridge where nobody says: the one Proxmox's installer makes.
const BRIDGE: &str = "vmbr0";

/// Pods: containers that gantry owns
#[poise::command(
    slash_command,
    guild_only,
    subcommands(
        "create",
        "crate::pod_spec::apply",
        "crate::pod_spec::spec",
        "crate::pod_spec::update",
        "list",
        "show",
        "start",
        "stop",
        "kill",
        "restart",
        "delete"
    ),
    subcommand_required
)]
pub async fn pod(_: Context<'_>) -> Result<(), FaceError> {
    Ok(())
}

/// Create a pod; a form asks for network, tags, keys and note
#[poise::command(slash_command, guild_only)]
#[expect(clippy::too_many_arguments, reason = "a slash command's options are its arguments")]
async fn create(
    ctx: Context<'_>,
    #[description = "Its name: a-z, 0-9 and -"]
    #[max_length = 63]
    name: String,
    #[description = "The image it is made from"]
    #[autocomplete = "complete::image"]
    #[max_length = 255]
    image: String,
    #[description = "On which node; left out: one is chosen, and the plan says why"]
    #[autocomplete = "complete::node"]
    node: Option<String>,
    #[description = "CPU cores (1)"]
    #[min = 1]
    #[max = 8192]
    cores: Option<u32>,
    #[description = "Memory in MiB (512)"]
    #[min = 16]
    #[max = 16_777_216]
    memory: Option<u32>,
    #[description = "Root disk in GiB (8)"]
    #[min = 1]
    #[max = 65_536]
    disk: Option<u32>,
    #[description = "Storage of the root disk; left out: the one with the most room"]
    #[autocomplete = "complete::storage"]
    storage: Option<String>,
    #[description = "Bridge of its network card (vmbr0)"]
    #[autocomplete = "complete::bridge"]
    #[max_length = 15]
    bridge: Option<String>,
    #[description = "Start it once created (yes)"] start: Option<bool>,
    #[description = "In which cluster; may be left out when there is only one"]
    #[autocomplete = "complete::cluster"]
    cluster: Option<String>,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        // Before anything is said about nodes and storages: who may create nothing learns nothing of them.
        if let Ruling::Denied { because } = crate::press::may_create(&visit) {
            return visit.refuse(Verb::PodCreate, &name, &because).await;
        }
        let cluster = choose(&visit, cluster.as_deref())?;
        let within = visit.may(Verb::PodCreate, Target::Within(&cluster));
        if let Ruling::Denied { because } = within {
            return visit.refuse(Verb::PodCreate, &name, &because).await;
        }
        let node = match node.as_deref() {
            Some(asked) => Some(crate::node::find(&visit, asked, Some(&cluster))?.1),
            None => None,
        };
        let storage = match storage.as_deref() {
            Some(asked) => Some(storage_of(&visit, asked)?),
            None => None,
        };
        let spec = PodSpec {
            name: name.trim().to_owned(),
            node,
            template: PodTemplate {
                image: image.trim().to_owned(),
                cores: cores.unwrap_or(CORES),
                memory_mib: memory.map_or(MEMORY_MIB, u64::from),
                root: Root { storage, size_gib: disk.map_or(DISK_GIB, u64::from) },
                networks: vec![Network::dhcp(bridge.unwrap_or_else(|| BRIDGE.to_owned()))],
                start: start.unwrap_or(true),
                ..PodTemplate::default()
            },
        };
        // What the form cannot mend is told before anything is typed into it.
        let problems: Vec<String> =
            spec.problems().iter().map(|p| format!("{}: {}", p.field, p.why)).collect();
        if !problems.is_empty() {
            return Err(said(
                "Nothing was created",
                &problems.join("; "),
                "Run the command again with that corrected.",
                &visit.reference(),
            ));
        }
        form::open_pod(&visit, cluster, spec).await
    })
    .await
}

fn storage_of(visit: &Visit, asked: &str) -> Result<StorageId, FaceError> {
    asked.trim().parse().map_err(|error: gantry_core::id::BadId| {
        said(
            "No such storage",
            &format!("{error}. Nothing was created"),
            "Choose one from the list.",
            &visit.reference(),
        )
    })
}

/// All pods you may see
#[poise::command(slash_command, guild_only)]
async fn list(
    ctx: Context<'_>,
    #[description = "Only in this state"] state: Option<State>,
    #[description = "Only with this in the name, or with this number"]
    #[max_length = 100]
    name: Option<String>,
    #[description = "Only in this cluster"]
    #[autocomplete = "complete::cluster"]
    cluster: Option<String>,
    #[description = "Begin on this page"]
    #[min = 1]
    #[max = 100_000]
    page: Option<u32>,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        let cluster = filter(&visit, cluster.as_deref())?;
        let filter = GuestFilter {
            pods: true,
            cluster,
            state: state.map(GuestStatus::from),
            text: name,
            ..GuestFilter::default()
        };
        let page = u64::from(page.unwrap_or(1).saturating_sub(1));
        show::open(&visit, View::Guests { filter, page }).await
    })
    .await
}

/// One pod, read just now
#[poise::command(slash_command, guild_only)]
async fn show(
    ctx: Context<'_>,
    #[description = "Name, number, or cluster/number"]
    #[autocomplete = "complete::guest"]
    #[max_length = 300]
    pod: String,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| act::show_guest(&visit, &pod, true).await).await
}

/// Start a pod
#[poise::command(slash_command, guild_only)]
async fn start(
    ctx: Context<'_>,
    #[description = "Name, number, or cluster/number"]
    #[autocomplete = "complete::guest"]
    #[max_length = 300]
    pod: String,
) -> Result<(), FaceError> {
    on(ctx, Verb::PodStart, pod, None).await
}

/// Shut a pod down; never pulls the plug
#[poise::command(slash_command, guild_only)]
async fn stop(
    ctx: Context<'_>,
    #[description = "Name, number, or cluster/number"]
    #[autocomplete = "complete::guest"]
    #[max_length = 300]
    pod: String,
    #[description = "Seconds it may take; if it stays on after that, nothing is forced"]
    #[min = 5]
    #[max = 1200]
    timeout: Option<u32>,
) -> Result<(), FaceError> {
    on(ctx, Verb::PodStop, pod, timeout).await
}

/// Pull a pod's plug: ends at once, unsaved data is lost
#[poise::command(slash_command, guild_only)]
async fn kill(
    ctx: Context<'_>,
    #[description = "Name, number, or cluster/number"]
    #[autocomplete = "complete::guest"]
    #[max_length = 300]
    pod: String,
) -> Result<(), FaceError> {
    on(ctx, Verb::PodKill, pod, None).await
}

/// Restart a pod
#[poise::command(slash_command, guild_only)]
async fn restart(
    ctx: Context<'_>,
    #[description = "Name, number, or cluster/number"]
    #[autocomplete = "complete::guest"]
    #[max_length = 300]
    pod: String,
    #[description = "Seconds going down may take"]
    #[min = 5]
    #[max = 1200]
    timeout: Option<u32>,
) -> Result<(), FaceError> {
    on(ctx, Verb::PodRestart, pod, timeout).await
}

/// Delete a pod with its disks
#[poise::command(slash_command, guild_only)]
async fn delete(
    ctx: Context<'_>,
    #[description = "Name, number, or cluster/number"]
    #[autocomplete = "complete::guest"]
    #[max_length = 300]
    pod: String,
    #[description = "Seconds the shutdown before it may take"]
    #[min = 5]
    #[max = 1200]
    timeout: Option<u32>,
) -> Result<(), FaceError> {
    on(ctx, Verb::PodDelete, pod, timeout).await
}
