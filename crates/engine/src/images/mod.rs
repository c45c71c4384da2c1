//! Images as they are: what lies on storages, who uses it, what can be had. Live where something is decided, from
//! memory for completion.

mod ask;
mod attached;
mod look;
mod place;
mod pod;
mod show;
mod source;
mod sum;

pub use ask::ImageAsk;
pub(crate) use look::version;
pub use show::{ImageDetail, ImageFilter, ImageList, ImageRow, KnownImage};
