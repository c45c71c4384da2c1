//! Values in, PNG out: line charts that can be read on a phone, light on a dark background.
//!
//! A chart is written as SVG text and rendered with fonts that are part of the program, so a picture is the same on
//! every machine. Pure: no clock, no files, no network. Rendering takes some 20 ms of CPU; callers that must not
//! block hand it to a blocking thread.

mod draw;
mod scale;

use std::sync::{Arc, LazyLock};

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};

pub use draw::svg;

/// Width of every picture, pixels. Discord shows pictures 550 wide at most, on phones about 350.
pub const WIDTH: u32 = 800;
/// Height of a picture, pixels.
pub const HEIGHT: u32 = 480;
/// Most lines in one chart: more colours cannot be told apart.
pub const SERIES_MAX: usize = 8;

/// What the values are, for axis and legend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A share: 0.0 to 1.0 is shown as 0 % to 100 %.
    Share,
    /// Bytes, shown as KiB, MiB, GiB, …
    Bytes,
    /// Bytes a second.
    BytesPerSecond,
    /// A plain number.
    Number,
}

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Time in milliseconds and value, by time. `None` is a gap: nothing is drawn across it.
    pub points: Vec<(i64, Option<f64>)>,
}

/// A line across the chart, such as a limit or an alert's threshold.
#[derive(Debug, Clone, PartialEq)]
pub struct Threshold {
    /// Where, in the chart's unit.
    pub value: f64,
    /// What it is: `limit`, `alert above`.
    pub name: String,
}

/// A chart.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// What is shown.
    pub title: String,
    /// Of what, for which time.
    pub subtitle: String,
    /// Unit of every value.
    pub unit: Unit,
    /// Left end of the time axis, milliseconds.
    pub from_ms: i64,
    /// Right end, milliseconds.
    pub to_ms: i64,
    /// The lines; those after the first [`SERIES_MAX`] are left out, and the picture says so.
    pub series: Vec<Series>,
    /// Lines across.
    pub thresholds: Vec<Threshold>,
}

/// A picture that could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The drawing could not be read back; a defect of this crate.
    #[error("the drawing is not valid: {0}")]
    Drawing(String),
    /// The picture could not be encoded.
    #[error("the picture could not be encoded: {0}")]
    Encoding(String),
}

static FONTS: LazyLock<Arc<fontdb::Database>> = LazyLock::new(|| {
    let mut fonts = fontdb::Database::new();
    fonts.load_font_data(include_bytes!("../font/DejaVuSans.ttf").to_vec());
    fonts.load_font_data(include_bytes!("../font/DejaVuSans-Bold.ttf").to_vec());
    fonts.set_sans_serif_family("DejaVu Sans");
    Arc::new(fonts)
});

/// Draws a chart as PNG, [`WIDTH`] × [`HEIGHT`] pixels.
pub fn png(chart: &Chart) -> Result<Vec<u8>, Error> {
    let options =
        Options { fontdb: FONTS.clone(), font_family: "DejaVu Sans".into(), ..Options::default() };
    let tree = Tree::from_str(&svg(chart), &options).map_err(|e| Error::Drawing(e.to_string()))?;
    let mut picture = Pixmap::new(WIDTH, HEIGHT)
        .ok_or_else(|| Error::Drawing("the picture has no size".into()))?;
    resvg::render(&tree, Transform::identity(), &mut picture.as_mut());
    picture.encode_png().map_err(|e| Error::Encoding(e.to_string()))
}
