//! `[health]`: which addresses health checks of pods may ask.

use gantry_core::pod::HealthRules;

use super::read::Section;

pub(super) fn read(mut s: Section<'_>) -> HealthRules {
    let rules = HealthRules { loopback: s.take("loopback", false) };
    s.finish();
    rules
}
