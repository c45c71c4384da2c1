//! Numbers as people read them.

/// Cells of a bar; fits a phone's width beside its figure.
const BAR_CELLS: usize = 10;

/// `1.5 GiB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 || value >= 100.0 || (value - value.round()).abs() < 0.05 {
        format!("{value:.0} {}", UNITS[unit])
    } else {
        format!("{value:.1} {}", UNITS[unit])
    }
}

/// A share as `42 %`; `–` where the whole is zero or nonsense.
pub fn percent(part: f64, whole: f64) -> String {
    let share = part / whole * 100.0;
    if share.is_finite() && whole > 0.0 { format!("{share:.0} %") } else { "–".to_owned() }
}

/// `▰▰▰▰▱▱▱▱▱▱` for a share of 0 to 1.
pub fn bar(share: f64) -> String {
    let share = if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 };
    let full = ((share * BAR_CELLS as f64).floor() as usize).min(BAR_CELLS);
    "▰".repeat(full) + &"▱".repeat(BAR_CELLS - full)
}

/// A span of milliseconds as `45 s`, `3 min 5 s`, `2 h 10 min`, `4 d 3 h`.
pub fn span(ms: i64) -> String {
    let s = ms.max(0) / 1000;
    match s {
        0..60 => format!("{s} s"),
        60..3600 if s % 60 == 0 => format!("{} min", s / 60),
        60..3600 => format!("{} min {} s", s / 60, s % 60),
        3600..86_400 => format!("{} h {} min", s / 3600, s % 3600 / 60),
        _ => format!("{} d {} h", s / 86_400, s % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(8 << 30), "8 GiB");
        assert_eq!(bytes(u64::MAX), "16384 PiB");
        assert_eq!(percent(1.0, 3.0), "33 %");
        assert_eq!(percent(1.0, 0.0), "–");
        assert_eq!(bar(f64::NAN), "▱▱▱▱▱▱▱▱▱▱");
        assert_eq!(bar(0.42), "▰▰▰▰▱▱▱▱▱▱");
        assert_eq!(span(59_999), "59 s");
        assert_eq!(span(185_000), "3 min 5 s");
        assert_eq!(span(-5), "0 s");
        assert_eq!(span(360_000_000), "4 d 4 h");
    }
}
