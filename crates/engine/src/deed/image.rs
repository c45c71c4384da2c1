//! Images: fetching them where they are needed, deleting what nothing uses. Steps say everything they need, so any
//! operation can have one.
//!
//! One image is fetched once: before a step, older operations that are at work on the same file are waited for.

use std::collections::BTreeSet;

use gantry_core::action::Verb;
use gantry_core::id::{ClusterId, NodeName, Upid};
use gantry_core::image::{
    Doomed, Fetch, FetchNow, ImageAction, ImageRecord, ImageStep, Place, Source, plan_delete,
    plan_fetch, plan_file, plan_prune,
};
use gantry_core::operation::{Operation, Step, StepKind, StepState};
use gantry_core::plan::{LiveGuest, Planned};
use gantry_core::policy::{Actor, Ruling, Target};
use gantry_proxmox::{DownloadUrl, TaskFilter, Upload};
use gantry_store::OpFilter;

use super::{Aim, CallFault, Look, Planning, Seen, is_new};
use crate::meter::Meter;
use crate::{Engine, Error};

/// Newest tasks of a node, of gantry's own token, that are looked at when one has to be found again.
const TASKS_LOOKED_AT: u64 = 50;
/// Open operations looked at for work on the same image; a page of the store holds no more.
const OPEN_LOOKED_AT: u32 = 1000;
/// Lines at the beginning of a task's log that tell which file it is about.
const HEAD_LINES: u64 = 30;
/// Lines of a pull's log looked through for the digest; layers of large images are some dozens.
const DIGEST_LINES: u64 = 500;

impl Engine {
    /// Policy on images: of the node they lie on, or of the guest they are made from.
    pub(crate) fn image_ruling(&self, actor: &Actor, verb: Verb, action: &ImageAction) -> Ruling {
        let cluster = action.cluster();
        let of_node = |node: &NodeName| self.may(actor, verb, Target::Node(cluster, node));
        match action {
            ImageAction::Fetch { fetches, .. } => {
                let mut last = self.may(actor, verb, Target::Cluster(cluster));
                for fetch in fetches {
                    last = of_node(&fetch.place.node);
                    if !last.is_allowed() {
                        return last;
                    }
                }
                last
            }
            ImageAction::Delete { place, .. } | ImageAction::ConvertFile { place, .. } => {
                of_node(&place.node)
            }
            ImageAction::Prune { filter, .. } => match &filter.node {
                Some(node) => of_node(node),
                None => self.may(actor, verb, Target::Cluster(cluster)),
            },
            ImageAction::MoveDisk { guest, .. } | ImageAction::MakeTemplate { guest, .. } => {
                self.guest_ruling(actor, verb, guest)
            }
        }
    }

    pub(super) async fn plan_image_now(
        &self,
        actor: &Actor,
        verb: Verb,
        action: &ImageAction,
    ) -> Result<Planning, Error> {
        let read_ms = self.now_ms();
        let ruling = self.image_ruling(actor, verb, action);
        let planned = match action {
            ImageAction::Fetch { cluster, fetches } => {
                let mut live = Vec::new();
                for fetch in fetches {
                    live.push(self.look_at_image_place(cluster, fetch).await?);
                }
                plan_fetch(cluster, fetches, &live, &self.inner.settings.images)
            }
            ImageAction::Delete { cluster, place } => {
                plan_delete(cluster, place, &self.look_at_doomed(actor, cluster, place).await?)
            }
            ImageAction::Prune { cluster, filter } => {
                let (unused, foreign) = self.unused_images(cluster, filter).await?;
                plan_prune(cluster, filter, &unused, foreign, self.now_ms())
            }
            ImageAction::ConvertFile { cluster, place, to } => {
                let live = self.look_at_file(actor, verb, cluster, place, *to).await?;
                plan_file(cluster, place, *to, &live)
            }
            ImageAction::MoveDisk { .. } | ImageAction::MakeTemplate { .. } => {
                return self.plan_convert_now(actor, verb, action).await;
            }
        };
        let ruling = match &planned {
            Planned::Ready(draft) if ruling.is_allowed() => {
                let doomed = draft.steps.iter().filter_map(|step| match step {
                    StepKind::Image(image) => match &**image {
                        ImageStep::Delete(doomed) => Some(&doomed.place),
                        _ => None,
                    },
                    _ => None,
                });
                self.doomed_ruling(actor, verb, action.cluster(), doomed, ruling)
            }
            _ => ruling,
        };
        Ok(Planning { planned, ruling, read_ms })
    }

    /// Policy on each place something is deleted from; what lies on a shared storage is every node's that has it.
    fn doomed_ruling<'a>(
        &self,
        actor: &Actor,
        verb: Verb,
        cluster: &ClusterId,
        doomed: impl Iterator<Item = &'a Place>,
        ruling: Ruling,
    ) -> Ruling {
        let view = self.view(cluster);
        let mut nodes = BTreeSet::new();
        for place in doomed {
            nodes.insert(place.node.clone());
            let storages = view.iter().flat_map(|v| &v.storages);
            nodes.extend(
                storages
                    .filter(|s| s.shared && s.id == *place.volid.storage())
                    .map(|s| s.node.clone()),
            );
        }
        let mut ruling = ruling;
        for node in &nodes {
            ruling = ruling.and(self.may(actor, verb, Target::Node(cluster, node)));
        }
        ruling
    }

    pub(super) async fn look_before_image(
        &self,
        op: &Operation,
        n: usize,
        step: &ImageStep,
    ) -> Result<Look, Error> {
        let cluster = op.action.cluster();
        if let Some(place) = step.place()
            && let Some(other) = self.older_work_on(op, cluster, place).await?
        {
            return Ok(Look::Wait(format!("{other} is at work on the same image")));
        }
        match step {
            ImageStep::Fetch(fetch) | ImageStep::Copy(fetch) => {
                self.look_before_fetch(op, cluster, step, fetch).await
            }
            ImageStep::ConvertFile { seen, target, .. } => {
                self.look_before_file(op, n, seen, target).await
            }
            ImageStep::Delete(doomed) => self.look_before_delete(cluster, step, doomed).await,
            ImageStep::MoveDisk { .. } | ImageStep::MakeTemplate => {
                self.look_before_convert(op, n, step).await
            }
        }
    }

    async fn look_before_fetch(
        &self,
        op: &Operation,
        cluster: &ClusterId,
        step: &ImageStep,
        fetch: &Fetch,
    ) -> Result<Look, Error> {
        let live = self.look_at_image_place(cluster, fetch).await?;
        let rules = &self.inner.settings.images;
        // Rules may have become narrower since this was confirmed.
        let planned =
            plan_fetch(cluster, std::slice::from_ref(fetch), std::slice::from_ref(&live), rules);
        Ok(match (fetch.now(&live), planned) {
            (FetchNow::There(_), Planned::Nothing { why }) => {
                Look::Already(why.trim_end_matches('.').to_owned())
            }
            (FetchNow::Go | FetchNow::OverShell, Planned::Ready(_)) => {
                let seen = self.own_image_tasks(cluster, &fetch.place.node, step).await?;
                Look::Go(Aim { node: fetch.place.node.clone(), vmid: op.vmid, seen })
            }
            (FetchNow::Refused(why), _)
            | (_, Planned::Refused { why } | Planned::Nothing { why }) => Look::Changed(bare(&why)),
            (FetchNow::There(why), Planned::Ready(_)) => Look::Already(bare(&why)),
        })
    }

    async fn look_before_delete(
        &self,
        cluster: &ClusterId,
        step: &ImageStep,
        doomed: &Doomed,
    ) -> Result<Look, Error> {
        let place = &doomed.place;
        let Some(file) = self.find_image_file(cluster, place).await? else {
            return Ok(Look::Already("it was already gone".into()));
        };
        let users = self.image_usages(cluster, std::slice::from_ref(place)).await?;
        if let Some(why) = doomed.changed(file, &users) {
            return Ok(Look::Changed(why));
        }
        let seen = self.own_image_tasks(cluster, &place.node, step).await?;
        Ok(Look::Go(Aim { node: place.node.clone(), vmid: None, seen }))
    }

    pub(super) async fn call_image(
        &self,
        op: &Operation,
        step: &ImageStep,
        aim: &Aim,
        meter: &Meter,
    ) -> Result<Option<Upid>, CallFault> {
        let client =
            self.client(op.action.cluster()).map_err(|e| CallFault::never_sent(e.to_string()))?;
        let accepted = match step {
            ImageStep::Fetch(fetch) => {
                let (node, volid) = (&fetch.place.node, &fetch.place.volid);
                let storage = volid.storage();
                match &fetch.source {
                    Source::Template { name, .. } => {
                        client.download_template(node, storage, name).await?
                    }
                    Source::Oci { reference } => client.pull_oci(node, storage, reference).await?,
                    Source::Url { url, checksum } => {
                        let (content, file, checksum) =
                            (volid.content(), volid.file(), Some(checksum));
                        let what = DownloadUrl { url, content, file, checksum };
                        client.download_url(node, storage, &what).await?
                    }
                    Source::Attachment { file, checksum } => {
                        let pieces = self.open_attachment(file, meter).await?;
                        let (content, bytes) = (volid.content(), file.bytes());
                        let (file, checksum) = (volid.file(), checksum.as_ref());
                        let what = Upload { content, file, bytes, checksum };
                        client.upload(node, storage, &what, pieces).await?
                    }
                }
            }
            ImageStep::Delete(doomed) => {
                client.delete_image(&doomed.place.node, &doomed.place.volid).await?
            }
            ImageStep::Copy(_) | ImageStep::ConvertFile { .. } => {
                return self.call_over_shell(op, step, meter).await.map(|()| None);
            }
            ImageStep::MoveDisk { .. } | ImageStep::MakeTemplate => {
                return self.call_convert(op, step, aim).await;
            }
        };
        Ok(Some(accepted.upid))
    }

    pub(super) async fn is_image_met(
        &self,
        op: &Operation,
        step: &ImageStep,
    ) -> Result<Seen, Error> {
        let cluster = op.action.cluster();
        let size = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
        Ok(match step {
            ImageStep::ConvertFile { target, .. } => {
                match self.find_image_file(cluster, target).await? {
                    None => Seen { met: false, now: format!("{target} is not there.") },
                    Some(file) => {
                        let now = format!("{target} is there, {}.", size(file.bytes));
                        Seen { met: true, now }
                    }
                }
            }
            ImageStep::Fetch(fetch) | ImageStep::Copy(fetch) => {
                let place = &fetch.place;
                match self.find_image_file(cluster, place).await? {
                    None => Seen { met: false, now: format!("{place} is not there.") },
                    Some(file) => match fetch.bytes {
                        Some(bytes) if bytes != file.bytes => Seen {
                            met: false,
                            now: format!(
                                "{place} is there with {} instead of {}: left over from a fetch that did not end. `/image delete` removes it.",
                                size(file.bytes),
                                size(bytes)
                            ),
                        },
                        _ => Seen {
                            met: true,
                            now: format!("{place} is there, {}.", size(file.bytes)),
                        },
                    },
                }
            }
            ImageStep::Delete(doomed) => {
                match self.find_image_file(cluster, &doomed.place).await? {
                    None => Seen { met: true, now: format!("{} is gone.", doomed.place) },
                    Some(_) => {
                        Seen { met: false, now: format!("{} is still there.", doomed.place) }
                    }
                }
            }
            ImageStep::MoveDisk { .. } | ImageStep::MakeTemplate => {
                self.is_convert_met(op, step).await?
            }
        })
    }

    /// Tasks that can be step `n`'s: ours, of its type, new since its intent, of no other operation, and where
    /// their log has begun, about this very file.
    pub(super) async fn image_tasks_since(
        &self,
        op: &Operation,
        n: usize,
        image: &ImageStep,
    ) -> Result<Vec<Upid>, Error> {
        let (step, cluster) = (&op.steps[n], op.action.cluster());
        let Some(node) = step.node.as_ref() else { return Ok(Vec::new()) };
        let mut tasks = self.own_image_tasks(cluster, node, image).await?;
        tasks.retain(|upid| is_new(upid, &step.seen));
        if tasks.is_empty() {
            return Ok(tasks);
        }
        let filter = OpFilter { cluster: Some(cluster.clone()), ..OpFilter::default() };
        let others = self.operations(&filter, 0, OPEN_LOOKED_AT).await?.rows;
        let known: BTreeSet<&str> = others
            .iter()
            .filter(|o| o.id != op.id)
            .flat_map(|o| &o.steps)
            .chain(op.steps.iter().enumerate().filter(|(i, _)| *i != n).map(|(_, s)| s))
            .filter_map(|s| s.upid.as_ref().map(Upid::as_str))
            .collect();
        tasks.retain(|upid| !known.contains(upid.as_str()));
        let Some(place) = image.place() else { return Ok(tasks) };
        let mut fit = Vec::new();
        for upid in tasks {
            if self.is_about(cluster, &upid, place).await {
                fit.push(upid);
            }
        }
        Ok(fit)
    }

    /// Whether a task can be about the file at `place`. A task that tells of another file is not; one that tells
    /// nothing can be.
    async fn is_about(&self, cluster: &ClusterId, upid: &Upid, place: &Place) -> bool {
        let file = place.volid.file();
        if upid.id() == file {
            return true;
        }
        // Some tasks name the file as their id, others only the storage or nothing at all.
        if gantry_core::image::Content::of_file(upid.id()).is_some() && !upid.id().contains(file) {
            return false;
        }
        let Ok(client) = self.client(cluster) else { return false };
        match client.task_log(upid, 0, HEAD_LINES).await {
            Ok(log) => {
                let told = log.lines.iter().any(|l| l.contains('/') || l.contains("volume"));
                !told || log.lines.iter().any(|l| l.contains(file))
            }
            Err(_) => true,
        }
    }

    /// Tasks of gantry's own token on a node, of the types a step can have.
    async fn own_image_tasks(
        &self,
        cluster: &ClusterId,
        node: &NodeName,
        step: &ImageStep,
    ) -> Result<Vec<Upid>, Error> {
        if step.task_types().is_empty() {
            return Ok(Vec::new());
        }
        let client = self.client(cluster)?;
        let filter = TaskFilter {
            user: Some(client.token_id().to_owned()),
            limit: Some(TASKS_LOOKED_AT),
            ..TaskFilter::default()
        };
        let tasks = client
            .node_tasks(node, &filter)
            .await
            .map_err(Error::proxmox(format!("read the tasks of {node}"), cluster))?;
        let ours = client.token_id();
        Ok(tasks
            .into_iter()
            .map(|t| t.upid)
            .filter(|u| u.user() == ours && step.task_types().contains(&u.kind()))
            .collect())
    }

    /// An older operation that is not over and has a step on the same file.
    async fn older_work_on(
        &self,
        op: &Operation,
        cluster: &ClusterId,
        place: &Place,
    ) -> Result<Option<String>, Error> {
        let filter =
            OpFilter { open_only: true, cluster: Some(cluster.clone()), ..OpFilter::default() };
        let open = self.operations(&filter, 0, OPEN_LOOKED_AT).await?.rows;
        let key = place.key();
        let works = |step: &Step| {
            let open =
                matches!(step.state, StepState::Pending | StepState::Intent | StepState::Submitted);
            let StepKind::Image(image) = &step.kind else { return false };
            open && image.touches(&key)
        };
        Ok(open
            .iter()
            .filter(|o| o.id < op.id)
            .find(|o| o.steps.iter().any(works))
            .map(|o| o.id.to_string()))
    }

    /// Notes what was fetched, forgets what was deleted.
    pub(super) async fn remember_image(
        &self,
        op: &Operation,
        n: usize,
        image: &ImageStep,
    ) -> Result<(), Error> {
        let cluster = op.action.cluster();
        let fetch = match image {
            ImageStep::Fetch(fetch) | ImageStep::Copy(fetch) => fetch,
            ImageStep::Delete(doomed) => {
                return self
                    .store()
                    .remove_image(cluster, &doomed.place)
                    .await
                    .map(|_| ())
                    .map_err(Error::store("forget the image"));
            }
            ImageStep::ConvertFile { .. }
            | ImageStep::MoveDisk { .. }
            | ImageStep::MakeTemplate => return Ok(()),
        };
        let step = &op.steps[n];
        // A file that was there already is not known to have come from this source.
        if !matches!(step.state, StepState::Intent | StepState::Submitted) {
            return Ok(());
        }
        let Some(file) = self.find_image_file(cluster, &fetch.place).await? else { return Ok(()) };
        let digest = match (fetch.source.digest().or_else(|| step.learned.clone()), &step.upid) {
            (Some(digest), _) => Some(digest),
            (None, Some(upid)) => self.digest_in_log(cluster, upid).await,
            (None, None) => None,
        };
        let record = ImageRecord {
            cluster: cluster.clone(),
            owner: fetch.place.owner().to_owned(),
            volid: fetch.place.volid.clone(),
            digest,
            bytes: file.bytes,
            source: fetch.source.shown(),
            origin: fetch.source.to_keep(),
            operation: op.id.to_string(),
            prepared_ms: self.now_ms(),
            last_used_ms: 0,
        };
        self.store().save_image(&record).await.map_err(Error::store("note the image"))
    }

    /// The digest of an OCI image's configuration, as `skopeo` tells it: the same configuration, the same image.
    async fn digest_in_log(&self, cluster: &ClusterId, upid: &Upid) -> Option<String> {
        let log = self.client(cluster).ok()?.task_log(upid, 0, DIGEST_LINES).await.ok()?;
        log.lines.iter().rev().find_map(|line| {
            let (_, rest) = line.split_once("Copying config ")?;
            let sum = rest.trim().trim_start_matches("sha256:").split(' ').next()?;
            let whole = sum.len() == 64 && sum.bytes().all(|b| b.is_ascii_hexdigit());
            whole.then(|| format!("sha256:{sum}"))
        })
    }

    /// Notes that a pod, of a set or by itself, was made from its image by step `n`.
    pub(super) async fn touch_image(
        &self,
        op: &Operation,
        n: usize,
        image: &str,
    ) -> Result<(), Error> {
        let Some(node) = &op.steps[n].node else { return Ok(()) };
        self.store()
            .touch_image(op.action.cluster(), node, image, self.now_ms())
            .await
            .map_err(Error::store("note the use of the image"))
    }
}

/// A sentence without its full stop, to stand inside another.
fn bare(why: &str) -> String {
    why.trim_end_matches('.').to_owned()
}

/// Whether a live guest is the one that was confirmed.
pub(super) fn is_same(op: &Operation, n: usize, live: &LiveGuest) -> Option<String> {
    super::guest::is_another(op, n, live)
}
