//! Axes: two thin lines, a light grid, ticks and labels that keep out of each other's way.

use super::Rect;
use super::canvas::{Align, Canvas, Text};
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

fn draw_label(canvas: &mut Canvas, at: (f64, f64), label: &Label, align: Align) -> Result<()> {
    let power = match label {
        Label::Plain(text) => return canvas.text(at, Text::new(text, SMALL, INK, align)),
        Label::Power(power) => minus(&power.to_string()),
    };
    let left = match align {
        Align::Left => at.0,
        Align::Center => at.0 - label_width(label, SMALL) / 2.0,
        Align::Right => at.0 - label_width(label, SMALL),
    };
    canvas.text((left, at.1), Text::new("10", SMALL, INK, Align::Left))?;
    let after = left + font::width("10", SMALL);
    canvas.text((after, at.1 - RAISE * SMALL), Text::new(&power, SMALL * RAISED, INK, Align::Left))
}

/// `×10⁶`, which all labels of an axis are multiplied by.
fn draw_exponent(canvas: &mut Canvas, at: (f64, f64), exponent: i32, align: Align) -> Result<()> {
    let power = minus(&exponent.to_string());
    let (base, raised) = (font::width("×10", SMALL), font::width(&power, SMALL * RAISED));
    let left = match align {
        Align::Left => at.0,
        Align::Center => at.0 - (base + raised) / 2.0,
        Align::Right => at.0 - base - raised,
    };
    canvas.text((left, at.1), Text::new("×10", SMALL, INK, Align::Left))?;
    canvas.text((left + base, at.1 - RAISE * SMALL), Text::new(&power, SMALL * RAISED, INK, Align::Left))
}

/// The room that a vertical axis takes above the plot, for the power of ten.
pub(super) fn room_above(mapping: &Mapping) -> f64 {
    if mapping.exponent == 0 { 0.0 } else { line_height(SMALL) }
}

/// The room that a vertical axis takes left of a plot `height` high.
pub(super) fn room_left(mapping: &Mapping, label: &str, height: f64) -> f64 {
    let labels = mapping.ticks.iter().map(|tick| label_width(&tick.label, SMALL)).fold(0.0, f64::max);
    let lines = lines(label, LABEL, height, 2).len() as f64;
    TICK_LENGTH + TICK_GAP + labels + if lines > 0.0 { LABEL_GAP + lines * line_height(LABEL) } else { 0.0 }
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

/// The grid's horizontal lines.
pub(super) fn grid_across(canvas: &mut Canvas, area: Rect, mapping: &Mapping) {
    for tick in &mapping.ticks {
        let y = height_of(area, mapping, tick.value);
        canvas.line((area.left, y), (area.right, y), GRID_WIDTH, GRID);
    }
}

/// The grid's vertical lines.
pub(super) fn grid_down(canvas: &mut Canvas, area: Rect, mapping: &Mapping) {
    for tick in &mapping.ticks {
        let x = width_of(area, mapping, tick.value);
        canvas.line((x, area.top), (x, area.bottom), GRID_WIDTH, GRID);
    }
}

/// The left axis.
pub(super) fn vertical(canvas: &mut Canvas, area: Rect, mapping: &Mapping, label: &str) -> Result<()> {
    canvas.line((area.left, area.top), (area.left, area.bottom + AXIS_WIDTH / 2.0), AXIS_WIDTH, INK);
    for value in &mapping.minor {
        let y = height_of(area, mapping, *value);
        canvas.line((area.left - TICK_LENGTH * 0.6, y), (area.left, y), AXIS_WIDTH * 0.7, INK);
    }
    let mut free_below = f64::INFINITY;
    for tick in &mapping.ticks {
        let y = height_of(area, mapping, tick.value);
        canvas.line((area.left - TICK_LENGTH, y), (area.left, y), AXIS_WIDTH, INK);
        // Ticks that were given may be close to one another.
        if y <= free_below {
            let base = y + font::CAPITAL * SMALL / 2.0;
            draw_label(canvas, (area.left - TICK_LENGTH - TICK_GAP, base), &tick.label, Align::Right)?;
            free_below = y - SMALL;
        }
    }
    if mapping.exponent != 0 {
        let base = area.top - SMALL * 0.75;
        draw_exponent(canvas, (area.left - TICK_LENGTH, base), mapping.exponent, Align::Left)?;
    }
    let lines = lines(label, LABEL, area.height(), 2);
    let labels = mapping.ticks.iter().map(|tick| label_width(&tick.label, SMALL)).fold(0.0, f64::max);
    let last_base = area.left - TICK_LENGTH - TICK_GAP - labels - LABEL_GAP - font::DESCENT * LABEL * 0.5;
    for (index, line) in lines.iter().rev().enumerate() {
        let at = (last_base - index as f64 * line_height(LABEL), (area.top + area.bottom) / 2.0);
        canvas.text(at, Text::new(line, LABEL, INK, Align::Center).turned(90.0))?;
    }
    Ok(())
}

/// The line below the plot, at the value where bars stand too if that is not its lower end.
pub(super) fn base_line(canvas: &mut Canvas, area: Rect, y: f64) {
    canvas.line((area.left, y), (area.right, y), AXIS_WIDTH, INK);
}

/// The lower axis of a figure so wide, with its label in lines. Tick labels that would touch their neighbour are left out, their ticks stay.
pub(super) fn horizontal(canvas: &mut Canvas, area: Rect, mapping: &Mapping, label: &[String], width: f64) -> Result<()> {
    base_line(canvas, area, area.bottom);
    for value in &mapping.minor {
        let x = width_of(area, mapping, *value);
        canvas.line((x, area.bottom), (x, area.bottom + TICK_LENGTH * 0.6), AXIS_WIDTH * 0.7, INK);
    }
    let base = area.bottom + TICK_LENGTH + TICK_GAP + font::CAPITAL * SMALL;
    let mut taken = f64::NEG_INFINITY;
    for tick in &mapping.ticks {
        let x = width_of(area, mapping, tick.value);
        canvas.line((x, area.bottom), (x, area.bottom + TICK_LENGTH), AXIS_WIDTH, INK);
        let half = label_width(&tick.label, SMALL) / 2.0;
        if x - half >= taken {
            draw_label(canvas, (x, base), &tick.label, Align::Center)?;
            taken = x + half + 3.0;
        }
    }
    let mut base = area.bottom + TICK_LENGTH + TICK_GAP + line_height(SMALL) + LABEL_GAP / 2.0 + font::CAPITAL * LABEL;
    if mapping.exponent != 0 {
        draw_exponent(canvas, (area.right, base), mapping.exponent, Align::Right)?;
    }
    for line in label {
        let middle = centered(line, LABEL, (area.left + area.right) / 2.0, width);
        canvas.text((middle, base), Text::new(line, LABEL, INK, Align::Center))?;
        base += line_height(LABEL);
    }
    Ok(())
}

/// The room beside a horizontal axis's label that the power of ten takes.
pub(super) fn exponent_room(mapping: &Mapping) -> f64 {
    if mapping.exponent == 0 { 0.0 } else { font::width("×10−10 ", SMALL) }
}
