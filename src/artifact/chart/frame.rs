//! A plot between two axes, with a title and a legend above: what line charts, scatter charts and histograms share.

use super::axis::{self, Grid, LABEL, MARGIN, SMALL, Side, TITLE, line_height};
use super::legend::{self, Entry, Legend};
use super::page::{Align, Page, Text};
use super::scale::{Mapping, Role};
use super::style::{GREY, INK};
use super::{Axis, COLUMN, Rect, Scale, Size};
use crate::artifact::font;
use crate::error::{Error, Result};

/// The height of the plot, of the figure's width.
const SHAPE: f64 = 0.52;
/// A plot that is smaller is no plot.
pub(super) const SMALLEST: f64 = 36.0;
/// What is said in passing.
pub(super) const NOTE: f64 = 6.5;

/// What goes into a frame.
pub(super) struct Content<'a> {
    pub(super) title: Option<&'a str>,
    pub(super) size: &'a Size,
    pub(super) x: &'a Axis,
    pub(super) y: &'a Axis,
    /// All values that the axes should show.
    pub(super) across: Vec<f64>,
    pub(super) heights: Vec<f64>,
    /// The legend's blocks.
    pub(super) legend: Vec<Vec<Entry>>,
    /// Small, below the legend.
    pub(super) note: Option<String>,
}

/// Everything's place.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) area: Rect,
    pub(super) legend: Legend,
    /// The legend's upper left corner.
    pub(super) legend_at: (f64, f64),
    pub(super) x: Mapping,
    pub(super) y: Mapping,
    title: Vec<String>,
    note: Vec<String>,
    x_label: Vec<String>,
    y_label: String,
}

impl Frame {
    pub(super) fn new(content: &Content<'_>) -> Result<Frame> {
        let (width, height) = content.size.points(COLUMN)?;
        let room = width - 2.0 * MARGIN;
        let title = axis::lines(content.title.unwrap_or_default(), TITLE, room, 3);
        let note = axis::lines(content.note.as_deref().unwrap_or_default(), NOTE, room, 2);
        let legend = legend::layout(&content.legend, room);
        let mut above = MARGIN + title.len() as f64 * line_height(TITLE);
        let legend_top = above;
        above += legend.height + note.len() as f64 * line_height(NOTE);
        above += if above > legend_top { 3.0 } else { 0.0 };

        let across = || content.across.iter().copied();
        // Whether the label shares its line with a power of ten, and so may need another, does not depend on how many ticks there are.
        let beside = axis::exponent_room(&Mapping::new("x", content.x, across(), Role::Horizontal, 5.0)?);
        let x_label = axis::lines(&content.x.label, LABEL, room - 2.0 * beside, 2);
        let below = axis::room_below(x_label.len()) + MARGIN;
        // How high the plot is decides how many ticks fit, and they may need a line above it.
        let plot_height = |above: f64| height.map_or(width * SHAPE, |height| height - above - below);
        let heights = content.heights.iter().copied();
        let y = Mapping::new("y", content.y, heights, Role::Vertical, (plot_height(above) / 26.0).clamp(2.0, 8.0))?;
        above += axis::room_above(&y).max(SMALL * 0.4);
        let tall = plot_height(above);
        if tall < SMALLEST {
            return Err(Error::new(format!(
                "{:.0} points of the height are left for the plot: expected {SMALLEST} or more",
                tall.max(0.0)
            ))
            .remedy("raise `size.height`, or leave it out"));
        }
        let left = MARGIN + axis::room_beside(&y, &content.y.label, tall);
        let about = |wide: f64| (wide / if content.x.scale == Scale::Linear { 34.0 } else { 25.0 }).clamp(2.0, 12.0);
        let x = Mapping::new("x", content.x, across(), Role::Horizontal, about(width - left - MARGIN))?;
        let last_label = axis::room_right(&x) * f64::from(u8::from(x.ticks.last().is_some_and(|tick| x.place(tick.value) > 0.9)));
        let right = width - MARGIN - last_label.max(2.0);
        if right - left < SMALLEST {
            let left = (right - left).max(0.0);
            return Err(Error::new(format!("{left:.0} points of the width are left for the plot: expected {SMALLEST} or more"))
                .remedy("raise `size.width`"));
        }
        let area = Rect { left, top: above, right, bottom: above + tall };
        let legend_at = (left.min(width - MARGIN - legend.width).max(MARGIN), legend_top);
        let height = height.unwrap_or(area.bottom + below);
        Ok(Frame { width, height, area, legend, legend_at, x, y, title, note, x_label, y_label: content.y.label.clone() })
    }

    /// A page with the title, the legend and the grid: what lies below the data.
    pub(super) fn begin(&self) -> Result<Page> {
        let mut page = Page::new(self.width, self.height);
        for (index, line) in self.title.iter().enumerate() {
            let base = MARGIN + font::CAPITAL * TITLE + index as f64 * line_height(TITLE);
            let middle = axis::centered(line, TITLE, (self.area.left + self.area.right) / 2.0, self.width);
            page.text((middle, base), Text::new(line, TITLE, INK, Align::Center));
        }
        for (index, line) in self.note.iter().enumerate() {
            let top = self.legend_at.1 + self.legend.height + index as f64 * line_height(NOTE);
            let left = self.area.left.min(self.width - MARGIN - font::width(line, NOTE)).max(MARGIN);
            page.text((left, top + font::CAPITAL * NOTE + 1.0), Text::new(line, NOTE, GREY, Align::Left));
        }
        legend::draw(&mut page, self.legend_at, &self.legend)?;
        axis::grid(&mut page, self.area, (&self.x, &self.y), Grid::Both)?;
        Ok(page)
    }

    /// The axes, over bands and bars.
    pub(super) fn axes(&self, page: &mut Page) -> Result<()> {
        axis::vertical(page, self.area, &self.y, &self.y_label, Side::Left)?;
        axis::horizontal(page, self.area, &self.x, &self.x_label, self.width)
    }

    /// Says in the middle of the plot that there is nothing to show.
    pub(super) fn no_data(&self, page: &mut Page) {
        let middle = ((self.area.left + self.area.right) / 2.0, (self.area.top + self.area.bottom) / 2.0);
        page.text(middle, Text::new("no data", SMALL, GREY, Align::Center));
    }
}
