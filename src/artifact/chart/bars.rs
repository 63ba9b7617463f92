//! Panels of bars.

use super::axis::{self, LABEL, MARGIN, SMALL, TITLE, height_of, line_height};
use super::canvas::{Align, Canvas, Text};
use super::scale::{self, Mapping, Role, minus};
use super::style::{self, GREY, INK};
use super::{Axis, Bar, BarPanels, COLUMN, PAGE, Panel, Rect};
use crate::artifact::{font, number};
use crate::error::{Error, Result};

const MOST_PANELS: usize = 12;
const MOST_BARS: usize = 24;
const NOTE: f64 = 6.5;
const VALUE: f64 = 7.0;
/// Between panels.
const BETWEEN: f64 = 12.0;
/// The bar's share of its slot, and the most it may be wide.
const FILL: f64 = 0.62;
const WIDEST: f64 = 32.0;
/// Above and below a value.
const VALUE_GAP: f64 = 2.0;
const SMALLEST: f64 = 30.0;
/// Long names run upwards at this angle
const SLANT: f64 = 35.0;
/// Until they need more lines than these.
const NAME_LINES: usize = 4;
/// The most of the plot's height that values take.
const MOST_VALUE: f64 = 0.45;

/// Where one panel is.
#[derive(Debug)]
pub(super) struct PanelLayout {
    pub(super) area: Rect,
    title: Vec<String>,
    note: Option<String>,
    mapping: Mapping,
    names: Names,
    values: Vec<String>,
    /// Values run upwards where they are wider than their bar's slot.
    upright: bool,
    /// The top of the panel's text.
    top: f64,
}

/// The names below the bars.
#[derive(Debug, PartialEq)]
enum Names {
    /// Lines of each.
    Level(Vec<Vec<String>>),
    Slanted(Vec<String>),
}

#[derive(Debug)]
pub(super) struct Layout {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) panels: Vec<PanelLayout>,
    title: Vec<String>,
}

pub(super) fn layout(chart: &BarPanels) -> Result<Layout> {
    check(chart)?;
    let count = chart.panels.len();
    let columns = chart.columns.unwrap_or(3).clamp(1, count);
    let rows = count.div_ceil(columns);
    let (width, height) = chart.size.points(match columns {
        1 => COLUMN,
        2 => PAGE * 2.0 / 3.0,
        _ => PAGE,
    })?;
    let title = axis::lines(chart.title.as_deref().unwrap_or_default(), TITLE, width - 2.0 * MARGIN, 3);
    let head = MARGIN + if title.is_empty() { 0.0 } else { title.len() as f64 * line_height(TITLE) + 3.0 };
    let slot = (width - 2.0 * MARGIN - BETWEEN * (columns - 1) as f64) / columns as f64;
    let row_height = height.map(|height| (height - head - MARGIN - BETWEEN * (rows - 1) as f64) / rows as f64);
    let mut panels = Vec::with_capacity(count);
    let mut top = head;
    for row in chart.panels.chunks(columns) {
        let lefts = (0..row.len()).map(|column| MARGIN + (slot + BETWEEN) * column as f64);
        let (laid, bottom) = lay_row(row, lefts, slot, top, row_height)?;
        panels.extend(laid);
        top = bottom + BETWEEN;
    }
    Ok(Layout { width, height: height.unwrap_or(top - BETWEEN + MARGIN), panels, title })
}

fn check(chart: &BarPanels) -> Result<()> {
    let count = |what: &str, count: usize, most: usize| match count {
        0 => Err(Error::new(format!("no {what}: expected at least one"))),
        count if count > most => Err(Error::new(format!("{count} {what}: expected {most} at most")).remedy("draw several charts")),
        _ => Ok(()),
    };
    count("panels", chart.panels.len(), MOST_PANELS)?;
    for (index, panel) in chart.panels.iter().enumerate() {
        count("bars", panel.bars.len(), MOST_BARS).map_err(|error| error.at(format!("panels[{index}]")))?;
    }
    Ok(())
}

/// Panels side by side share the height of the text above and below their plots. Returns them and the row's lower end.
fn lay_row(row: &[Panel], lefts: impl Iterator<Item = f64>, width: f64, top: f64, height: Option<f64>) -> Result<(Vec<PanelLayout>, f64)> {
    let titles: Vec<Vec<String>> =
        row.iter().map(|panel| axis::lines(panel.title.as_deref().unwrap_or_default(), TITLE, width, 3)).collect();
    let notes: Vec<Option<String>> = row
        .iter()
        .map(|panel| panel.note.as_deref().filter(|note| !note.trim().is_empty()).map(|note| font::elide(note, NOTE, width)))
        .collect();
    let most = |heights: &mut dyn Iterator<Item = f64>| heights.fold(0.0, f64::max);
    let mut above = most(&mut titles.iter().map(|lines| lines.len() as f64 * line_height(TITLE)));
    above += if notes.iter().any(Option::is_some) { line_height(NOTE) } else { 0.0 };
    above += if above > 0.0 { 3.0 } else { 0.0 };
    // The ticks decide the left room and that the slots for names, which decide how high the plot is; ticks hardly depend on it.
    let guess = height.map_or(plot_height(width), |height| height - above - 2.0 * line_height(SMALL)).max(SMALLEST);
    let parts: Vec<Part> = row.iter().map(|panel| Part::new(panel, width, guess)).collect::<Result<_>>()?;
    above += most(&mut parts.iter().map(|part| axis::room_above(&part.mapping)));
    let below = most(&mut parts.iter().map(|part| part.names.height()));
    let plot = height.map_or(plot_height(width), |height| height - above - below);
    if plot < SMALLEST {
        return Err(Error::new(format!("{:.0} points of the height are left for the plot: expected {SMALLEST} or more", plot.max(0.0)))
            .remedy("raise `size.height`, or leave it out"));
    }
    let mut laid = Vec::with_capacity(row.len());
    for ((((panel, part), title), note), left) in row.iter().zip(parts).zip(titles).zip(notes).zip(lefts) {
        let mapping = part.range(panel, plot)?;
        let area = Rect { left: left + part.left, top: top + above, right: left + width, bottom: top + above + plot };
        laid.push(PanelLayout { area, title, note, mapping, names: part.names, values: part.values, upright: part.upright, top });
    }
    Ok((laid, top + above + plot + below))
}

fn plot_height(width: f64) -> f64 {
    (width * 0.62).clamp(90.0, 140.0)
}

/// A panel's parts before its place is known.
struct Part {
    mapping: Mapping,
    left: f64,
    names: Names,
    values: Vec<String>,
    upright: bool,
}

impl Part {
    fn new(panel: &Panel, width: f64, plot: f64) -> Result<Part> {
        // The axis's power of ten does not depend on the values' room, and holds for them too.
        let exponent = range(panel, &[], false, plot)?.exponent;
        let value = |bar: &Bar| match &bar.text {
            Some(text) => text.clone(),
            None => minus(&number::significant(scale::in_powers(bar.value, exponent), 3)),
        };
        let values: Vec<String> =
            panel.bars.iter().map(|bar| font::elide(&value(bar), VALUE, plot * MOST_VALUE - 2.0 * VALUE_GAP)).collect();
        let mut part =
            Part { mapping: range(panel, &values, false, plot)?, left: 0.0, names: Names::Slanted(Vec::new()), values, upright: false };
        part.left = axis::room_left(&part.mapping, &panel.label, plot);
        if width - part.left < SMALLEST {
            return Err(Error::new(format!(
                "{:.0} points of the width are left for a panel: expected {SMALLEST} or more",
                (width - part.left).max(0.0)
            ))
            .remedy("raise `size.width`, or lower `columns`"));
        }
        let slot = (width - part.left) / panel.bars.len() as f64;
        part.upright = part.values.iter().any(|value| font::width(value, VALUE) > slot - 1.0);
        part.names = Names::new(&panel.bars, slot, part.left);
        Ok(part)
    }

    fn range(&self, panel: &Panel, plot: f64) -> Result<Mapping> {
        range(panel, &self.values, self.upright, plot)
    }
}

/// From zero to the largest bar, with room for the values.
fn range(panel: &Panel, values: &[String], upright: bool, plot: f64) -> Result<Mapping> {
    let ends = || panel.bars.iter().flat_map(|bar| [Some(bar.value), bar.low, bar.high]).flatten().filter(|value| value.is_finite());
    let (least, most) = (ends().fold(0.0, f64::min), ends().fold(0.0, f64::max));
    let longest = values.iter().map(|value| font::width(value, VALUE)).fold(0.0, f64::max);
    let room = (VALUE_GAP * 2.0 + if upright { longest } else { VALUE * font::CAPITAL }).min(plot * MOST_VALUE);
    let (below, above) = (if least < 0.0 { room } else { 0.0 }, if most > 0.0 || least == 0.0 { room } else { 0.0 });
    let (least, most) = if least == most { (0.0, 1.0) } else { (least, most) };
    let per_point = (most / (plot - above - below) - least / (plot - above - below)).min(f64::MAX);
    let axis = Axis {
        low: Some((least - per_point * below).max(f64::MIN)),
        // A bar of the smallest number there is has no smaller room above.
        high: Some((most + per_point * above).min(f64::MAX)),
        ..Axis::default()
    };
    Mapping::new("y", &axis, ends(), Role::Bars, (plot / 21.0).clamp(2.0, 6.0))
}

impl Names {
    fn new(bars: &[Bar], slot: f64, left: f64) -> Names {
        let level: Option<Vec<Vec<String>>> = bars.iter().map(|bar| font::wrap(&bar.name, SMALL, slot - 3.0, NAME_LINES)).collect();
        match level {
            Some(lines) => Names::Level(lines),
            None => {
                // Names run down to the left, as far as there is paper below the axis.
                let cos = SLANT.to_radians().cos();
                let room = |index: usize| ((left + slot * (index as f64 + 0.5)) / cos).min(90.0);
                Names::Slanted(bars.iter().enumerate().map(|(index, bar)| font::elide(&bar.name, SMALL, room(index))).collect())
            }
        }
    }

    fn height(&self) -> f64 {
        match self {
            Names::Level(names) => 4.0 + names.iter().map(Vec::len).max().unwrap_or(0) as f64 * line_height(SMALL),
            Names::Slanted(names) => {
                let longest = names.iter().map(|name| font::width(name, SMALL)).fold(0.0, f64::max);
                let (sin, cos) = SLANT.to_radians().sin_cos();
                5.0 + longest * sin + SMALL * cos
            }
        }
    }
}

pub(super) fn draw(chart: &BarPanels) -> Result<Canvas> {
    let layout = layout(chart)?;
    let mut canvas = Canvas::new(layout.width, layout.height, chart.size.dpi()?)?;
    for (index, line) in layout.title.iter().enumerate() {
        let base = MARGIN + font::CAPITAL * TITLE + index as f64 * line_height(TITLE);
        canvas.text((layout.width / 2.0, base), Text::new(line, TITLE, INK, Align::Center))?;
    }
    let mut names: Vec<&str> = Vec::new();
    for name in chart.panels.iter().flat_map(|panel| &panel.bars).map(|bar| bar.name.as_str()) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    for (panel, laid) in chart.panels.iter().zip(&layout.panels) {
        draw_panel(&mut canvas, panel, laid, &names)?;
    }
    Ok(canvas)
}

fn draw_panel(canvas: &mut Canvas, panel: &Panel, laid: &PanelLayout, names: &[&str]) -> Result<()> {
    let area = laid.area;
    let middle = (area.left + area.right) / 2.0;
    let mut base = laid.top + font::CAPITAL * TITLE;
    for line in &laid.title {
        canvas.text((middle, base), Text::new(line, TITLE, INK, Align::Center))?;
        base += line_height(TITLE);
    }
    if let Some(note) = &laid.note {
        canvas.text((middle, base), Text::new(note, NOTE, GREY, Align::Center))?;
    }
    axis::grid_across(canvas, area, &laid.mapping);
    axis::vertical(canvas, area, &laid.mapping, &panel.label)?;
    let slot = area.width() / panel.bars.len() as f64;
    let zero = height_of(area, &laid.mapping, 0.0);
    for (index, bar) in panel.bars.iter().enumerate() {
        let center = area.left + slot * (index as f64 + 0.5);
        let half = (slot * FILL).min(WIDEST) / 2.0;
        let number = names.iter().position(|name| *name == bar.name).unwrap_or(0);
        let color = style::color(bar.color.unwrap_or(number));
        let at = |value: f64| height_of(area, &laid.mapping, value);
        let mut tip = zero;
        if bar.value.is_finite() {
            let end = at(bar.value);
            canvas.rectangle(Rect { left: center - half, top: end.min(zero), right: center + half, bottom: end.max(zero) }, color);
            let (high, low) = (bar.high.filter(|high| high.is_finite()).map(at), bar.low.filter(|low| low.is_finite()).map(at));
            if high.is_some() || low.is_some() {
                let (high, low) = (high.unwrap_or(end), low.unwrap_or(end));
                canvas.line((center, high), (center, low), 0.8, INK);
                let cap = (half * 0.4).min(3.0);
                for y in [high, low] {
                    canvas.line((center - cap, y), (center + cap, y), 0.8, INK);
                }
            }
            let tips = [Some(end), high, low].into_iter().flatten();
            tip = if bar.value < 0.0 { tips.fold(end, f64::max) } else { tips.fold(end, f64::min) };
        }
        draw_value(canvas, (center, tip), &laid.values[index], bar.value < 0.0, laid.upright)?;
    }
    axis::base_line(canvas, area, zero);
    draw_names(canvas, area, slot, &laid.names)
}

/// The value at the end of its bar: above it, or below where the bar hangs down.
fn draw_value(canvas: &mut Canvas, (x, tip): (f64, f64), value: &str, below: bool, upright: bool) -> Result<()> {
    let capital = font::CAPITAL * VALUE;
    if !upright {
        // The grid passes behind the value, not through it.
        let half = font::width(value, VALUE) / 2.0 + 0.5;
        let top = if below { tip + VALUE_GAP - 0.7 } else { tip - VALUE_GAP - capital - 0.7 };
        canvas.rectangle(Rect { left: x - half, top, right: x + half, bottom: top + capital + 1.4 }, style::WHITE);
    }
    match (upright, below) {
        (false, false) => canvas.text((x, tip - VALUE_GAP), Text::new(value, VALUE, INK, Align::Center)),
        (false, true) => canvas.text((x, tip + VALUE_GAP + capital), Text::new(value, VALUE, INK, Align::Center)),
        (true, false) => canvas.text((x + capital / 2.0, tip - VALUE_GAP), Text::new(value, VALUE, INK, Align::Left).turned(90.0)),
        (true, true) => canvas.text((x + capital / 2.0, tip + VALUE_GAP), Text::new(value, VALUE, INK, Align::Right).turned(90.0)),
    }
}

fn draw_names(canvas: &mut Canvas, area: Rect, slot: f64, names: &Names) -> Result<()> {
    let center = |index: usize| area.left + slot * (index as f64 + 0.5);
    match names {
        Names::Level(names) => {
            for (index, lines) in names.iter().enumerate() {
                for (row, line) in lines.iter().enumerate() {
                    let base = area.bottom + 4.0 + font::CAPITAL * SMALL + row as f64 * line_height(SMALL);
                    canvas.text((center(index), base), Text::new(line, SMALL, INK, Align::Center))?;
                }
            }
        }
        Names::Slanted(names) => {
            for (index, name) in names.iter().enumerate() {
                let at = (center(index) + LABEL * 0.3, area.bottom + 4.0 + font::CAPITAL * SMALL * 0.8);
                canvas.text(at, Text::new(name, SMALL, INK, Align::Right).turned(SLANT))?;
            }
        }
    }
    Ok(())
}
