//! Images: what guests are made from. References and where they may come from, what lies on storages and who uses
//! it, what is done to them, and what can go wrong. Pure; the engine reads and carries out.

mod attachment;
mod convert;
mod fault;
mod file;
mod plan;
mod reference;
mod step;
mod url;
mod used;

pub use attachment::{ATTACHMENT_MAX, Attachment};
pub use convert::{DiskFormat, plan_move, plan_template};
pub use fault::ImageFault;
pub use file::{LiveFile, converted, format_of, plan_file};
pub(crate) use plan::size;
pub use plan::{
    FetchNow, LiveDoomed, LivePlace, LiveVolume, Room, plan_delete, plan_fetch, plan_prune,
};
pub use reference::{BadImage, Checksum, Content, ImageRef, ImageVolid, OciRef, TemplateName};
pub use step::{Doomed, Fetch, ImageAction, ImageStep, Place, PruneFilter, Source};
pub(crate) use url::forbidden;
pub use url::{BadHost, Host, HostPattern, ImageRules, ImageUrl};
pub use used::{ImageRecord, Unused, Usage, UsedBy, unused};

#[cfg(test)]
mod tests;
