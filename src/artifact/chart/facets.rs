//! Many series that are pairs of two things (a model and a cache kind) would hide each other in one plot: they are drawn in a panel for each kind, on the
//! same axes and below one legend.

use super::axis::{self, MARGIN, TITLE, line_height};
use super::data::PAGE;
use super::frame::Frame;
use super::legend::{self, Entry, Legend};
use super::lines;
use super::looks::{self, Look};
use super::page::{Align, Page, Text};
use super::style::INK;
use super::{LineChart, Series, Size};
use crate::artifact::font;
use crate::error::Result;

/// More series than these in one plot can't be followed where they cross.
const MOST_TOGETHER: usize = 8;
/// Panels beside each other.
const MOST_BESIDE: usize = 3;
/// More panels than these are no figure.
const MOST_PANELS: usize = 9;
/// The height of a panel, of its width: plots that are compared are as high as they are wide, nearly.
const SHAPE: f64 = 0.86;
const BETWEEN: f64 = 6.0;

/// The panels of a chart: what each shows, and its series.
#[derive(Debug)]
pub(super) struct Facets {
    panels: Vec<(String, LineChart)>,
    /// As each group looks in every panel.
    legend: Vec<Entry>,
}

/// A chart's panels, where its series are too many for one plot and can be told apart by a kind.
pub(super) fn of(chart: &LineChart) -> Option<Facets> {
    let shown: Vec<(&Series, Look)> =
        chart.series.iter().zip(looks::looks(chart)).filter(|(series, _)| series.points.iter().any(super::Point::is_finite)).collect();
    if chart.panels == Some(false) || (chart.panels.is_none() && shown.len() <= MOST_TOGETHER) {
        return None;
    }
    let pairs: Vec<(&str, &str)> = shown.iter().map(|(series, _)| looks::pair(series)).collect::<Option<_>>()?;
    let (mut groups, mut kinds): (Vec<(&str, Look)>, Vec<&str>) = (Vec::new(), Vec::new());
    for ((group, kind), (_, look)) in pairs.iter().zip(&shown) {
        if !groups.iter().any(|(known, _)| known == group) {
            // In a panel of its own a kind needs no dash and no marker: they tell the groups apart where there are no colours.
            let number = groups.len();
            groups.push((group, Look { color: look.color, marker: number, dash: number }));
        }
        if !kinds.contains(kind) {
            kinds.push(kind);
        }
    }
    if groups.len() < 2 || !(2..=MOST_PANELS).contains(&kinds.len()) {
        return None;
    }
    let panels = kinds.iter().map(|kind| {
        let mut series = Vec::new();
        for ((group, _), (given, _)) in pairs.iter().zip(&shown).filter(|((_, other), _)| other == kind) {
            let number = groups.iter().position(|(known, _)| known == group);
            series.push(Series { marker: number, dash: number, ..(*given).clone() });
        }
        let empty = Vec::new();
        let panel = LineChart {
            title: Some((*kind).to_owned()),
            x: chart.x.clone(),
            y: chart.y.clone(),
            series: empty,
            size: Size::default(),
            panels: None,
        };
        ((*kind).to_owned(), LineChart { series, ..panel })
    });
    let panels = panels.collect();
    let (line, markers) = (shown.iter().any(|(series, _)| series.line.unwrap_or(true)), shown.iter().any(|(series, _)| series.markers));
    let band = shown.iter().any(|(series, _)| series.band);
    let legend = groups.iter().map(|(name, look)| looks::entry(name, *look, (line, markers, band))).collect();
    Some(Facets { panels, legend })
}

/// Where everything is.
pub(super) struct Placed<'a> {
    width: f64,
    height: f64,
    title: Vec<String>,
    legend: Legend,
    /// Each panel, its frame, and where that begins.
    panels: Vec<(&'a LineChart, Frame, (f64, f64))>,
}

impl Facets {
    /// Lays the panels out; `chart` is the one that they are made of.
    ///
    /// # Errors
    /// As for a single plot.
    pub(super) fn place(&self, chart: &LineChart) -> Result<Placed<'_>> {
        let (width, height) = chart.size.points(PAGE)?;
        let count = self.panels.len();
        // Four stand better two by two.
        let beside = count.div_ceil(count.div_ceil(MOST_BESIDE));
        let rows = count.div_ceil(beside);
        let room = width - 2.0 * MARGIN;
        let title = axis::lines(chart.title.as_deref().unwrap_or_default(), TITLE, room, 3);
        let legend = legend::layout(std::slice::from_ref(&self.legend), room);
        let top = title.len() as f64 * line_height(TITLE) + legend.height + MARGIN;
        let each = |extra: f64| (width - BETWEEN * (beside - 1) as f64 - extra) / beside as f64;
        let tall = height.map_or(each(0.0) * SHAPE, |height| (height - top - BETWEEN * (rows - 1) as f64) / rows as f64);
        // Only the first of a row has the vertical axis's name, and is so much wider that all plots are of one width.
        let named = lines::frame_of(&self.panels[0].1, chart, sized(each(0.0), tall), true)?;
        let plain = lines::frame_of(&self.panels[0].1, chart, sized(each(0.0), tall), false)?;
        let extra = (plain.area.width() - named.area.width()).max(0.0);
        let mut panels = Vec::new();
        for (index, (_, panel)) in self.panels.iter().enumerate() {
            let (row, column) = (index / beside, index % beside);
            let first = column == 0;
            let wide = each(extra) + if first { extra } else { 0.0 };
            let frame = lines::frame_of(panel, chart, sized(wide, tall), first)?;
            let left = if first { 0.0 } else { extra + column as f64 * (each(extra) + BETWEEN) };
            panels.push((panel, frame, (left, top + row as f64 * (tall + BETWEEN))));
        }
        let height = height.unwrap_or(top + rows as f64 * tall + (rows - 1) as f64 * BETWEEN);
        Ok(Placed { width, height, title, legend, panels })
    }
}

/// A panel's size in points.
fn sized(width: f64, height: f64) -> Size {
    Size { width: Some(width / 72.0), height: Some(height / 72.0), dpi: None }
}

impl Placed<'_> {
    /// # Errors
    /// As for a single plot.
    pub(super) fn draw(&self) -> Result<Page> {
        let mut page = Page::new(self.width, self.height);
        for (index, line) in self.title.iter().enumerate() {
            let base = MARGIN + font::CAPITAL * TITLE + index as f64 * line_height(TITLE);
            page.text((axis::centered(line, TITLE, self.width / 2.0, self.width), base), Text::new(line, TITLE, INK, Align::Center));
        }
        let left = ((self.width - self.legend.width) / 2.0).max(MARGIN);
        legend::draw(&mut page, (left, MARGIN + self.title.len() as f64 * line_height(TITLE)), &self.legend)?;
        for (panel, frame, at) in &self.panels {
            page.place(&lines::draw_in(panel, frame)?, *at);
        }
        Ok(page)
    }

    /// Whether what is drawn overlaps nothing else: for tests.
    #[cfg(test)]
    pub(super) fn plots(&self) -> Vec<super::Rect> {
        let moved = |(_, frame, (left, top)): &(&LineChart, Frame, (f64, f64))| super::Rect {
            left: frame.area.left + left,
            right: frame.area.right + left,
            top: frame.area.top + top,
            bottom: frame.area.bottom + top,
        };
        self.panels.iter().map(moved).collect()
    }
}
