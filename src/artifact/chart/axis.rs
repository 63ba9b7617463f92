//! Axes: two thin lines, a light grid, ticks and labels that keep out of each other's way.

use super::Rect;
use super::page::{Align, Group, Page, Text, stroke};
use super::scale::{Label, Mapping, minus};
use super::style::{GRID, INK};
use crate::artifact::font;
use crate::error::Result;

/// Sizes of text, in points: what journals ask of figures is 6 to 9.
pub(super) const TITLE: f64 = 8.5;
pub(super) const LABEL: f64 = 8.0;
pub(super) const SMALL: f64 = 7.0;

/// Around the figure.
pub(super) const MARGIN: f64 = 4.0;
const AXIS_WIDTH: f64 = 0.6;
const GRID_WIDTH: f64 = 0.5;
const TICK_LENGTH: f64 = 2.5;
/// Between a tick and its label.
const TICK_GAP: f64 = 2.0;
/// Between tick labels and the axis's own.
const LABEL_GAP: f64 = 4.0;

/// From one line of text to the next.
pub(super) fn line_height(size: f64) -> f64 {
    size * 1.25
}

/// How wide a tick's label is.
fn label_width(label: &Label, size: f64) -> f64 {
    match label {
        Label::Plain(text) => font::width(text, size),
        Label::Power(power) => font::width("10", size) + font::width(&minus(&power.to_string()), size * RAISED),
    }
}

/// The size of an exponent, and how far it is raised.
const RAISED: f64 = 0.72;
const RAISE: f64 = 0.42;

/// A label with its anchor at a point.
fn draw_label(page: &mut Page, at: (f64, f64), label: &Label, align: Align) {
    match label {
        Label::Plain(text) => page.text(at, Text::new(text, SMALL, INK, align)),
        Label::Power(power) => draw_power(page, at, "10", *power, align),
    }
}

/// `10⁶` or `×10⁶`, raised by hand: the font has no raised digits beyond 3.
fn draw_power(page: &mut Page, at: (f64, f64), base: &str, power: i32, align: Align) {
    let power = minus(&power.to_string());
    let width = font::width(base, SMALL);
    let all = width + font::width(&power, SMALL * RAISED);
    let left = match align {
        Align::Left => at.0,
        Align::Center => at.0 - all / 2.0,
        Align::Right => at.0 - all,
    };
    page.text((left, at.1), Text::new(base, SMALL, INK, Align::Left));
    page.text((left + width, at.1 - RAISE * SMALL), Text::new(&power, SMALL * RAISED, INK, Align::Left));
}

/// The room that a vertical axis takes above the plot, for the power of ten.
pub(super) fn room_above(mapping: &Mapping) -> f64 {
    if mapping.exponent == 0 { 0.0 } else { line_height(SMALL) }
}

/// How wide the labels of a vertical axis are.
fn labels_width(mapping: &Mapping) -> f64 {
    mapping.ticks.iter().map(|tick| label_width(&tick.label, SMALL)).fold(0.0, f64::max)
}

/// The room that a vertical axis takes beside a plot `height` high.
pub(super) fn room_beside(mapping: &Mapping, label: &str, height: f64) -> f64 {
    let lines = lines(label, LABEL, height, 2).len() as f64;
    TICK_LENGTH + TICK_GAP + labels_width(mapping) + if lines > 0.0 { LABEL_GAP + lines * line_height(LABEL) } else { 0.0 }
}

/// The room that a horizontal axis with a label in so many lines takes below the plot.
pub(super) fn room_below(lines: usize) -> f64 {
    TICK_LENGTH + TICK_GAP + line_height(SMALL) + if lines == 0 { 0.0 } else { LABEL_GAP / 2.0 + lines as f64 * line_height(LABEL) }
}

/// A text in up to `most` lines no longer than `room`; shortened where they are not enough.
pub(super) fn lines(text: &str, size: f64, room: f64, most: usize) -> Vec<String> {
    if text.trim().is_empty() {
        return Vec::new();
    }
    font::wrap(text, size, room, most).unwrap_or_else(|| vec![font::elide(text, size, room)])
}

/// Where the middle of a text is that belongs above or below the middle of a plot, and is no longer than the figure is wide.
pub(super) fn centered(text: &str, size: f64, middle: f64, width: f64) -> f64 {
    let half = font::width(text, size) / 2.0;
    middle.min(width - MARGIN - half).max(MARGIN + half)
}

/// The room that the last label of a horizontal axis takes right of the plot.
pub(super) fn room_right(mapping: &Mapping) -> f64 {
    mapping.ticks.last().map_or(0.0, |tick| label_width(&tick.label, SMALL) / 2.0)
}

/// Where a value is on a plot's height.
pub(super) fn height_of(area: Rect, mapping: &Mapping, value: f64) -> f64 {
    area.bottom - mapping.place(value) * area.height()
}

/// Where a value is on a plot's width.
pub(super) fn width_of(area: Rect, mapping: &Mapping, value: f64) -> f64 {
    area.left + mapping.place(value) * area.width()
}

/// Which lines of the grid are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Grid {
    Across,
    Both,
}

/// A light line at each tick.
pub(super) fn grid(page: &mut Page, area: Rect, axes: (&Mapping, &Mapping), grid: Grid) -> Result<()> {
    let style = stroke(GRID, GRID_WIDTH);
    let down = if grid == Grid::Both { usize::MAX } else { 0 };
    page.plot(&Group::crisp(), area, axes, |plot| plot.draw_mesh(|backend, line| line.draw(backend, &style), usize::MAX, down))
}

/// On which side of the plot an axis is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Side {
    Left,
    Right,
}

/// A vertical axis, its label beside it.
pub(super) fn vertical(page: &mut Page, area: Rect, mapping: &Mapping, label: &str, side: Side) -> Result<()> {
    // Away from the plot.
    let (edge, out, align) = match side {
        Side::Left => (area.left, -1.0, Align::Right),
        Side::Right => (area.right, 1.0, Align::Left),
    };
    let mut ticks = vec![vec![(edge, area.top), (edge, area.bottom + AXIS_WIDTH / 2.0)]];
    let tick = |value: f64, length: f64| {
        let y = height_of(area, mapping, value);
        vec![(edge + out * length, y), (edge, y)]
    };
    ticks.extend(mapping.ticks.iter().map(|at| tick(at.value, TICK_LENGTH)));
    page.lines(&Group::crisp(), ticks.iter().map(Vec::as_slice), AXIS_WIDTH, INK)?;
    let minor: Vec<Vec<(f64, f64)>> = mapping.minor.iter().map(|value| tick(*value, TICK_LENGTH * 0.6)).collect();
    page.lines(&Group::crisp(), minor.iter().map(Vec::as_slice), AXIS_WIDTH * 0.7, INK)?;
    let mut free_below = f64::INFINITY;
    for tick in &mapping.ticks {
        let y = height_of(area, mapping, tick.value);
        // Ticks that were given may be close to one another.
        if y <= free_below {
            let base = y + font::CAPITAL * SMALL / 2.0;
            draw_label(page, (edge + out * (TICK_LENGTH + TICK_GAP), base), &tick.label, align);
            free_below = y - SMALL;
        }
    }
    if mapping.exponent != 0 {
        let (x, align) = match side {
            Side::Left => (area.left - TICK_LENGTH, Align::Left),
            Side::Right => (area.right + TICK_LENGTH, Align::Right),
        };
        draw_power(page, (x, area.top - SMALL * 0.75), "×10", mapping.exponent, align);
    }
    let lines = lines(label, LABEL, area.height(), 2);
    let room = TICK_LENGTH + TICK_GAP + labels_width(mapping) + LABEL_GAP;
    for (index, line) in lines.iter().enumerate() {
        // All lines run upwards, so that the first is the left one.
        let base = match side {
            Side::Left => edge - room - font::DESCENT * LABEL * 0.5 - (lines.len() - 1 - index) as f64 * line_height(LABEL),
            Side::Right => edge + room + font::CAPITAL * LABEL + index as f64 * line_height(LABEL),
        };
        page.text((base, (area.top + area.bottom) / 2.0), Text::new(line, LABEL, INK, Align::Center).turned(90.0));
    }
    Ok(())
}

/// The line below the plot, at the value where bars stand too if that is not its lower end.
pub(super) fn base_line(page: &mut Page, area: Rect, y: f64) -> Result<()> {
    page.line((area.left, y), (area.right, y), AXIS_WIDTH, INK)
}

/// The lower axis of a figure so wide, with its label in lines. Tick labels that would touch their neighbour are left out, their ticks stay.
pub(super) fn horizontal(page: &mut Page, area: Rect, mapping: &Mapping, label: &[String], width: f64) -> Result<()> {
    base_line(page, area, area.bottom)?;
    let tick = |value: f64, length: f64| {
        let x = width_of(area, mapping, value);
        vec![(x, area.bottom), (x, area.bottom + length)]
    };
    let ticks: Vec<Vec<(f64, f64)>> = mapping.ticks.iter().map(|at| tick(at.value, TICK_LENGTH)).collect();
    page.lines(&Group::crisp(), ticks.iter().map(Vec::as_slice), AXIS_WIDTH, INK)?;
    let minor: Vec<Vec<(f64, f64)>> = mapping.minor.iter().map(|value| tick(*value, TICK_LENGTH * 0.6)).collect();
    page.lines(&Group::crisp(), minor.iter().map(Vec::as_slice), AXIS_WIDTH * 0.7, INK)?;
    let base = area.bottom + TICK_LENGTH + TICK_GAP + font::CAPITAL * SMALL;
    let mut taken = f64::NEG_INFINITY;
    for tick in &mapping.ticks {
        let x = width_of(area, mapping, tick.value);
        let half = label_width(&tick.label, SMALL) / 2.0;
        if x - half >= taken {
            draw_label(page, (x, base), &tick.label, Align::Center);
            taken = x + half + 3.0;
        }
    }
    let mut base = area.bottom + TICK_LENGTH + TICK_GAP + line_height(SMALL) + LABEL_GAP / 2.0 + font::CAPITAL * LABEL;
    if mapping.exponent != 0 {
        draw_power(page, (area.right, base), "×10", mapping.exponent, Align::Right);
    }
    for line in label {
        let middle = centered(line, LABEL, (area.left + area.right) / 2.0, width);
        page.text((middle, base), Text::new(line, LABEL, INK, Align::Center));
        base += line_height(LABEL);
    }
    Ok(())
}

/// The room beside a horizontal axis's label that the power of ten takes.
pub(super) fn exponent_room(mapping: &Mapping) -> f64 {
    if mapping.exponent == 0 { 0.0 } else { font::width("×10−10 ", SMALL) }
}
