//! Smooth, seeded movement: figures that look alive, and are the same for the same seed and moment.
//!
//! Everything is a pure function of (seed, time), so a graph of last week and the present value agree.

use std::f64::consts::TAU;

/// The next pseudo-random number of a sequence (splitmix64). Not for secrets.
pub(crate) const fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A number in 0..1 from a seed.
pub(crate) fn unit(seed: u64) -> f64 {
    (mix(seed) >> 11) as f64 / (1u64 << 53) as f64
}

/// Waves laid over each other (period in seconds, weight): a day, an afternoon, minutes. Weights sum to one.
const WAVES: [(f64, f64); 4] = [(86_400.0, 0.4), (9_137.0, 0.25), (1_021.0, 0.2), (97.0, 0.15)];

/// Phase of one wave.
fn phase(seed: u64, n: u64) -> f64 {
    TAU * unit(seed.wrapping_add(n * 7919))
}

/// A smooth value in -1..1 at `seconds` since the epoch.
pub(crate) fn wave(seed: u64, seconds: f64) -> f64 {
    let part =
        |n: u64, period: f64, weight: f64| weight * (TAU * seconds / period + phase(seed, n)).sin();
    let [a, b, c, d] = WAVES;
    part(0, a.0, a.1) + part(1, b.0, b.1) + part(2, c.0, c.1) + part(3, d.0, d.1)
}

/// Integral of `1 + depth * wave` from `from` to `to` (seconds): a counter that agrees with its rate.
pub(crate) fn integral(seed: u64, depth: f64, from: f64, to: f64) -> f64 {
    let part = |n: u64, period: f64, weight: f64| {
        let start = phase(seed, n);
        let at = |t: f64| (TAU * t / period + start).cos();
        weight * (at(from) - at(to)) * period / TAU
    };
    let [a, b, c, d] = WAVES;
    let wavy = part(0, a.0, a.1) + part(1, b.0, b.1) + part(2, c.0, c.1) + part(3, d.0, d.1);
    ((to - from) + depth * wavy).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waves_stay_in_bounds_and_repeat() {
        for n in 0..10_000_u64 {
            let value = wave(n % 13, n as f64 * 31.0);
            assert!((-1.0..=1.0).contains(&value));
        }
        assert!((wave(3, 1000.0) - wave(3, 1000.0)).abs() < f64::EPSILON);
    }

    #[test]
    fn counters_never_go_back() {
        let mut last = 0.0;
        for n in 0..5_000_u64 {
            let now = integral(9, 0.8, 0.0, n as f64 * 7.0);
            assert!(now >= last);
            last = now;
        }
    }
}
