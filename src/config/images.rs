//! `[images]`: where nodes may fetch images from. Nothing listed: nowhere but Proxmox's own template list.

use gantry_core::image::{HostPattern, ImageRules};

use super::read::Section;

pub(super) fn read(mut s: Section<'_>) -> ImageRules {
    let rules = ImageRules {
        hosts: s.each::<HostPattern>("hosts"),
        registries: s.each::<HostPattern>("registries"),
    };
    s.finish();
    rules
}
