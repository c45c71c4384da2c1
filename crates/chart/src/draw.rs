//! The drawing: one SVG text, top to bottom: title, legend, plot, time axis.

use std::fmt::Write;

use crate::scale::{self, Axis};
use crate::{Chart, HEIGHT, SERIES_MAX, Series, Threshold, WIDTH};

const LEFT: f64 = 126.0;
const RIGHT: f64 = WIDTH as f64 - 28.0;
const BOTTOM: f64 = HEIGHT as f64 - 52.0;
/// Top of the plot with one row of legend.
const TOP: f64 = 142.0;
/// Height of a further row of the legend.
const LEGEND_ROW: f64 = 34.0;
/// Half of a label of the time axis.
const LABEL_HALF: f64 = 40.0;
/// Up to this many lines each have a row of the legend to themselves, with their maximum; more share two columns.
const LEGEND_WIDE: usize = 2;
/// Text size: 24 of 800 pixels stay readable on a phone 350 wide.
const TEXT: f64 = 24.0;
/// A hole in the data: longer than this many usual steps.
const HOLE_STEPS: i64 = 3;
/// Characters of a title, a subtitle and a name in the legend that fit.
const TITLE_MAX: usize = 38;
const SUBTITLE_MAX: usize = 54;
const NAME_MAX: usize = 14;

const BACKGROUND: &str = "#1e1f22";
const GRID: &str = "#3a3c42";
const QUIET: &str = "#a3a6ad";
const LOUD: &str = "#f2f3f5";
const ALARM: &str = "#f0616d";
/// Line colours that are told apart on a dark background, by colour-blind people too (after Okabe and Ito).
const COLOURS: [&str; SERIES_MAX] =
    ["#56b4e9", "#e69f00", "#2fbf8f", "#cc79a7", "#f0e442", "#8c9eff", "#ff8a65", "#b0bec5"];

/// Where the plot is, and what it maps.
struct Plot<'a> {
    chart: &'a Chart,
    axis: Axis,
    top: f64,
}

impl Plot<'_> {
    fn x(&self, at_ms: i64) -> f64 {
        let span = (self.chart.to_ms.saturating_sub(self.chart.from_ms)).max(1) as f64;
        let part = (at_ms.saturating_sub(self.chart.from_ms)) as f64 / span;
        LEFT + part.clamp(0.0, 1.0) * (RIGHT - LEFT)
    }

    fn y(&self, value: f64) -> f64 {
        BOTTOM - (value / self.axis.top).clamp(0.0, 1.0) * (BOTTOM - self.top)
    }
}

/// The chart as SVG text.
pub fn svg(chart: &Chart) -> String {
    let shown = &chart.series[..chart.series.len().min(SERIES_MAX)];
    let left_out = chart.series.len() - shown.len();
    let highest = shown
        .iter()
        .flat_map(|s| s.points.iter().filter_map(|p| p.1))
        .chain(chart.thresholds.iter().map(|t| t.value))
        .filter(|v| v.is_finite())
        .fold(0.0, f64::max);
    let rows = shown.len().div_ceil(legend_columns(shown)).max(1) - 1;
    let plot =
        Plot { chart, axis: scale::axis(chart.unit, highest), top: TOP + rows as f64 * LEGEND_ROW };
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" font-family=\"DejaVu Sans\" \
         font-size=\"{TEXT}\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"{BACKGROUND}\"/>\n"
    );
    let mut subtitle = chart.subtitle.clone();
    if left_out > 0 {
        let _ = write!(subtitle, " · {left_out} more not drawn");
    }
    text(
        &mut out,
        (28.0, 46.0),
        LOUD,
        "font-size=\"30\" font-weight=\"bold\"",
        &cut(&chart.title, TITLE_MAX),
    );
    text(&mut out, (28.0, 80.0), QUIET, "", &cut(&subtitle, SUBTITLE_MAX));
    legend(&mut out, chart, shown);
    grid(&mut out, &plot);
    for (n, series) in shown.iter().enumerate() {
        line(&mut out, &plot, series, COLOURS[n], shown.len() == 1);
    }
    for threshold in &chart.thresholds {
        across(&mut out, &plot, threshold);
    }
    if !shown.iter().any(|s| s.points.iter().any(|p| p.1.is_some_and(f64::is_finite))) {
        let middle = ((LEFT + RIGHT) / 2.0, (plot.top + BOTTOM) / 2.0);
        text(&mut out, middle, QUIET, "text-anchor=\"middle\"", "No data for this time");
    }
    out.push_str("</svg>\n");
    out
}

fn legend_columns(shown: &[Series]) -> usize {
    if shown.len() <= LEGEND_WIDE { 1 } else { 2 }
}

fn legend(out: &mut String, chart: &Chart, shown: &[Series]) {
    let columns = legend_columns(shown);
    for (n, series) in shown.iter().enumerate() {
        let x = 28.0 + (n % columns) as f64 * ((f64::from(WIDTH) - 56.0) / columns as f64);
        let y = 116.0 + (n / columns) as f64 * LEGEND_ROW;
        let _ = writeln!(
            out,
            "<rect x=\"{x:.0}\" y=\"{:.0}\" width=\"18\" height=\"18\" rx=\"4\" fill=\"{}\"/>",
            y - 17.0,
            COLOURS[n]
        );
        let values = || series.points.iter().filter_map(|p| p.1).filter(|v| v.is_finite());
        let last = values().next_back().map(|v| scale::words(chart.unit, v));
        let most = scale::words(chart.unit, values().fold(f64::MIN, f64::max));
        let words = match last {
            None => format!("{} no data", cut(&series.name, NAME_MAX)),
            Some(last) if columns == 1 => {
                format!("{} {last} (max {most})", cut(&series.name, 2 * NAME_MAX))
            }
            Some(last) => format!("{} {last}", cut(&series.name, NAME_MAX)),
        };
        text(out, (x + 28.0, y), LOUD, "font-size=\"22\"", &words);
    }
}

fn grid(out: &mut String, plot: &Plot<'_>) {
    for tick in &plot.axis.ticks {
        let y = plot.y(*tick);
        rule(out, (LEFT, y), (RIGHT, y), GRID, "");
        let words = scale::words(plot.chart.unit, *tick);
        text(out, (LEFT - 12.0, y + 8.0), QUIET, "text-anchor=\"end\" font-size=\"22\"", &words);
    }
    for (at, label) in scale::times(plot.chart.from_ms, plot.chart.to_ms) {
        let x = plot.x(at);
        rule(out, (x, plot.top), (x, BOTTOM), GRID, "stroke-dasharray=\"2 6\"");
        // A label at the right end would leave the picture; one at the left end would lie on "UTC".
        if (LEFT + LABEL_HALF..RIGHT - LABEL_HALF).contains(&x) {
            let style = "text-anchor=\"middle\" font-size=\"22\"";
            text(out, (x, BOTTOM + 34.0), QUIET, style, &label);
        }
    }
    text(out, (LEFT - 12.0, BOTTOM + 34.0), QUIET, "text-anchor=\"end\" font-size=\"22\"", "UTC");
}

/// A line with holes where there is nothing: never drawn across what is not known.
fn line(out: &mut String, plot: &Plot<'_>, series: &Series, colour: &str, filled: bool) {
    for part in parts(&thinned(series, plot)) {
        let mut path = String::new();
        for (n, (at, value)) in part.iter().enumerate() {
            let verb = if n == 0 { 'M' } else { 'L' };
            let _ = write!(path, "{verb}{:.1} {:.1} ", plot.x(*at), plot.y(*value));
        }
        let (first, last) = (plot.x(part[0].0), plot.x(part[part.len() - 1].0));
        if part.len() == 1 {
            // A single value between two holes is a dot; a line of no length is not drawn.
            let _ = writeln!(
                out,
                "<circle cx=\"{first:.1}\" cy=\"{:.1}\" r=\"4\" fill=\"{colour}\"/>",
                plot.y(part[0].1)
            );
            continue;
        }
        if filled {
            let _ = writeln!(
                out,
                "<path d=\"{path}L{last:.1} {BOTTOM:.1} L{first:.1} {BOTTOM:.1} Z\" fill=\"{colour}\" fill-opacity=\"0.18\"/>"
            );
        }
        let _ = writeln!(
            out,
            "<path d=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"3.5\" stroke-linejoin=\"round\"/>",
            path.trim_end()
        );
    }
}

/// At most one point a pixel, the highest of those that share it: a peak must not disappear.
fn thinned(series: &Series, plot: &Plot<'_>) -> Vec<(i64, Option<f64>)> {
    let mut kept: Vec<(i64, Option<f64>)> = Vec::new();
    let inside = series.points.iter().filter(|(at, value)| {
        (plot.chart.from_ms..=plot.chart.to_ms).contains(at) && value.is_none_or(f64::is_finite)
    });
    for (at, value) in inside {
        match kept.last_mut() {
            Some(last)
                if plot.x(last.0) as i64 == plot.x(*at) as i64
                    && last.1.is_some() == value.is_some() =>
            {
                if *value > last.1 {
                    *last = (*at, *value);
                }
            }
            _ => kept.push((*at, *value)),
        }
    }
    kept
}

/// Cuts where a value is missing or where points are much further apart than usual.
fn parts(points: &[(i64, Option<f64>)]) -> Vec<Vec<(i64, f64)>> {
    let mut steps: Vec<i64> = points.windows(2).map(|w| w[1].0 - w[0].0).collect();
    steps.sort_unstable();
    let usual = steps.get(steps.len() / 2).copied().unwrap_or(i64::MAX).max(1);
    let mut parts: Vec<Vec<(i64, f64)>> = Vec::new();
    let mut open = false;
    for (at, value) in points {
        let Some(value) = value else {
            open = false;
            continue;
        };
        match parts.last_mut() {
            Some(part)
                if open
                    && part.last().is_some_and(|(before, _)| {
                        at - before <= usual.saturating_mul(HOLE_STEPS)
                    }) =>
            {
                part.push((*at, *value));
            }
            _ => parts.push(vec![(*at, *value)]),
        }
        open = true;
    }
    parts
}

fn across(out: &mut String, plot: &Plot<'_>, threshold: &Threshold) {
    if !threshold.value.is_finite() {
        return;
    }
    let y = plot.y(threshold.value);
    rule(out, (LEFT, y), (RIGHT, y), ALARM, "stroke-width=\"2.5\" stroke-dasharray=\"10 7\"");
    let words = format!(
        "{} {}",
        cut(&threshold.name, NAME_MAX),
        scale::words(plot.chart.unit, threshold.value)
    );
    // Below the line where there is no room above.
    let y = if y - plot.top < 30.0 { y + 28.0 } else { y - 10.0 };
    text(out, (RIGHT - 6.0, y), ALARM, "text-anchor=\"end\" font-size=\"22\"", &words);
}

fn rule(out: &mut String, from: (f64, f64), to: (f64, f64), colour: &str, style: &str) {
    let _ = writeln!(
        out,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\" {style}/>",
        from.0, from.1, to.0, to.1
    );
}

fn text(out: &mut String, at: (f64, f64), colour: &str, style: &str, words: &str) {
    let _ = writeln!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\" {style}>{}</text>",
        at.0,
        at.1,
        escaped(words)
    );
}

/// Text that cannot leave its element. Characters that XML does not know become the replacement character.
fn escaped(words: &str) -> String {
    words.chars().fold(String::new(), |mut out, c| {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
        out
    })
}

/// The first `most` characters, with a sign where something is missing.
fn cut(words: &str, most: usize) -> String {
    if words.chars().count() <= most {
        return words.to_owned();
    }
    words.chars().take(most.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_drawn_across_a_hole() {
        let some = |at, v| (at, Some(v));
        assert_eq!(parts(&[some(0, 1.0), some(1, 2.0), (2, None), some(3, 3.0)]).len(), 2);
        assert_eq!(parts(&[some(0, 1.0), some(1, 2.0), some(2, 2.0), some(9, 3.0)]).len(), 2);
        assert_eq!(parts(&[some(0, 1.0), some(1, 2.0), some(3, 3.0)]).len(), 1);
        assert!(parts(&[(0, None)]).is_empty());
    }

    #[test]
    fn a_peak_survives_thinning() {
        let points = (0..100_000).map(|n| (n, Some(if n == 77_777 { 1.0 } else { 0.1 }))).collect();
        let series = Series { name: "cpu".into(), points };
        let chart = Chart {
            title: String::new(),
            subtitle: String::new(),
            unit: crate::Unit::Share,
            from_ms: 0,
            to_ms: 100_000,
            series: vec![series.clone()],
            thresholds: vec![],
        };
        let plot = Plot { chart: &chart, axis: scale::axis(chart.unit, 1.0), top: TOP };
        let kept = thinned(&series, &plot);
        assert!(kept.len() <= WIDTH as usize, "{}", kept.len());
        assert!(kept.contains(&(77_777, Some(1.0))));
    }
}
