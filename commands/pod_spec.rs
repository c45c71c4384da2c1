//! `/pod apply`, `/pod spec`, `/pod update`: a pod's specification in, out, and its limits.

use std::sync::Arc;

use gantry_core::action::Verb;
use gantry_core::document::Format;
use gantry_core::pod::PodFile;
use gantry_core::policy::{Ruling, Target};
use gantry_engine::{Ask, Limits};
use serenity::all::Attachment;

use crate::act::{self, Door, Named};
use crate::attachment;
use crate::card::{self, Card, File, Tone, text};
use crate::cluster::choose;
use crate::complete;
use crate::face::{Context, FaceError};
use crate::line;
use crate::visit::{Go, Visit, said, serve};

/// Where somebody finds a right file.
const NEXT: &str =
    "Send a specification as .toml or .yaml; `/pod spec` shows one of a pod that is there.";

/// How a specification is written.
#[derive(Debug, Clone, Copy, poise::ChoiceParameter)]
pub enum Kind {
    /// TOML.
    #[name = "TOML"]
    Toml,
    /// YAML.
    #[name = "YAML"]
    Yaml,
}

/// Create a pod from a file, or make it what the file says; says what differs first
#[poise::command(slash_command, guild_only)]
pub async fn apply(
    ctx: Context<'_>,
    #[description = "A specification: .toml or .yaml, at most 64 KiB"] file: Attachment,
    #[description = "Restart it where a change needs that (yes)"] restart: Option<bool>,
    #[description = "In which cluster, where the file does not say"]
    #[autocomplete = "complete::cluster"]
    cluster: Option<String>,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        let (apply, create) =
            (visit.may(Verb::PodApply, Target::Any), visit.may(Verb::PodCreate, Target::Any));
        if let (Ruling::Denied { because }, Ruling::Denied { .. }) = (apply, create) {
            return visit.refuse(Verb::PodApply, &file.filename, &because).await;
        }
        if visit.begin(true, true).await? == Go::Stop {
            return Ok(());
        }
        let (format, text) = attachment::read(&visit, &file, NEXT).await?;
        let read = match PodFile::read(&text, format) {
            Ok(read) => read,
            Err(problems) => {
                return visit.say(&card::file_problems(&file.filename, &problems)).await;
            }
        };
        let named = cluster.as_deref().or(read.cluster.as_ref().map(|c| c.as_str()));
        let cluster = choose(&visit, named)?;
        let name = read.spec.name.clone();
        let ask =
            Ask::Apply { cluster, spec: Box::new(read.spec), restart: restart.unwrap_or(true) };
        act::carried(&visit, Verb::PodApply, &name, None, ask, false).await
    })
    .await
}

/// A pod's specification as a file, ready for `/pod apply`
#[poise::command(slash_command, guild_only)]
pub async fn spec(
    ctx: Context<'_>,
    #[description = "Name, number, or cluster/number"]
    #[autocomplete = "complete::guest"]
    #[max_length = 300]
    pod: String,
    #[description = "How it is written (TOML)"] format: Option<Kind>,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| show_spec(&visit, &pod, format.unwrap_or(Kind::Toml)).await).await
}

async fn show_spec(visit: &Arc<Visit>, pod: &str, kind: Kind) -> Result<(), FaceError> {
    let verb = Verb::PodSpec;
    if let Ruling::Denied { because } = visit.may(verb, Target::Any) {
        return visit.refuse(verb, pod, &because).await;
    }
    let guest = match act::find(visit, verb, pod) {
        Named::One(guest) => guest,
        Named::Several(guests) => {
            let names: Vec<String> = guests.iter().map(|g| g.address().to_string()).collect();
            let why = format!("Several answer to it: {}", names.join(", "));
            return visit.say(&card::note(Tone::Question, "Which one?", &why)).await;
        }
        Named::None(similar) => return visit.say(&act::unknown(visit, verb, pod, &similar)).await,
    };
    if let Ruling::Denied { because } = visit.may(verb, Target::Guest(&guest)) {
        return visit.refuse(verb, &gantry_core::plan::describe(&guest), &because).await;
    }
    if visit.begin(true, false).await? == Go::Stop {
        return Ok(());
    }
    let (format, suffix) = match kind {
        Kind::Toml => (Format::Toml, Format::Toml.suffix()),
        Kind::Yaml => (Format::Yaml, Format::Yaml.suffix()),
    };
    let found = match guest.is_pod() {
        true => visit.face.engine().applied_spec(&guest.address()).await?,
        false => None,
    };
    let Some(spec) = found else {
        let why = "Neither gantry's store nor its notes hold a specification";
        let title = line!["✗ No specification of ", text(&guest.name)];
        return visit.say(&card::note(Tone::Bad, title, why)).await;
    };
    let written = PodFile { cluster: Some(guest.cluster.clone()), spec }.write(format);
    let written = written.map_err(|why| {
        said("Could not write the specification", &why, "Try the other format.", &visit.reference())
    })?;
    let mut card = Card::new(Tone::Plain, line!["Specification of ", text(&guest.name)]).say(
        "As it was applied last. Change it and send it back with `/pod apply`: what differs is shown before anything is done.",
    );
    card.files.push(File { name: format!("{}.{suffix}", guest.name), text: written });
    visit.say(&card).await
}

/// Give a pod more or less: cores, memory and swap at once, a larger disk
#[poise::command(slash_command, guild_only)]
pub async fn update(
    ctx: Context<'_>,
    #[description = "Name, number, or cluster/number"]
    #[autocomplete = "complete::guest"]
    #[max_length = 300]
    pod: String,
    #[description = "CPU cores"]
    #[min = 1]
    #[max = 8192]
    cores: Option<u32>,
    #[description = "Memory in MiB"]
    #[min = 16]
    #[max = 16_777_216]
    memory: Option<u32>,
    #[description = "Swap in MiB"]
    #[min = 0]
    #[max = 16_777_216]
    swap: Option<u32>,
    #[description = "Root disk in GiB; a disk only ever grows"]
    #[min = 1]
    #[max = 65_536]
    disk: Option<u32>,
) -> Result<(), FaceError> {
    serve(ctx, async |visit| {
        let verb = Verb::PodUpdate;
        let Door::Open(guest) = act::door(&visit, verb, &pod).await? else { return Ok(()) };
        let limits = Limits {
            cores,
            memory_mib: memory.map(u64::from),
            swap_mib: swap.map(u64::from),
            disk_gib: disk.map(u64::from),
        };
        let ask = Ask::Update { who: pod.clone(), limits };
        act::carry(&visit, verb, &pod, None, ask, guest.is_some()).await
    })
    .await
}
