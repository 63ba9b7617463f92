//! The names of bars: the same in all panels of a chart. Level below each bar where all of them fit, else in a legend by their colours, else
//! slanted.

use super::Rect;
use super::axis::{LABEL, SMALL, line_height};
use super::legend::{self, Entry, Legend, Sample};
use super::page::{Align, Page, Text};
use super::style::{self, INK};
use crate::artifact::font;
use std::collections::BTreeMap;

/// Slanted names run upwards at this angle.
const SLANT: f64 = 35.0;
/// The most lines of a level name.
const LINES: usize = 4;
/// The longest that a slanted name may be.
const LONGEST: f64 = 90.0;

/// A panel's slots: where their names could go.
pub(super) struct Slots<'a> {
    /// The name in each slot, with the number of its colour.
    pub(super) names: Vec<(&'a str, usize)>,
    /// How wide a slot is.
    pub(super) width: f64,
    /// How much paper there is left of the first slot.
    pub(super) left: f64,
}

/// How the names of all panels are shown.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Names {
    /// The lines of each name.
    Level(BTreeMap<String, Vec<String>>),
    /// Colours and names, above the panels.
    Legend(Legend),
    /// Each name as it fits wherever it stands.
    Slanted(BTreeMap<String, String>),
}

impl Names {
    /// For panels in a figure with so much room across.
    pub(super) fn choose(panels: &[Slots<'_>], room: f64) -> Names {
        let all = || panels.iter().flat_map(|panel| panel.names.iter().map(move |name| (panel, *name)));
        let mut narrowest: BTreeMap<&str, f64> = BTreeMap::new();
        for (panel, (name, _)) in all() {
            let width = narrowest.entry(name).or_insert(f64::INFINITY);
            *width = width.min(panel.width - 3.0);
        }
        let level: Option<BTreeMap<String, Vec<String>>> =
            narrowest.iter().map(|(name, width)| Some(((*name).to_owned(), font::wrap(name, SMALL, *width, LINES)?))).collect();
        if let Some(level) = level {
            return Names::Level(level);
        }
        let mut colors: Vec<(&str, usize)> = Vec::new();
        for (_, (name, color)) in all() {
            if !colors.contains(&(name, color)) {
                colors.push((name, color));
            }
        }
        let own = |(index, (name, color)): (usize, &(&str, usize))| {
            colors[..index].iter().all(|(other, taken)| other != name && style::color(*taken) != style::color(*color))
        };
        if colors.iter().enumerate().all(own) {
            let entry = |(name, color): &(&str, usize)| Entry { sample: Sample::Square(style::color(*color)), name: (*name).to_owned() };
            return Names::Legend(legend::layout(&[colors.iter().map(entry).collect()], room));
        }
        // Names run down to the left, as far as there is paper below the axis: one that stands in several panels is cut the same in all.
        let mut rooms: BTreeMap<&str, f64> = BTreeMap::new();
        for panel in panels {
            for (index, (name, _)) in panel.names.iter().enumerate() {
                let paper = (panel.left + panel.width * (index as f64 + 0.5)) / SLANT.to_radians().cos();
                let room = rooms.entry(name).or_insert(LONGEST);
                *room = room.min(paper);
            }
        }
        Names::Slanted(rooms.into_iter().map(|(name, room)| (name.to_owned(), font::elide(name, SMALL, room))).collect())
    }

    /// The room they take below the axis.
    pub(super) fn height(&self) -> f64 {
        match self {
            Names::Level(names) => 4.0 + names.values().map(Vec::len).max().unwrap_or(0) as f64 * line_height(SMALL),
            Names::Legend(_) => 3.0,
            Names::Slanted(names) => {
                let longest = names.values().map(|name| font::width(name, SMALL)).fold(0.0, f64::max);
                let (sin, cos) = SLANT.to_radians().sin_cos();
                5.0 + longest * sin + SMALL * cos
            }
        }
    }

    /// The name of a slot whose middle is at `x`.
    pub(super) fn draw(&self, page: &mut Page, area: Rect, x: f64, name: &str) {
        match self {
            Names::Level(names) => {
                for (row, line) in names.get(name).into_iter().flatten().enumerate() {
                    let base = area.bottom + 4.0 + font::CAPITAL * SMALL + row as f64 * line_height(SMALL);
                    page.text((x, base), Text::new(line, SMALL, INK, Align::Center));
                }
            }
            Names::Legend(_) => {}
            Names::Slanted(names) => {
                let shown = names.get(name).map_or(name, String::as_str);
                let at = (x + LABEL * 0.3, area.bottom + 4.0 + font::CAPITAL * SMALL * 0.8);
                page.text(at, Text::new(shown, SMALL, INK, Align::Right).turned(SLANT));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: [&str; 3] = ["SmolLM2-135M-Instruct", "SmolLM2-135M-upcycled-jointly", "SmolLM2-135M-upcycled-separately"];

    fn slots(names: &[&'static str], width: f64) -> Slots<'static> {
        Slots { names: names.iter().copied().zip(0..).collect(), width, left: 30.0 }
    }

    #[test]
    fn short_names_are_level_and_long_ones_in_a_legend() {
        assert!(matches!(Names::choose(&[slots(&["teacher", "student"], 50.0)], 200.0), Names::Level(_)));
        // One panel has room enough: all do as the narrowest.
        let names = Names::choose(&[slots(&LONG, 200.0), slots(&LONG, 20.0)], 220.0);
        let Names::Legend(legend) = names else { panic!("{names:?}") };
        assert_eq!(legend.entries.len(), 3);
        assert!(legend.entries.iter().zip(LONG).all(|((entry, _), name)| entry.name == name), "{legend:?}");
    }

    #[test]
    fn what_colours_cannot_tell_apart_is_slanted() {
        let same = Slots { names: LONG.iter().map(|name| (*name, 0)).collect(), width: 20.0, left: 30.0 };
        let names = Names::choose(&[same], 220.0);
        assert!(matches!(&names, Names::Slanted(names) if names.len() == 3), "{names:?}");
    }
}
