//! The legend stands above the plot, in as many columns as fit: it never covers data, and grows the figure instead.
//!
//! It has a block for each thing that is told apart. Series that are all pairs of a model and a cache kind, say, need an entry for each model
//! and one for each kind, not for each pair.

use super::Rect;
use super::axis::{SMALL, line_height};
use super::page::{Align, Group, Page, Text};
use super::style::{self, Color, INK, WHITE};
use crate::artifact::font;
use crate::error::Result;

/// The sample of line and marker before a name.
const SAMPLE: f64 = 21.0;
/// A square before a name.
const SQUARE: f64 = 6.0;
/// Between the sample and the name.
const GAP: f64 = 4.0;
/// Between columns.
const BETWEEN: f64 = 10.0;
pub(super) const LINE_WIDTH: f64 = 1.2;
pub(super) const MARKER: f64 = 2.1;
/// How much of its colour a band has.
pub(super) const TINT: f64 = 0.18;

/// What stands before a name.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Sample {
    /// As a series looks: its line's dash, its marker, its band, as far as it has them.
    Line { color: Color, dash: Option<usize>, marker: Option<usize>, band: bool },
    /// The colour of a bar.
    Square(Color),
}

impl Sample {
    fn width(&self) -> f64 {
        match self {
            Sample::Line { .. } => SAMPLE,
            Sample::Square(_) => SQUARE,
        }
    }
}

/// One line of a legend.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) sample: Sample,
    pub(super) name: String,
}

/// Where the entries are, from a left upper corner at the origin.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Legend {
    /// Each with its place, and its name as it fits.
    pub(super) entries: Vec<(Entry, Rect)>,
    pub(super) width: f64,
    /// 0 without entries.
    pub(super) height: f64,
}

/// Lays out the blocks one below the other (side by side where both fit into one row), each row by row in aligned columns. Entries without
/// a name are left out.
pub(super) fn layout(blocks: &[Vec<Entry>], room: f64) -> Legend {
    let mut legend = Legend::default();
    for block in blocks {
        let block = lay_block(block, room);
        if block.entries.is_empty() {
            continue;
        }
        let row = line_height(SMALL);
        let beside = legend.width + 2.0 * BETWEEN;
        let fits = !legend.entries.is_empty() && legend.height <= row && block.height <= row && beside + block.width <= room;
        let (left, top) = if fits { (beside, 0.0) } else { (0.0, legend.height) };
        legend.entries.extend(block.entries.into_iter().map(|(entry, rect)| {
            let moved = Rect { left: rect.left + left, top: rect.top + top, right: rect.right + left, bottom: rect.bottom + top };
            (entry, moved)
        }));
        legend.width = legend.width.max(left + block.width);
        legend.height = legend.height.max(top + block.height);
    }
    legend
}

fn lay_block(entries: &[Entry], room: f64) -> Legend {
    let named: Vec<Entry> = entries
        .iter()
        .filter(|entry| !entry.name.trim().is_empty())
        .map(|entry| Entry { name: font::elide(&entry.name, SMALL, room - entry.sample.width() - GAP), ..*entry })
        .collect();
    let entry_width = |entry: &Entry| entry.sample.width() + GAP + font::width(&entry.name, SMALL);
    let widths_in = |columns: usize| -> Vec<f64> {
        (0..columns).map(|column| named.iter().skip(column).step_by(columns).map(entry_width).fold(0.0, f64::max)).collect()
    };
    let total = |widths: &[f64]| widths.iter().sum::<f64>() + BETWEEN * (widths.len().max(1) - 1) as f64;
    let most = (1..=named.len()).rev().find(|&columns| total(&widths_in(columns)) <= room).unwrap_or(1);
    // As few columns as that number of rows needs: 3 and 3 rather than 4 and 2.
    let columns = named.len().div_ceil(named.len().div_ceil(most).max(1)).max(1);
    let widths = widths_in(columns);
    let row_height = line_height(SMALL);
    let entries: Vec<(Entry, Rect)> = named
        .into_iter()
        .enumerate()
        .map(|(index, entry)| {
            let (row, column) = (index / columns, index % columns);
            let left = widths[..column].iter().sum::<f64>() + BETWEEN * column as f64;
            let top = row as f64 * row_height;
            let rect = Rect { left, top, right: left + entry_width(&entry), bottom: top + row_height };
            (entry, rect)
        })
        .collect();
    let height = entries.last().map_or(0.0, |(_, rect)| rect.bottom);
    Legend { width: if entries.is_empty() { 0.0 } else { total(&widths) }, height, entries }
}

/// Draws a legend with its left upper corner at a point.
pub(super) fn draw(page: &mut Page, (left, top): (f64, f64), legend: &Legend) -> Result<()> {
    for (Entry { sample, name }, rect) in &legend.entries {
        let middle = top + (rect.top + rect.bottom) / 2.0;
        let from = left + rect.left;
        let to = from + sample.width();
        match *sample {
            Sample::Square(color) => {
                let square = Rect { left: from, top: middle - SQUARE / 2.0, right: to, bottom: middle + SQUARE / 2.0 };
                page.rectangle(&Group::crisp(), square, color)?;
            }
            Sample::Line { color, dash, marker, band } => {
                if band {
                    let corners = [(from, middle - 3.0), (to, middle - 3.0), (to, middle + 3.0), (from, middle + 3.0)];
                    page.polygon(&Group::default(), &corners, color, TINT)?;
                }
                if let Some(dash) = dash {
                    page.lines(&Group::default().dashed(style::dash(dash)), [&[(from, middle), (to, middle)][..]], LINE_WIDTH, color)?;
                }
                if let Some(marker) = marker {
                    draw_marker(page, &Group::default(), ((from + to) / 2.0, middle), (marker, MARKER), color)?;
                }
            }
        }
        page.text((to + GAP, middle + font::CAPITAL * SMALL / 2.0), Text::new(name, SMALL, INK, Align::Left));
    }
    Ok(())
}

/// A marker of a kind and radius, with a thin white edge that parts it from what lies below.
pub(super) fn draw_marker(page: &mut Page, group: &Group, at: (f64, f64), (kind, radius): (usize, f64), color: Color) -> Result<()> {
    let outline = |radius: f64| -> Vec<(i32, i32)> {
        style::marker(kind).into_iter().map(|(dx, dy)| super::page::at((at.0 + dx * radius, at.1 + dy * radius))).collect()
    };
    use plotters::element::Polygon;
    page.draw(group, |page| {
        page.draw(&Polygon::new(outline(radius + 0.5), WHITE))?;
        page.draw(&Polygon::new(outline(radius), color))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(names: &[&str]) -> Vec<Entry> {
        names.iter().map(|name| Entry { sample: Sample::Square(INK), name: (*name).to_owned() }).collect()
    }

    #[test]
    fn entries_fit_and_do_not_overlap() {
        let long = "a name that is far too long for any column of a paper, whatever one does about it";
        let names = ["teacher fp16", "teacher q8", "teacher q4", "student", "", long, "x"];
        for count in 0..=names.len() {
            for blocks in [vec![block(&names[..count])], vec![block(&names[..count]), block(&["fp16", "q8", "q4"])]] {
                let legend = layout(&blocks, 230.0);
                assert_eq!(legend.entries.len(), count - usize::from(count > 4) + 3 * (blocks.len() - 1));
                for (index, (_, rect)) in legend.entries.iter().enumerate() {
                    assert!(rect.right <= 230.0 + 1e-9 && rect.right <= legend.width + 1e-9 && rect.bottom <= legend.height, "{legend:?}");
                    assert!(legend.entries[..index].iter().all(|(_, other)| rect.overlap(other) == 0.0), "{legend:?}");
                }
            }
        }
        assert_eq!(layout(&[], 230.0).height, 0.0);
    }

    #[test]
    fn six_short_names_make_two_even_rows() {
        let names = ["teacher fp16", "teacher q8", "teacher q4", "student fp16", "student q8", "student q4"];
        let legend = layout(&[block(&names)], 180.0);
        assert_eq!((legend.entries[3].1.left, legend.entries[3].1.top), (0.0, legend.height / 2.0));
    }

    #[test]
    fn two_short_blocks_share_a_row() {
        let legend = layout(&[block(&["teacher", "student"]), block(&["fp16", "q8", "q4"])], 235.0);
        assert_eq!(legend.height, line_height(SMALL));
    }
}
