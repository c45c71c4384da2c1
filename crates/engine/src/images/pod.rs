//! The image of a new pod: which volume is meant, and where it comes from when the pod's node has not got it.

use gantry_core::action::Verb;
use gantry_core::id::ClusterId;
use gantry_core::image::{Content, Fetch, ImageRef, ImageVolid, Place, Source, plan_fetch};
use gantry_core::operation::StepKind;
use gantry_core::plan::Planned;
use gantry_core::pod::PodSpec;
use gantry_core::policy::{Actor, Ruling, Target};
use gantry_core::world::NodeState;

use crate::{Engine, Error};

impl Engine {
    /// Writes the volume in place of a registry's reference or a template's name: the one that is there already, else
    /// the one it becomes on the shared storage or the one with the most room. Memory only. Returns what was written.
    pub(crate) fn settle_pod_image(
        &self,
        cluster: &ClusterId,
        spec: &mut PodSpec,
    ) -> Option<ImageRef> {
        let typed: ImageRef = spec.template.image.parse().ok()?;
        let file = match &typed {
            ImageRef::Oci(oci) => oci.file(),
            ImageRef::Template(name) => name.as_str().to_owned(),
            ImageRef::Url(_) | ImageRef::Volume(_) => return None,
        };
        let view = self.view(cluster)?;
        let takes = view.storages.iter().filter(|s| {
            s.active
                && s.content.iter().any(|c| c == Content::Vztmpl.as_str())
                && spec.node.as_ref().is_none_or(|n| *n == s.node)
        });
        let best = takes
            .filter_map(|s| {
                let volid = ImageVolid::new(s.id.clone(), Content::Vztmpl, &file).ok()?;
                let text = volid.to_string();
                let there =
                    view.images.iter().any(|i| i.volid == text && (s.shared || i.node == s.node));
                Some(((there, s.shared, s.total.saturating_sub(s.used)), text))
            })
            .max_by(|a, b| a.0.cmp(&b.0));
        spec.template.image = best?.1;
        Some(typed)
    }

    /// Where a pod's image comes from; `None`: nobody knows, or `actor` may not have it fetched.
    pub(crate) async fn pod_image_source(
        &self,
        actor: &Actor,
        cluster: &ClusterId,
        spec: &PodSpec,
        typed: Option<&ImageRef>,
    ) -> Result<Option<(Source, Option<u64>)>, Error> {
        let Ok(volid) = spec.template.image.parse::<ImageVolid>() else { return Ok(None) };
        if !self.may(actor, Verb::ImagePull, Target::Within(cluster)).is_allowed() {
            return Ok(None);
        }
        if let Some(ImageRef::Oci(reference)) = typed {
            return Ok(Some((Source::Oci { reference: reference.clone() }, None)));
        }
        let records = self.image_records(cluster).await?;
        let known = records
            .into_iter()
            .find(|r| r.volid.file() == volid.file() && r.volid.content() == volid.content());
        if let Some(known) = known.filter(|k| k.origin.is_lasting()) {
            // A tag may have moved since; everything else is the same file.
            let bytes = (!matches!(known.origin, Source::Oci { .. })).then_some(known.bytes);
            return Ok(Some((known.origin, bytes)));
        }
        let listed = self
            .view(cluster)
            .is_some_and(|v| v.catalogue.iter().any(|(name, _)| name == volid.file()));
        Ok(match volid.file().parse() {
            Ok(name) if listed => Some((Source::Template { name, digest: None }, None)),
            _ => None,
        })
    }

    /// What has to be fetched before a pod can be made on its node; `None`: its image is there, or nobody knows where it
    /// comes from, which planning says.
    pub(crate) async fn pod_image_fetch(
        &self,
        actor: &Actor,
        cluster: &ClusterId,
        spec: &PodSpec,
        typed: Option<&ImageRef>,
    ) -> Result<Option<Fetch>, Error> {
        let (Some(node), Ok(volid)) = (&spec.node, spec.template.image.parse::<ImageVolid>())
        else {
            return Ok(None);
        };
        let Some(view) = self.view(cluster) else { return Ok(None) };
        let up = view.node(node).is_some_and(|n| n.state == NodeState::Up);
        let storage = view.storages.iter().find(|s| s.node == *node && s.id == *volid.storage());
        let Some(storage) = storage.filter(|s| up && s.active) else { return Ok(None) };
        let place = Place { node: node.clone(), shared: storage.shared, volid };
        if self.find_image_file(cluster, &place).await?.is_some() {
            return Ok(None);
        }
        let source = self.pod_image_source(actor, cluster, spec, typed).await?;
        Ok(source.map(|(source, bytes)| Fetch { place, source, bytes }))
    }

    /// The step that fetches a pod's image, with what it does in words.
    ///
    /// `Ok(Err(_))`: why it cannot be fetched.
    pub(crate) async fn plan_pod_image(
        &self,
        cluster: &ClusterId,
        fetch: &Fetch,
    ) -> Result<Result<(StepKind, String), String>, Error> {
        let live = self.look_at_image_place(cluster, fetch).await?;
        let rules = &self.inner.settings.images;
        let one = std::slice::from_ref(fetch);
        Ok(match plan_fetch(cluster, one, std::slice::from_ref(&live), rules) {
            Planned::Ready(mut draft) if !draft.steps.is_empty() => {
                let effect = draft.effects.swap_remove(0);
                Ok((draft.steps.swap_remove(0), effect))
            }
            Planned::Ready(_) => Err(format!("{} cannot be fetched now.", fetch.place)),
            Planned::Nothing { why } | Planned::Refused { why } => Err(why),
        })
    }

    /// Who has a pod's image fetched must be allowed to pull on that node.
    pub(crate) fn with_fetch(
        &self,
        actor: &Actor,
        cluster: &ClusterId,
        fetch: Option<&Fetch>,
        ruling: Ruling,
    ) -> Ruling {
        let Some(fetch) = fetch.filter(|_| ruling.is_allowed()) else { return ruling };
        match self.may(actor, Verb::ImagePull, Target::Node(cluster, &fetch.place.node)) {
            Ruling::Denied { because } => Ruling::Denied { because },
            _ => ruling,
        }
    }
}
