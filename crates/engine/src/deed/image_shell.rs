//! What is done to images over the node shell: converting a file, copying an OCI image on an older Proxmox.
//!
//! The script on the node writes no file that is there, puts a finished one in its place in one move, and does not begin
//! what is under way already. So a call whose answer was lost may be made again once a look has shown that nothing came
//! of it: while the node is still at work, it says so, and that is waited for.

use std::time::Duration;

use gantry_core::action::Verb;
use gantry_core::id::{ClusterId, NodeName};
use gantry_core::image::{
    DiskFormat, Doomed, ImageStep, LiveFile, Place, Room, converted, format_of,
};
use gantry_core::operation::Operation;
use gantry_core::policy::Actor;
use gantry_nodeshell::{Error as ShellError, Format, Progress};
use gantry_proxmox::{Advice, Freshness};

use super::{Aim, CallFault, Look};
use crate::meter::Meter;
use crate::shell::{Need, Shell, Who};
use crate::{Engine, Error};

/// Pause between two tries while the node is at work on the same file.
const BUSY_PAUSE: Duration = Duration::from_secs(10);
/// Tries of them: as long as the node lets the longest conversion run.
const BUSY_TRIES: u32 = 6 * 360;

fn form(format: DiskFormat) -> Format {
    match format {
        DiskFormat::Raw => Format::Raw,
        DiskFormat::Qcow2 => Format::Qcow2,
    }
}

/// A word of the node shell's own grammar.
fn word<T: std::str::FromStr>(text: &str) -> Result<T, CallFault>
where
    T::Err: std::fmt::Display,
{
    text.parse().map_err(|e: T::Err| CallFault::never_sent(e.to_string()))
}

impl Engine {
    /// A file that shall be converted, as it is now.
    pub(super) async fn look_at_file(
        &self,
        actor: &Actor,
        verb: Verb,
        cluster: &ClusterId,
        place: &Place,
        to: DiskFormat,
    ) -> Result<LiveFile, Error> {
        let node = &place.node;
        let (file, others) = self.find_image_among(cluster, place).await?;
        let taken = converted(place, to).is_some_and(|t| others.contains(&t.volid.to_string()));
        let shell = self.need_shell(cluster, node, Need::Images);
        let mut guest_bytes = None;
        if let (Ok(shell), Some(_), Some(from)) = (&shell, file, format_of(&place.volid))
            && let Ok(volume) = place.volid.to_string().parse()
        {
            let who = Who::Asker(actor, verb, place.volid.file());
            guest_bytes = Some(shell.image(who, volume, form(from)).await?.virtual_size);
        }
        Ok(LiveFile {
            file,
            guest_bytes,
            taken,
            room: self.room_for_image(cluster, place).await?,
            shell: shell.map(|_| ()).map_err(|e| format!("{e}.")),
            others,
        })
    }

    async fn room_for_image(
        &self,
        cluster: &ClusterId,
        place: &Place,
    ) -> Result<Option<Room>, Error> {
        let (node, storage) = (&place.node, place.volid.storage());
        let storages = self
            .client(cluster)?
            .storages(node, Freshness::Fresh)
            .await
            .map_err(Error::proxmox(format!("read the storages of {node}"), cluster))?;
        let content = place.volid.content().as_str();
        Ok(storages.iter().find(|s| s.storage.as_ref() == Some(storage)).map(|s| Room {
            active: s.active,
            holds: s.holds(content),
            free: s.avail.unwrap_or(0),
        }))
    }

    pub(super) async fn look_before_file(
        &self,
        op: &Operation,
        n: usize,
        seen: &Doomed,
        target: &Place,
    ) -> Result<Look, Error> {
        let cluster = op.action.cluster();
        if self.find_image_file(cluster, target).await?.is_some() {
            // Sent before and looked for in vain: it has come since. Else it is somebody else's.
            return Ok(if op.steps[n].attempt > 0 {
                Look::Already("it was made in the meantime".into())
            } else {
                Look::Changed(format!("{target} is there now"))
            });
        }
        let Some(file) = self.find_image_file(cluster, &seen.place).await? else {
            return Ok(Look::Changed(format!("{} is gone", seen.place)));
        };
        if let Some(why) = seen.changed(file, &[]) {
            return Ok(Look::Changed(why));
        }
        Ok(Look::Go(Aim { node: target.node.clone(), vmid: None, seen: Vec::new() }))
    }

    fn image_shell(&self, op: &Operation, node: &NodeName) -> Result<Shell<'_>, CallFault> {
        self.need_shell(op.action.cluster(), node, Need::Images).map_err(CallFault::shell)
    }

    /// Has the node do it; ends when it is done.
    pub(super) async fn call_over_shell(
        &self,
        op: &Operation,
        step: &ImageStep,
        meter: &Meter,
    ) -> Result<(), CallFault> {
        let before = op.current().map_or(0, |(_, s)| s.attempt);
        let mut told = |progress| match progress {
            Progress::Percent(percent) => meter.percent(percent),
            Progress::Note(words) => meter.say(words),
        };
        for tried in 0..BUSY_TRIES {
            let ended = match step {
                ImageStep::Copy(fetch) => {
                    let shell = self.image_shell(op, &fetch.place.node)?;
                    let reference = word(&fetch.source.shown())?;
                    let stem = fetch.place.volid.file().trim_end_matches(".tar");
                    let to = (word(fetch.place.volid.storage().as_str())?, word(stem)?);
                    let copied = shell.copy_image(Who::Step(op), reference, to, &mut told).await;
                    copied.map(|copied| meter.learn(copied.digest))
                }
                ImageStep::ConvertFile { seen, from, target, to } => {
                    let shell = self.image_shell(op, &target.node)?;
                    let from = (word(&seen.place.volid.to_string())?, form(*from));
                    let to = (word(&target.volid.to_string())?, form(*to));
                    shell.convert_image(Who::Step(op), from, to, &mut told).await.map(drop)
                }
                _ => return Err(CallFault::never_sent("that is nothing the node shell does")),
            };
            let error = match ended {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            match &error {
                Error::Shell { source, .. } if matches!(**source, ShellError::Locked { .. }) => {
                    meter.say(format!("{error}. Waiting until that is over."));
                    self.inner.clock.sleep(BUSY_PAUSE).await;
                }
                // What came while this waited, or after an answer that was lost, can be what was asked for.
                Error::Shell { source, .. }
                    if matches!(**source, ShellError::Conflict { .. })
                        && (before > 1 || tried > 0) =>
                {
                    let advice = Advice::Probe;
                    return Err(CallFault { advice, ..CallFault::shell(error) });
                }
                _ => return Err(CallFault::shell(error)),
            }
        }
        Err(CallFault::never_sent("the node was at work on the same file for too long"))
    }
}
