//! Charts for a paper, as PNG: a line chart, and panels of bars.
//!
//! Both are plain data that a script fills in (`serde` turns its maps into them) and know only how to be drawn: sized for a column or
//! the page, in Helvetica's widths, in colours that survive print and colour-blindness (Okabe and Ito), with a marker and a dash of its own
//! for each series, so that a grey copy reads too. The image carries its resolution: LaTeX's `\includegraphics` needs no width.
//!
//! Every size below is in points (1/72 inch) unless it says otherwise; the origin is the upper left corner.

mod axis;
mod bars;
mod canvas;
mod legend;
mod lines;
mod scale;
mod style;

use super::read;
use crate::error::{At, Error, Result};
use serde::Deserialize;
use std::path::Path;

/// Lines, or points alone, over one pair of axes.
///
/// # Example
/// ```
/// let chart: caramba::artifact::LineChart = serde_json::from_str(r#"{
///     "x": { "label": "Prompt length (tokens)", "scale": "log2", "ticks": [128, 512, 1024] },
///     "y": { "label": "Throughput (tokens/s)" },
///     "series": [
///         { "name": "teacher", "points": [[128, 21.5], [512, 19.2], [1024, 16.0]] },
///         { "name": "student", "points": [{ "x": 128, "y": 24.1, "low": 23.5, "high": 24.8 }, [512, 22.8], [1024, 20.9]] }
///     ]
/// }"#).unwrap();
/// assert_eq!(&chart.png().unwrap()[1..4], b"PNG");
/// ```
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LineChart {
    /// A line above; a figure with a caption needs none.
    #[serde(default)]
    pub title: Option<String>,
    pub x: Axis,
    pub y: Axis,
    /// In the order of the legend. At least one, at most 40.
    #[serde(deserialize_with = "read::series")]
    pub series: Vec<Series>,
    /// A column of a paper (3.35 inches) wide, and as high as it needs to be, unless it says otherwise.
    #[serde(default)]
    pub size: Size,
}

/// One axis. Its range covers the data and the given ticks, unless `low` and `high` say otherwise.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Axis {
    /// What is measured and its unit: `Throughput (tokens/s)`.
    #[serde(default)]
    pub label: String,
    #[serde(default)]
    pub scale: Scale,
    /// Where the ticks are, rather than at round numbers.
    #[serde(default, deserialize_with = "read::numbers")]
    pub ticks: Vec<f64>,
    #[serde(default, deserialize_with = "read::optional")]
    pub low: Option<f64>,
    #[serde(default, deserialize_with = "read::optional")]
    pub high: Option<f64>,
    /// Whether a linear axis starts at zero. Unsaid: a vertical one does when the smallest value is less than half of the largest.
    #[serde(default)]
    pub from_zero: Option<bool>,
}

/// How values are spread along an axis.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scale {
    #[default]
    Linear,
    /// For lengths that double: ticks at powers of two.
    Log2,
    /// Ticks at powers of ten.
    Log10,
}

/// One line with its markers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Series {
    /// As the legend says it; a series without a name is not in the legend.
    #[serde(default)]
    pub name: String,
    /// In the order in which the line joins them. A point whose `y` is missing (`()`, NaN) or infinite is a gap in the line.
    #[serde(deserialize_with = "read::points")]
    pub points: Vec<Point>,
    /// Whether the points are joined.
    #[serde(default = "read::yes")]
    pub line: bool,
    /// Whether the points are marked.
    #[serde(default = "read::yes")]
    pub markers: bool,
    /// Shows the intervals of the points as a band behind the line, rather than as error bars.
    #[serde(default)]
    pub band: bool,
    /// Colour, marker and dash by number, from 0, going round; unsaid, each is the number of the series. To show two things at once, give
    /// every model a colour and every cache kind a dash and a marker.
    #[serde(default)]
    pub color: Option<usize>,
    #[serde(default)]
    pub marker: Option<usize>,
    #[serde(default)]
    pub dash: Option<usize>,
}

/// One measurement: `[x, y]`, `[x, y, low, high]`, or a map. `low` and `high` are the ends of its interval.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    pub x: f64,
    /// NaN where there is none.
    pub y: f64,
    pub low: Option<f64>,
    pub high: Option<f64>,
    /// Stands beside the marker.
    pub label: Option<String>,
}

/// Bars from zero, each with its value above, in panels side by side that each have an axis of their own.
///
/// # Example
/// ```
/// let chart: caramba::artifact::BarPanels = serde_json::from_str(r#"{ "panels": [
///     { "title": "Loss", "label": "Loss", "note": "lower is better",
///       "bars": [{ "name": "teacher", "value": 12.76 }, { "name": "student", "value": 13.53, "low": 13.4, "high": 13.7 }] },
///     { "title": "Throughput", "label": "tokens/s",
///       "bars": [{ "name": "teacher", "value": 74.05 }, { "name": "student", "value": 81.95 }] }
/// ] }"#).unwrap();
/// assert_eq!(&chart.png().unwrap()[1..4], b"PNG");
/// ```
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BarPanels {
    #[serde(default)]
    pub title: Option<String>,
    /// At least one, at most 12.
    #[serde(deserialize_with = "read::panels")]
    pub panels: Vec<Panel>,
    /// How many stand side by side; unsaid: up to three.
    #[serde(default)]
    pub columns: Option<usize>,
    /// A column (3.35 inches) wide for one panel, two thirds of a page for two and the page (7 inches) for three, unless it says otherwise.
    #[serde(default)]
    pub size: Size,
}

/// One panel of bars.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Panel {
    #[serde(default)]
    pub title: Option<String>,
    /// Small, below the title: `lower is better`.
    #[serde(default)]
    pub note: Option<String>,
    /// Of the vertical axis, with its unit.
    #[serde(default)]
    pub label: String,
    #[serde(deserialize_with = "read::bars")]
    pub bars: Vec<Bar>,
}

/// One bar. Bars of one name have one colour in all panels.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bar {
    pub name: String,
    /// NaN or `()` where there is none: the panel then says `n/a`.
    #[serde(deserialize_with = "read::number")]
    pub value: f64,
    #[serde(default, deserialize_with = "read::optional")]
    pub low: Option<f64>,
    #[serde(default, deserialize_with = "read::optional")]
    pub high: Option<f64>,
    /// What stands above the bar, rather than its value with three significant digits.
    #[serde(default)]
    pub text: Option<String>,
    /// See [`Series::color`]; unsaid, the number of its name.
    #[serde(default)]
    pub color: Option<usize>,
}

/// The size of the image.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Size {
    /// Inches.
    #[serde(default, deserialize_with = "read::optional")]
    pub width: Option<f64>,
    /// Inches, of the whole image.
    #[serde(default, deserialize_with = "read::optional")]
    pub height: Option<f64>,
    /// Pixels in an inch: 400 if unsaid.
    #[serde(default, deserialize_with = "read::optional")]
    pub dpi: Option<f64>,
}

/// A column of a paper in two columns, in inches.
const COLUMN: f64 = 3.35;
/// The text of a page, in inches.
const PAGE: f64 = 7.0;

impl LineChart {
    /// The chart as a PNG file's bytes.
    ///
    /// # Errors
    /// No series or too many, a value that its logarithmic axis cannot show, a range without width, a size too small to draw in.
    pub fn png(&self) -> Result<Vec<u8>> {
        lines::draw(self)?.png()
    }

    /// Writes the chart as a whole PNG file.
    ///
    /// # Errors
    /// As [`LineChart::png`], and those of [`super::write_atomically`].
    pub fn write(&self, path: &Path) -> Result<()> {
        write(path, self.png())
    }
}

impl BarPanels {
    /// The chart as a PNG file's bytes.
    ///
    /// # Errors
    /// No panels, one without bars, too many of either, a size too small to draw in.
    pub fn png(&self) -> Result<Vec<u8>> {
        bars::draw(self)?.png()
    }

    /// Writes the chart as a whole PNG file.
    ///
    /// # Errors
    /// As [`BarPanels::png`], and those of [`super::write_atomically`].
    pub fn write(&self, path: &Path) -> Result<()> {
        write(path, self.png())
    }
}

fn write(path: &Path, png: Result<Vec<u8>>) -> Result<()> {
    super::write_atomically(path, &png.at(path.display())?)
}

impl Size {
    /// Width and height in points, as asked for.
    fn points(&self, default_width: f64) -> Result<(f64, Option<f64>)> {
        let check = |name: &str, inches: f64| {
            if (1.0..=40.0).contains(&inches) {
                Ok(inches * 72.0)
            } else {
                Err(Error::new(format!("`size.{name}` is {inches} inches: expected 1 to 40"))
                    .remedy("a column of a paper is 3.35 inches wide, a page 7"))
            }
        };
        Ok((check("width", self.width.unwrap_or(default_width))?, self.height.map(|height| check("height", height)).transpose()?))
    }

    fn dpi(&self) -> Result<f64> {
        match self.dpi {
            None => Ok(400.0),
            Some(dpi) if (36.0..=1200.0).contains(&dpi) => Ok(dpi),
            Some(dpi) => Err(Error::new(format!("`size.dpi` is {dpi}: expected 36 to 1200"))),
        }
    }
}

/// A rectangle.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Rect {
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
}

impl Rect {
    fn width(&self) -> f64 {
        self.right - self.left
    }

    fn height(&self) -> f64 {
        self.bottom - self.top
    }

    /// The area that both cover.
    fn overlap(&self, other: &Rect) -> f64 {
        let width = self.right.min(other.right) - self.left.max(other.left);
        let height = self.bottom.min(other.bottom) - self.top.max(other.top);
        width.max(0.0) * height.max(0.0)
    }
}

#[cfg(test)]
mod tests;
