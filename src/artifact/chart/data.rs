//! What charts are made of: plain data, which a script's maps become.

use crate::artifact::read;
use crate::error::{Error, Result};
use serde::Deserialize;

/// A column of a paper in two columns, in inches.
pub(super) const COLUMN: f64 = 3.35;
/// The text of a page, in inches.
pub(super) const PAGE: f64 = 7.0;

/// Lines, or points alone, over one pair of axes.
///
/// # Example
/// ```
/// use caramba::artifact::{Chart, LineChart};
/// let chart: LineChart = serde_json::from_str(r#"{
///     "x": { "label": "Prompt length (tokens)", "scale": "log2", "ticks": [128, 512, 1024] },
///     "y": { "label": "Throughput (tokens/s)" },
///     "series": [
///         { "name": "teacher", "points": [[128, 21.5], [512, 19.2], [1024, 16.0]] },
///         { "name": "student", "points": [{ "x": 128, "y": 24.1, "low": 23.5, "high": 24.8 }, [512, 22.8], [1024, 20.9]] }
///     ]
/// }"#).unwrap();
/// let figure = chart.figure().unwrap();
/// assert!(figure.svg().unwrap().contains("data-y=\"22.8\""));
/// assert!(figure.pdf().unwrap().starts_with(b"%PDF"));
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
    /// A column of a paper (3.35 inches) wide, and as high as it needs to be, unless it says otherwise. In panels it is a page (7 inches) wide.
    #[serde(default)]
    pub size: Size,
    /// Whether series that are pairs stand in a panel for each kind. Unsaid: where there are more than eight of them.
    #[serde(default)]
    pub panels: Option<bool>,
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
    /// Which two things the series is a pair of, a model and a cache kind, say: it has its group's colour and its kind's dash and marker, and
    /// where two short legends say it all, there is one for the groups and one for the kinds. (Series that are named `group, kind`, with
    /// colours, dashes and markers that follow, have them too.)
    #[serde(default)]
    pub group: Option<String>,
    #[serde(default)]
    pub kind: Option<String>,
    /// In the order in which the line joins them. A point whose `y` is missing (`()`, NaN) or infinite is a gap in the line.
    #[serde(deserialize_with = "read::points")]
    pub points: Vec<Point>,
    /// Whether the points are joined: unsaid, those of a line chart are, those of a scatter chart aren't. Points at one `x` that follow one
    /// another are joined by their mean.
    #[serde(default)]
    pub line: Option<bool>,
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

impl Point {
    /// Whether it has a place: not if its `y` is missing.
    pub(super) fn is_finite(&self) -> bool {
        self.x.is_finite() && self.y.is_finite()
    }
}

/// Bars from zero, each with its value above, or boxes, in panels side by side that each have an axis of their own.
///
/// # Example
/// ```
/// use caramba::artifact::{Chart, Panels};
/// let chart: Panels = serde_json::from_str(r#"{ "panels": [
///     { "title": "Loss", "label": "Loss", "note": "lower is better",
///       "bars": [{ "name": "teacher", "value": 12.76 }, { "name": "student", "value": 13.53, "low": 13.4, "high": 13.7 }] },
///     { "title": "Throughput", "label": "tokens/s",
///       "bars": [{ "name": "teacher", "value": 74.05 }, { "name": "student", "value": 81.95 }],
///       "ratio": { "label": "Student / teacher", "points": [{ "name": "student", "value": 1.107, "low": 1.09, "high": 1.12 }] } },
///     { "title": "Latency", "label": "ms",
///       "boxes": [{ "name": "teacher", "values": [13.5, 13.1, 13.9, 13.6, 14.8] }, { "name": "student", "values": [12.2, 12.1, 12.4, 12.0, 12.9] }] }
/// ] }"#).unwrap();
/// assert_eq!(&chart.figure().unwrap().png().unwrap()[1..4], b"PNG");
/// ```
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Panels {
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

/// One panel, of bars or of boxes.
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
    /// On a logarithmic axis, which has no zero for bars to begin at, values are points on stems.
    #[serde(default)]
    pub scale: Scale,
    #[serde(default, deserialize_with = "read::bars")]
    pub bars: Vec<Bar>,
    #[serde(default, deserialize_with = "read::boxes")]
    pub boxes: Vec<Distribution>,
    /// Beside the bars: how they compare.
    #[serde(default)]
    pub ratio: Option<Ratio>,
}

/// Ratios of a panel's bars to one of them, on an axis of their own, with the intervals of paired measurements.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ratio {
    /// Of the axis: `Student / teacher`.
    #[serde(default)]
    pub label: String,
    /// One for each bar that is compared, by the bar's name.
    #[serde(deserialize_with = "read::points_of_ratio")]
    pub points: Vec<Bar>,
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

/// Samples that a box shows: quartiles, whiskers to the farthest samples within 1.5 times the box's height, and outliers one by one. Of fewer
/// than five, each is shown.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distribution {
    pub name: String,
    /// Those that are missing or infinite do not count.
    #[serde(deserialize_with = "read::values")]
    pub values: Vec<f64>,
    /// See [`Series::color`]; unsaid, the number of its name.
    #[serde(default)]
    pub color: Option<usize>,
}

/// How often values fall where.
///
/// # Example
/// ```
/// use caramba::artifact::{Chart, Histogram};
/// let chart: Histogram = serde_json::from_str(r#"{
///     "x": { "label": "Latency (ms)" },
///     "series": [{ "name": "teacher", "values": [13.5, 13.1, 13.9, 13.6, 14.8] }, { "name": "student", "values": [12.2, 12.1, 12.4] }]
/// }"#).unwrap();
/// assert!(chart.figure().unwrap().svg().unwrap().contains("data-from=\"12.0\""));
/// ```
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Histogram {
    #[serde(default)]
    pub title: Option<String>,
    pub x: Axis,
    /// Of the vertical axis; unsaid: `Values`, or `Share of values`.
    #[serde(default)]
    pub label: String,
    /// At least one, at most 8; all have the same bins.
    #[serde(deserialize_with = "read::samples")]
    pub series: Vec<Samples>,
    /// How many, 1 to 200; unsaid, as many as the values deserve, with round edges.
    #[serde(default)]
    pub bins: Option<usize>,
    /// Shows the share of each series' values rather than how many they are: for series of unequal length.
    #[serde(default)]
    pub share: bool,
    #[serde(default)]
    pub size: Size,
}

/// One series of a histogram.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Samples {
    #[serde(default)]
    pub name: String,
    /// Those that are missing or infinite do not count.
    #[serde(deserialize_with = "read::values")]
    pub values: Vec<f64>,
    /// See [`Series::color`].
    #[serde(default)]
    pub color: Option<usize>,
}

/// A colour for each cell of a grid.
///
/// # Example
/// ```
/// use caramba::artifact::{Chart, Heatmap};
/// let chart: Heatmap = serde_json::from_str(r#"{
///     "x": { "label": "Head" }, "y": { "label": "Layer", "names": ["first", "last"] }, "label": "Entropy (nats)",
///     "values": [[0.1, 2.5, 1.7], [3.1, null, 0.4]]
/// }"#).unwrap();
/// assert!(chart.figure().unwrap().svg().unwrap().contains("data-row=\"last\" data-column=\"0\" data-value=\"3.1\""));
/// ```
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heatmap {
    #[serde(default)]
    pub title: Option<String>,
    pub x: Categories,
    pub y: Categories,
    /// A list for each row, from the top; each as long as the first, and at most 128 of either. Missing ones are grey.
    #[serde(deserialize_with = "read::grid")]
    pub values: Vec<Vec<f64>>,
    /// Of the colours.
    #[serde(default)]
    pub label: String,
    #[serde(default)]
    pub scale: Scale,
    /// The ends of the colours; unsaid: the least value and the largest.
    #[serde(default, deserialize_with = "read::optional")]
    pub low: Option<f64>,
    #[serde(default, deserialize_with = "read::optional")]
    pub high: Option<f64>,
    /// Whether values stand in their cells: if they fit, unsaid.
    #[serde(default)]
    pub show: Option<bool>,
    /// Significant digits of these: 3 if unsaid.
    #[serde(default)]
    pub digits: Option<usize>,
    #[serde(default)]
    pub size: Size,
}

/// The rows or the columns of a heat map.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Categories {
    #[serde(default)]
    pub label: String,
    /// One for each, text or numbers; unsaid: numbers from 0.
    #[serde(default, deserialize_with = "read::names")]
    pub names: Vec<String>,
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
    /// Of a PNG file, pixels in an inch: 300 if unsaid.
    #[serde(default, deserialize_with = "read::optional")]
    pub dpi: Option<f64>,
}

impl LineChart {
    /// The same as a scatter chart: points are joined only where their series says so.
    #[must_use]
    pub fn scattered(mut self) -> LineChart {
        for series in &mut self.series {
            series.line.get_or_insert(false);
        }
        self
    }
}

impl Size {
    /// Width and height in points, as asked for.
    pub(super) fn points(&self, default_width: f64) -> Result<(f64, Option<f64>)> {
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

    pub(super) fn dpi(&self) -> Result<f64> {
        match self.dpi {
            None => Ok(300.0),
            Some(dpi) if (36.0..=1200.0).contains(&dpi) => Ok(dpi),
            Some(dpi) => Err(Error::new(format!("`size.dpi` is {dpi}: expected 36 to 1200"))),
        }
    }
}
