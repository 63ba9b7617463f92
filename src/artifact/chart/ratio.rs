//! Ratios beside the bars that they compare, with intervals of their own: where two models were measured in turn, how far the ratio may be off
//! says more than how far each of them may be.

use super::axis::{self, Side, height_of};
use super::legend::{MARKER, draw_marker};
use super::page::{Align, Group, Page, Text};
use super::panels::{VALUE, VALUE_GAP};
use super::scale::{Mapping, Role};
use super::style::{self, GREY, INK, WHITE};
use super::{Axis, Bar, Ratio, Rect, Scale};
use crate::artifact::{font, number};
use crate::error::Result;

/// Between the bars and the ratios.
const BETWEEN: f64 = 7.0;
const SLOT: f64 = 22.0;
/// Of one whose value runs upwards.
const NARROW: f64 = 11.0;
const BAR_WIDTH: f64 = 0.9;
const CAP: f64 = 2.0;
/// Ratios that differ by more than this factor have a logarithmic axis.
const FAR: f64 = 3.0;

/// The ratios of a panel before their place is known.
#[derive(Debug, Clone)]
pub(super) struct RatioPart {
    mapping: Mapping,
    /// Of the part's plot.
    width: f64,
    /// Of its axis, right of it.
    right: f64,
    label: String,
    /// Values run upwards, where there is no room for them side by side.
    pub(super) upright: bool,
}

fn text(bar: &Bar) -> String {
    bar.text
        .clone()
        .unwrap_or_else(|| if bar.value.is_nan() { number::MISSING.to_owned() } else { format!("{}×", number::significant(bar.value, 3)) })
}

impl RatioPart {
    pub(super) fn new(ratio: &Ratio, plot: f64, upright: bool) -> Result<RatioPart> {
        let ends =
            || ratio.points.iter().flat_map(|point| [Some(point.value), point.low, point.high]).flatten().filter(|end| end.is_finite());
        let (least, most) = (ends().fold(1.0, f64::min), ends().fold(1.0, f64::max));
        // Equal ones all the same need an axis: a hundredth to both sides.
        let span = (most - least).max(0.02);
        let widest = ratio.points.iter().map(|point| font::width(&text(point), VALUE)).fold(0.0, f64::max);
        let taken = (2.0 * VALUE_GAP + if upright { widest } else { VALUE * font::CAPITAL }).min(plot * 0.45);
        let room = taken / (plot - taken);
        // Twice and half are equally far from the same: where ratios differ by much, their axis is logarithmic.
        let far = least > 0.0 && most / least > FAR;
        let axis = Axis { from_zero: Some(false), scale: if far { Scale::Log2 } else { Scale::Linear }, ..Axis::default() };
        let covered = if far {
            let per_room = (most / least).ln();
            [least * (-per_room * 0.05).exp(), most * (per_room * room).exp()]
        } else {
            // There is no ratio below none.
            [if least >= 0.0 { (least - span * 0.05).max(0.0) } else { least - span * 0.05 }, most + span * room]
        };
        let mapping = Mapping::new("ratio", &axis, ends().chain(covered), Role::Vertical, (plot / 24.0).clamp(2.0, 5.0))?;
        let width = if upright { NARROW } else { (widest + 3.0).max(SLOT) } * ratio.points.len() as f64;
        Ok(RatioPart { right: axis::room_beside(&mapping, &ratio.label, plot), label: ratio.label.clone(), mapping, width, upright })
    }

    /// All the width that it takes from the bars.
    pub(super) fn room(&self) -> f64 {
        BETWEEN + self.width + self.right
    }

    /// Draws it right of the bars' area.
    pub(super) fn draw(&self, page: &mut Page, bars: Rect, ratio: &Ratio, color: impl Fn(&Bar) -> usize) -> Result<()> {
        let left = bars.right + BETWEEN;
        let area = Rect { left, right: left + self.width, ..bars };
        axis::grid(page, area, (&self.mapping, &self.mapping), axis::Grid::Across)?;
        let one = height_of(area, &self.mapping, 1.0);
        page.lines(&Group::default().dashed(&[2.0, 1.5]), [&[(area.left, one), (area.right, one)][..]], 0.7, GREY)?;
        axis::vertical(page, area, &self.mapping, &self.label, Side::Right)?;
        let slot = self.width / ratio.points.len() as f64;
        for (index, point) in ratio.points.iter().enumerate() {
            let x = area.left + slot * (index as f64 + 0.5);
            let ink = style::color(color(point));
            let at = |value: f64| height_of(area, &self.mapping, value);
            if !point.value.is_finite() {
                self.value(page, (x, one), point)?;
                continue;
            }
            let y = at(point.value);
            let mut tip = y - MARKER;
            if point.low.is_some() || point.high.is_some() {
                let (high, low) = (point.high.map_or(y, at), point.low.map_or(y, at));
                let strokes = [[(x, high), (x, low)], [(x - CAP, high), (x + CAP, high)], [(x - CAP, low), (x + CAP, low)]];
                page.lines(&Group::default(), strokes.iter().map(|stroke| &stroke[..]), BAR_WIDTH, ink)?;
                tip = tip.min(high);
            }
            draw_marker(page, &point.numbers("data-ratio", &self.label), (x, y), (0, MARKER), ink)?;
            self.value(page, (x, tip), point)?;
        }
        axis::base_line(page, area, area.bottom)
    }

    /// Above a place.
    fn value(&self, page: &mut Page, (x, tip): (f64, f64), point: &Bar) -> Result<()> {
        if !self.upright {
            return page.text_on_paper((x, tip - VALUE_GAP), Text::new(&text(point), VALUE, INK, Align::Center));
        }
        let half = VALUE * font::CAPITAL / 2.0;
        let bottom = tip - VALUE_GAP;
        let paper = Rect {
            left: x - half - 0.5,
            top: bottom - font::width(&text(point), VALUE) - 0.5,
            right: x + half + 0.5,
            bottom: bottom + 0.5,
        };
        page.rectangle(&Group::default(), paper, WHITE)?;
        page.text((x + half, bottom), Text::new(&text(point), VALUE, INK, Align::Left).turned(90.0));
        Ok(())
    }
}
