//! Names beside points, where they cover least.

use super::Rect;
use super::frame::NOTE;
use super::legend::MARKER;
use super::page::{Align, Group, Page, Text};
use super::style::{GREY, INK};
use crate::artifact::font;
use crate::error::Result;

/// The name of a point, and the places it may have.
pub(super) struct Named {
    text: String,
    point: (f64, f64),
    places: [Rect; 12],
    chosen: usize,
}

/// From this place on, a name is so far from its point that a line has to join them.
const FIRST_FAR: usize = 8;

impl Named {
    pub(super) fn new(label: &str, (x, y): (f64, f64), area: Rect) -> Named {
        let text = font::elide(label, NOTE, area.width() * 0.6);
        let (wide, tall) = (font::width(&text, NOTE), NOTE * 0.95);
        let (near, slant, far) = (MARKER + 2.0, (MARKER + 2.0) * 0.6, (MARKER + 2.0) * 2.2);
        let (left, right, above, below) = (x - wide, x, y - tall, y);
        let (middle, center) = (x - wide / 2.0, y - tall / 2.0);
        // The best first: of places that cover nothing, it is taken.
        let corners = [
            (right + near, center),
            (left - near, center),
            (middle, above - near),
            (middle, below + near),
            (right + slant, above - slant),
            (left - slant, above - slant),
            (right + slant, below + slant),
            (left - slant, below + slant),
            (right + slant, above - far),
            (left - slant, above - far),
            (right + slant, below + far),
            (left - slant, below + far),
        ];
        Named {
            text,
            point: (x, y),
            places: corners.map(|(left, top)| Rect { left, top, right: left + wide, bottom: top + tall }),
            chosen: 0,
        }
    }

    fn rect(&self) -> Rect {
        self.places[self.chosen]
    }
}

/// What labels should not cover: markers, and lines.
#[derive(Debug, Default)]
pub(super) struct Taken(Vec<(Rect, f64)>);

impl Taken {
    fn around((x, y): (f64, f64), reach: f64) -> Rect {
        Rect { left: x - reach, top: y - reach, right: x + reach, bottom: y + reach }
    }

    pub(super) fn marker(&mut self, at: (f64, f64)) {
        self.0.push((Taken::around(at, MARKER + 0.5), 12.0));
    }

    /// A line, as a row of squares.
    pub(super) fn line(&mut self, points: &[(f64, f64)]) {
        for pair in points.windows(2) {
            let ((x, y), (dx, dy)) = (pair[0], (pair[1].0 - pair[0].0, pair[1].1 - pair[0].1));
            let steps = (dx.hypot(dy).min(2000.0) / 2.0).ceil().max(1.0);
            let square = |step: usize| (Taken::around((x + dx * step as f64 / steps, y + dy * step as f64 / steps), 1.0), 4.0);
            self.0.extend((0..=steps as usize).map(square));
        }
    }
}

/// Puts each label where it covers least: first by itself, then, a few times over, in view of where the others are.
pub(super) fn draw(page: &mut Page, area: Rect, mut named: Vec<Named>, Taken(taken): &Taken) -> Result<()> {
    for _ in 0..4 {
        for index in 0..named.len() {
            let cost = |number: usize, place: &Rect| {
                let far = if number >= FIRST_FAR { 10.0 } else { 0.0 };
                let marks: f64 = taken.iter().map(|(other, weight)| place.overlap(other) * weight).sum();
                let labels: f64 =
                    named.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, other)| place.overlap(&other.rect())).sum();
                let outside = place.width() * place.height() - place.overlap(&area);
                far + marks + labels * 5.0 + outside * 20.0
            };
            let costs: Vec<f64> = named[index].places.iter().enumerate().map(|(number, place)| cost(number, place)).collect();
            let best = (0..costs.len()).min_by(|a, b| costs[*a].total_cmp(&costs[*b])).unwrap_or(0);
            named[index].chosen = best;
        }
    }
    for Named { text, point, places, chosen } in &named {
        let place = places[*chosen];
        if *chosen >= FIRST_FAR {
            let end = (point.0.clamp(place.left, place.right), point.1.clamp(place.top, place.bottom));
            let (dx, dy) = (end.0 - point.0, end.1 - point.1);
            let start = (MARKER + 1.0) / dx.hypot(dy).max(MARKER + 1.0);
            page.lines(&Group::default(), [&[(point.0 + dx * start, point.1 + dy * start), end][..]], 0.4, GREY)?;
        }
        let base = (place.top + place.bottom + font::CAPITAL * NOTE) / 2.0;
        page.text((place.left, base), Text::new(text, NOTE, INK, Align::Left));
    }
    Ok(())
}
