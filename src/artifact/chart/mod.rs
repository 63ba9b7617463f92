//! Charts for a paper, as vectors: lines, points, bars and boxes in panels, histograms, heat maps.
//!
//! Each is plain data that a script fills in (`serde` turns its maps into them) and knows only how to be drawn: sized for a column or the
//! page, in Helvetica's widths, in colours that survive print and colour-blindness (Okabe and Ito), with a marker and a dash of its own for
//! each series, so that a grey copy reads too. One drawing, an SVG made with `plotters`, is the source of all formats: see [`Figure`].
//!
//! Every size below is in points (1/72 inch) unless it says otherwise; the origin is the upper left corner.

mod axis;
mod boxes;
mod clip;
mod data;
mod facets;
mod figure;
mod frame;
mod heatmap;
mod histogram;
mod labels;
mod legend;
mod lines;
mod looks;
mod names;
mod overlap;
mod page;
mod panels;
mod ratio;
mod scale;
mod style;

pub use data::{
    Axis, Bar, Categories, Distribution, Heatmap, Histogram, LineChart, Panel, Panels, Point, Ratio, Samples, Scale, Series, Size,
};
pub use figure::Figure;
pub(super) use page::escape;

use crate::error::{At, Result};
use data::{COLUMN, PAGE};
use std::path::{Path, PathBuf};

/// Whatever can be drawn.
pub trait Chart {
    /// Draws it.
    ///
    /// # Errors
    /// What cannot be shown: nothing to draw or too much, a value that its logarithmic axis has no place for, a range without width, a size
    /// too small to draw in.
    fn figure(&self) -> Result<Figure>;

    /// Draws it into files: `chart.png` also writes chart.pdf and chart.svg beside it, the other two endings one file. Returns them.
    ///
    /// # Errors
    /// As [`Chart::figure`] and [`Figure::write`].
    fn write(&self, path: &Path) -> Result<Vec<PathBuf>> {
        self.figure().at(path.display())?.write(path)
    }
}

impl Chart for LineChart {
    fn figure(&self) -> Result<Figure> {
        Ok(Figure::new(lines::draw(self)?, lines::description(self), self.size.dpi()?))
    }
}

impl Chart for Panels {
    fn figure(&self) -> Result<Figure> {
        Ok(Figure::new(panels::draw(self)?, panels::description(self), self.size.dpi()?))
    }
}

impl Chart for Histogram {
    fn figure(&self) -> Result<Figure> {
        Ok(Figure::new(histogram::draw(self)?, histogram::description(self), self.size.dpi()?))
    }
}

impl Chart for Heatmap {
    fn figure(&self) -> Result<Figure> {
        Ok(Figure::new(heatmap::draw(self)?, heatmap::description(self), self.size.dpi()?))
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
