//! Axes: round steps, and values as people write them.

use chrono::DateTime;

use crate::Unit;

/// Most labels on the time axis; each takes about an eighth of the width.
const TIME_LABELS_MAX: i64 = 6;
/// Steps of the value axis.
const VALUE_STEPS: f64 = 4.0;

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Steps of the time axis that people count in.
const TIME_STEPS: [i64; 17] = [
    SECOND * 10,
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    4 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    7 * DAY,
    30 * DAY,
    90 * DAY,
];

/// The value axis: from zero to `top` in even steps.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Axis {
    pub(crate) top: f64,
    pub(crate) ticks: Vec<f64>,
}

/// An axis that holds every value up to `highest`.
pub(crate) fn axis(unit: Unit, highest: f64) -> Axis {
    let highest = if highest.is_finite() && highest > 0.0 { highest } else { 0.0 };
    let least = match unit {
        Unit::Share => 0.05,
        Unit::Bytes | Unit::BytesPerSecond => 1024.0,
        Unit::Number => 1.0,
    };
    let step = round_up((highest.max(least)) / VALUE_STEPS, unit);
    let count = (highest.max(least) / step).ceil().clamp(1.0, 2.0 * VALUE_STEPS);
    let top = step * count;
    let ticks = (0..=count as u32).map(|n| step * f64::from(n)).collect();
    Axis { top, ticks }
}

/// The next round number: 1, 2, 2.5 or 5 times a power of ten; of 1024 for bytes.
fn round_up(value: f64, unit: Unit) -> f64 {
    let base = match unit {
        Unit::Bytes | Unit::BytesPerSecond => {
            let mut base = 1.0;
            // Exbibytes are the last unit people write.
            while base * 1024.0 <= value && base < 2f64.powi(60) {
                base *= 1024.0;
            }
            base
        }
        Unit::Share | Unit::Number => 1.0,
    };
    let rest = value / base;
    let power = 10f64.powf(rest.log10().floor());
    let factor = [1.0, 2.0, 2.5, 5.0, 10.0]
        .into_iter()
        .find(|f| f * power >= rest * (1.0 - 1e-9))
        .unwrap_or(10.0);
    factor * power * base
}

/// A value as people write it: `42 %`, `3.5 GiB`, `120 KiB/s`.
pub(crate) fn words(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Share => {
            let percent = value * 100.0;
            let digits = usize::from(percent.abs() < 10.0 && percent.fract().abs() > 1e-6);
            format!("{percent:.digits$} %")
        }
        Unit::Bytes => bytes(value),
        Unit::BytesPerSecond => format!("{}/s", bytes(value)),
        Unit::Number => short(value),
    }
}

fn bytes(value: f64) -> String {
    const NAMES: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let (mut value, mut n) = (value, 0);
    while value.abs() >= 1024.0 && n + 1 < NAMES.len() {
        value /= 1024.0;
        n += 1;
    }
    format!("{} {}", short(value), NAMES[n])
}

/// At most one decimal, none where it says nothing.
fn short(value: f64) -> String {
    if value.abs() >= 100.0 || (value - value.round()).abs() < 0.05 {
        format!("{value:.0}")
    } else {
        format!("{value:.1}")
    }
}

/// Times that get a label, with the label. Times are UTC: a picture does not know its reader's zone.
pub(crate) fn times(from_ms: i64, to_ms: i64) -> Vec<(i64, String)> {
    let span = to_ms.saturating_sub(from_ms).max(1);
    let step = TIME_STEPS
        .into_iter()
        .find(|step| span / step <= TIME_LABELS_MAX)
        .unwrap_or_else(|| span / TIME_LABELS_MAX + 1);
    let first = from_ms.div_euclid(step).saturating_add(1).saturating_mul(step);
    let format = match step {
        s if s < MINUTE => "%H:%M:%S",
        s if s < DAY && span <= DAY => "%H:%M",
        s if s < DAY => "%d %b %H:%M",
        s if s <= 30 * DAY => "%d %b",
        _ => "%b %Y",
    };
    (0..=TIME_LABELS_MAX)
        .map(|n| first.saturating_add(n.saturating_mul(step)))
        .take_while(|at| *at <= to_ms)
        .filter_map(|at| {
            let time = DateTime::from_timestamp_millis(at)?;
            Some((at, time.format(format).to_string()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round_and_hold_the_highest_value() {
        for unit in [Unit::Share, Unit::Bytes, Unit::BytesPerSecond, Unit::Number] {
            for highest in
                [0.0, 0.004, 0.31, 0.999, 1.0, 7.0, 99.0, 1023.0, 3.3e9, 7.7e17, f64::NAN]
            {
                let axis = axis(unit, highest);
                assert!(highest.is_nan() || axis.top >= highest, "{unit:?} {highest}: {axis:?}");
                assert!((2..=9).contains(&axis.ticks.len()), "{unit:?} {highest}: {axis:?}");
            }
        }
        assert_eq!(axis(Unit::Share, 0.97).ticks, [0.0, 0.25, 0.5, 0.75, 1.0]);
        let gib = f64::from(1 << 30);
        assert_eq!(axis(Unit::Bytes, 7.9 * gib).top, 8.0 * gib);
    }

    #[test]
    fn values_read_as_people_write_them() {
        assert_eq!(words(Unit::Share, 0.423), "42 %");
        assert_eq!(words(Unit::Share, 0.025), "2.5 %");
        assert_eq!(words(Unit::Bytes, 3.5 * f64::from(1 << 30)), "3.5 GiB");
        assert_eq!(words(Unit::Bytes, 0.0), "0 B");
        assert_eq!(words(Unit::BytesPerSecond, 120.0 * 1024.0), "120 KiB/s");
        assert_eq!(words(Unit::Number, 12.0), "12");
    }

    #[test]
    fn times_stand_on_round_moments() {
        let day = 1_700_006_400_000; // 15 November 2023, midnight UTC
        let labels = |span| times(day, day + span).into_iter().map(|(_, l)| l).collect::<Vec<_>>();
        assert_eq!(labels(HOUR), ["00:10", "00:20", "00:30", "00:40", "00:50", "01:00"]);
        assert_eq!(labels(DAY), ["04:00", "08:00", "12:00", "16:00", "20:00", "00:00"]);
        assert_eq!(labels(7 * DAY), ["17 Nov", "19 Nov", "21 Nov"]);
        assert_eq!(labels(365 * DAY).len(), 4);
        assert!(times(5, 5).len() <= 7);
        assert!(times(i64::MIN / 4, i64::MAX / 4).len() <= 7);
    }
}
