//! Charts as somebody sees them: written out with `GANTRY_CHARTS=DIR`, to be looked at.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use gantry_chart::{Chart, HEIGHT, SERIES_MAX, Series, Threshold, Unit, WIDTH, png, svg};
use proptest::prelude::*;

const HOUR: i64 = 3_600_000;
/// 21 November 2026, 12:00 UTC.
const NOON: i64 = 1_795_262_400_000;

fn wave(name: &str, base: f64, swing: f64) -> Series {
    let points = (0..70)
        .map(|n| (NOON + n * HOUR / 70, Some(base + swing * (n as f64 / 6.0).sin())))
        .collect();
    Series { name: name.into(), points }
}

fn chart(unit: Unit, series: Vec<Series>) -> Chart {
    Chart {
        title: "CPU of web-0".into(),
        subtitle: "CT 201 on pve1, lab · last hour".into(),
        unit,
        from_ms: NOON,
        to_ms: NOON + HOUR,
        series,
        thresholds: vec![],
    }
}

fn keep(name: &str, picture: &[u8]) {
    if let Ok(folder) = std::env::var("GANTRY_CHARTS") {
        std::fs::write(std::path::Path::new(&folder).join(format!("{name}.png")), picture).unwrap();
    }
}

/// Width and height as a PNG's header tells them.
fn size(picture: &[u8]) -> (u32, u32) {
    assert_eq!(&picture[..8], b"\x89PNG\r\n\x1a\n");
    let number = |at: usize| u32::from_be_bytes(picture[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

#[test]
fn charts_are_small_pictures_with_their_words() {
    let mut cpu = chart(Unit::Share, vec![wave("CPU", 0.4, 0.2)]);
    cpu.thresholds.push(Threshold { value: 0.9, name: "alert above".into() });
    for n in 30..38 {
        cpu.series[0].points[n].1 = None;
    }
    let gib = f64::from(1 << 30);
    let mut memory = chart(Unit::Bytes, vec![wave("used", 2.5 * gib, gib)]);
    memory.title = "Memory of web-0".into();
    memory.thresholds.push(Threshold { value: 4.0 * gib, name: "limit".into() });
    let network =
        chart(Unit::BytesPerSecond, vec![wave("in", 400e3, 300e3), wave("out", 90e3, 30e3)]);
    let many = (0..11)
        .map(|n| wave(&format!("web-{n} with a rather long name"), 0.1 * n as f64, 0.05))
        .collect();
    let compare = chart(Unit::Share, many);
    let empty = chart(Unit::Share, vec![Series { name: "CPU".into(), points: vec![] }]);
    for (name, chart) in [
        ("cpu", cpu),
        ("memory", memory),
        ("network", network),
        ("compare", compare),
        ("empty", empty),
    ] {
        let picture = png(&chart).unwrap();
        assert_eq!(size(&picture), (WIDTH, HEIGHT));
        assert!(picture.len() < 100_000, "{name}: {} bytes", picture.len());
        keep(name, &picture);
    }
}

#[test]
fn a_gap_is_a_gap_and_a_threshold_a_line() {
    let mut cpu = chart(Unit::Share, vec![wave("CPU", 0.4, 0.2)]);
    let lines = |c: &Chart| svg(c).matches("stroke-linejoin").count();
    assert_eq!(lines(&cpu), 1);
    cpu.series[0].points[30].1 = None;
    assert_eq!(lines(&cpu), 2);
    assert!(!svg(&cpu).contains("alert above 90 %"));
    cpu.thresholds.push(Threshold { value: 0.9, name: "alert above".into() });
    assert!(svg(&cpu).contains("alert above 90 %"));
}

#[test]
fn what_is_not_drawn_is_said() {
    let series = (0..SERIES_MAX + 3).map(|n| wave(&format!("g{n}"), 0.2, 0.1)).collect();
    let text = svg(&chart(Unit::Share, series));
    assert!(text.contains("3 more not drawn"), "{text}");
    assert!(svg(&chart(Unit::Share, vec![])).contains("No data for this time"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_text_and_any_value_make_a_picture(
        title in "\\PC{0,80}|[<>&\"'\\x00-\\x1f]{0,20}",
        name in any::<String>(),
        from in any::<i64>(),
        span in any::<i64>(),
        points in prop::collection::vec((any::<i64>(), prop::option::of(any::<f64>())), 0..40),
        limit in any::<f64>(),
    ) {
        let chart = Chart {
            subtitle: title.clone(),
            title,
            unit: Unit::Bytes,
            from_ms: from,
            to_ms: from.saturating_add(span),
            series: vec![Series { name: name.clone(), points }],
            thresholds: vec![Threshold { value: limit, name }],
        };
        prop_assert_eq!(size(&png(&chart).unwrap()), (WIDTH, HEIGHT));
    }
}
