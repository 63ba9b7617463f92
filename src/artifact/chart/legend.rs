//! The legend stands above the plot, in as many columns as fit: it never covers data, and grows the figure instead.

use super::Rect;
use super::axis::{SMALL, line_height};
use crate::artifact::font;

/// The sample of line and marker before a name.
pub(super) const SAMPLE: f64 = 21.0;
/// Between the sample and the name.
pub(super) const GAP: f64 = 4.0;
/// Between columns.
const BETWEEN: f64 = 10.0;

/// Where the entries are, from a left upper corner at the origin.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Legend {
    /// Number of the series, where its sample and name are, the name as it fits.
    pub(super) entries: Vec<(usize, Rect, String)>,
    pub(super) width: f64,
    /// 0 without entries.
    pub(super) height: f64,
}

/// Lays out the names (numbered, those that are empty left out) row by row, in aligned columns.
pub(super) fn layout(names: &[(usize, &str)], room: f64) -> Legend {
    let named: Vec<(usize, String)> = names
        .iter()
        .filter(|(_, name)| !name.trim().is_empty())
        .map(|&(number, name)| (number, font::elide(name, SMALL, room - SAMPLE - GAP)))
        .collect();
    let entry_width = |name: &str| SAMPLE + GAP + font::width(name, SMALL);
    let widths_in = |columns: usize| -> Vec<f64> {
        (0..columns)
            .map(|column| named.iter().skip(column).step_by(columns).map(|(_, name)| entry_width(name)).fold(0.0, f64::max))
            .collect()
    };
    let total = |widths: &[f64]| widths.iter().sum::<f64>() + BETWEEN * (widths.len().max(1) - 1) as f64;
    let most = (1..=named.len()).rev().find(|&columns| total(&widths_in(columns)) <= room).unwrap_or(1);
    // As few columns as that number of rows needs: 3 and 3 rather than 4 and 2.
    let columns = named.len().div_ceil(named.len().div_ceil(most).max(1)).max(1);
    let widths = widths_in(columns);
    let row_height = line_height(SMALL);
    let entries = named
        .into_iter()
        .enumerate()
        .map(|(index, (number, name))| {
            let (row, column) = (index / columns, index % columns);
            let left = widths[..column].iter().sum::<f64>() + BETWEEN * column as f64;
            let top = row as f64 * row_height;
            (number, Rect { left, top, right: left + entry_width(&name), bottom: top + row_height }, name)
        })
        .collect::<Vec<_>>();
    let height = entries.last().map_or(0.0, |(_, rect, _)| rect.bottom);
    Legend { width: if entries.is_empty() { 0.0 } else { total(&widths) }, height, entries }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_fit_and_do_not_overlap() {
        let long = "a name that is far too long for any column of a paper, whatever one does about it";
        let names = ["teacher fp16", "teacher q8", "teacher q4", "student", "", long, "x"];
        let numbered: Vec<(usize, &str)> = names.iter().copied().enumerate().collect();
        for count in 0..=names.len() {
            let legend = layout(&numbered[..count], 230.0);
            assert_eq!(legend.entries.len(), count - usize::from(count > 4));
            for (index, (_, rect, _)) in legend.entries.iter().enumerate() {
                assert!(rect.right <= 230.0 + 1e-9 && rect.right <= legend.width + 1e-9 && rect.bottom <= legend.height, "{legend:?}");
                assert!(legend.entries[..index].iter().all(|(_, other, _)| rect.overlap(other) == 0.0), "{legend:?}");
            }
        }
        assert_eq!(layout(&[], 230.0).height, 0.0);
    }

    #[test]
    fn six_short_names_make_two_even_rows() {
        let names = ["teacher fp16", "teacher q8", "teacher q4", "student fp16", "student q8", "student q4"];
        let numbered: Vec<(usize, &str)> = names.iter().copied().enumerate().collect();
        let legend = layout(&numbered, 235.0);
        assert_eq!((legend.entries[3].1.left, legend.entries[3].1.top), (0.0, legend.height / 2.0));
    }
}
