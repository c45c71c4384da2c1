//! Lists of images and one of them, read when asked for.

use gantry_core::action::Verb;
use gantry_core::id::{ClusterId, NodeName};
use gantry_core::image::ImageRef;
use gantry_engine::ImageFilter;

use crate::card::{self, Card, ImageListCard, ImageShowCard, Place};
use crate::face::FaceError;
use crate::show::PAGE;
use crate::token::ScreenId;
use crate::visit::Visit;

pub(crate) async fn images(
    visit: &Visit,
    cluster: &ClusterId,
    filter: &ImageFilter,
    page: &mut u64,
    id: &ScreenId,
) -> Result<Card, FaceError> {
    let verb = if filter.fetched { Verb::ImageCache } else { Verb::ImageList };
    let list = visit.face.engine().images(&visit.actor, verb, cluster, filter).await?;
    let place = Place::clamp(*page, PAGE, list.rows.len() as u64);
    *page = place.page;
    let from = usize::try_from(place.offset()).unwrap_or(usize::MAX).min(list.rows.len());
    let to = from.saturating_add(usize::try_from(PAGE).unwrap_or(10)).min(list.rows.len());
    Ok(card::image_list(&ImageListCard {
        cluster: cluster.as_str(),
        rows: &list.rows[from..to],
        all: &list.rows,
        faults: &list.faults,
        fetched: filter.fetched,
        place,
        read_ms: list.read_ms,
        screen: id,
    }))
}

/// What is asked about one image.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About {
    /// Only who uses it.
    pub(crate) users: bool,
    /// Its checksum, taken now.
    pub(crate) sum: bool,
}

pub(crate) async fn image(
    visit: &Visit,
    cluster: &ClusterId,
    image: &ImageRef,
    node: Option<&NodeName>,
    about: About,
    id: &ScreenId,
) -> Result<Card, FaceError> {
    let verb = if about.users { Verb::ImageUsedBy } else { Verb::ImageShow };
    let engine = visit.face.engine();
    let mut detail = engine.image(&visit.actor, verb, cluster, image, node).await?;
    if about.sum {
        engine.sum_images(&visit.actor, verb, cluster, &mut detail).await;
    }
    let title = match image {
        ImageRef::Url(url) => url.shown(),
        other => other.to_string(),
    };
    Ok(card::image_show(&ImageShowCard {
        title: &title,
        cluster: cluster.as_str(),
        detail: &detail,
        users_only: about.users,
        screen: id,
    }))
}
